// Keys that only sops opens, through the key service of real sops and of programs that stand in for a broken one.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { suite, test } from "node:test";
import { promisify } from "node:util";
import { SopsService, type SopsServiceOptions } from "../../src/cli/sops-service.ts";
import type { KeyContext } from "../../src/sops/key-source.ts";
import { openWithSops, wrapWithSops } from "../../src/sops/keys/elsewhere.ts";
import { openKey, wrapKey } from "../../src/sops/keys.ts";
import { peer, skipWithout } from "../peers.ts";
import { awsDouble, AWS_PROFILE } from "./aws-double.ts";
import { keyContext, wrapped, type TestKeyContext } from "./context.ts";
import { PLUGIN_IDENTITY, PLUGIN_RECIPIENT, PLUGIN_TEXT } from "./fake-plugin.ts";
import {
  alone,
  answering,
  assertGone,
  fakeSops,
  isAlive,
  ran,
  SYSTEM_PATH,
  until,
} from "./fake-sops.ts";
import { folder, output, program } from "./programs.ts";
import { vaultDouble, type VaultDouble } from "./vault-double.ts";

const VERSIONS = ["sops-newest", "sops-3.13.1", "sops-old"] as const;
const MAIN = join(import.meta.dirname, "..", "..", "src", "cli", "main.ts");
const dataKey = randomBytes(32);
const keygen = program("age-keygen");
const run = promisify(execFile);

interface Served extends AsyncDisposable {
  readonly context: TestKeyContext;
  readonly service: SopsService;
  readonly notices: string[];
}

/** A context whose sops is the first on the PATH of `env`. A limit is short where it is what the test is about. */
function served(
  env: Record<string, string>,
  more: Partial<KeyContext> = {},
  limits: Partial<NonNullable<SopsServiceOptions["limits"]>> = {},
): Served {
  const notices: string[] = [];
  const service = new SopsService({
    env,
    signal: more.signal ?? new AbortController().signal,
    onNotice: (text) => void notices.push(text),
    limits: { start: 60_000, answer: 60_000, idle: 60_000, ...limits },
  });
  const askSops: KeyContext["askSops"] = (method, request) => service.ask(method, request);
  const context = keyContext(env, { askSops, ...more });
  return { context, service, notices, [Symbol.asyncDispose]: () => service.close() };
}

function pathOf(version: (typeof VERSIONS)[number]): string {
  return `${dirname(peer(version).path)}:${SYSTEM_PATH}`;
}

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program without blocking this one, which may be what it talks to. */
async function ended(
  path: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<Ended> {
  try {
    const { stdout, stderr } = await run(path, args, { env, timeout: 60_000 });
    return { status: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, stdout, stderr };
  }
}

function holdfast(args: readonly string[], env: Record<string, string>): Promise<Ended> {
  return ended(process.execPath, [MAIN, ...args], env);
}

for (const version of VERSIONS) {
  suite(`keys through ${version}`, { skip: skipWithout(version) }, () => {
    test("age both ways, by one program", { skip: keygen.skip }, async () => {
      using home = folder();
      const identity = output(keygen.path, []).toString();
      const recipient = /# public key: (\S+)/.exec(identity)![1]!;
      await using sops = served({ ...alone(home, pathOf(version)), SOPS_AGE_KEY: identity });
      const { context } = sops;
      const byService = await wrapWithSops({ kind: "age", id: recipient }, dataKey, context);
      assert.ok("enc" in byService);
      const here = await openKey(wrapped("age", recipient, byService.enc), context);
      assert.ok(here.opened && Buffer.from(here.dataKey).equals(dataKey));
      const ours = wrapped("age", recipient, await wrapKey("age", recipient, dataKey, context));
      assert.deepEqual(await openWithSops(ours, context), Buffer.from(dataKey));
      const refusal = await openWithSops(wrapped("age", recipient, "no age file"), context);
      assert.match(String(refusal), /^failed to create reader .*"no age file"/);
    });

    test("Vault both ways, as a person would", async () => {
      await using vault = await vaultDouble();
      using home = folder();
      const env = {
        ...alone(home, pathOf(version)),
        VAULT_TOKEN: vault.token,
        VAULT_ADDR: vault.address,
      };
      const flags = ["--encrypt", "--hc-vault-transit", vault.uri];
      const plain = home.write("plain.yaml", "password: hello\n");
      const file = await ended(peer(version).path, [...flags, plain], env);
      assert.equal(file.status, 0, file.stderr);
      const theirs = home.write("theirs.yaml", file.stdout);
      const opened = await holdfast(["secrets", "decrypt", theirs], env);
      assert.deepEqual(opened, { status: 0, stdout: "password: hello\n", stderr: "" });
      home.write(".sops.yaml", `creation_rules:\n  - hc_vault_transit_uri: ${vault.uri}\n`);
      const made = await holdfast(["secrets", "encrypt", plain], env);
      assert.equal(made.status, 0, made.stderr);
      const ours = home.write("ours.yaml", made.stdout);
      const again = await ended(peer(version).path, ["--decrypt", ours], env);
      assert.equal(again.stdout, "password: hello\n", again.stderr);
      await refusals(vault, ours, plain, env);
    });

    test("AWS both ways, with all that it is told", async () => {
      await using kms = await awsDouble();
      using home = folder();
      const env = {
        ...alone(home, pathOf(version)),
        AWS_ENDPOINT_URL_KMS: kms.address,
        AWS_SHARED_CREDENTIALS_FILE: home.write("aws", AWS_PROFILE),
      };
      const aws = { role: "", context: [["Env", "prod"]], profile: "backup" } as const;
      await using sops = served(env);
      const enc = await wrapKey("kms", kms.arn, dataKey, sops.context, aws);
      const key = { ...wrapped("kms", kms.arn, enc), aws };
      const attempt = await openKey(key, sops.context);
      assert.ok(attempt.opened, JSON.stringify(attempt));
      assert.deepEqual(Buffer.from(attempt.dataKey), dataKey);
      const other = await openKey({ ...key, aws: { ...aws, context: [] } }, sops.context);
      assert.match(JSON.stringify(other), /InvalidCiphertextException/);
      const rule = `kms: [{arn: "${kms.arn}", context: {Env: prod}, aws_profile: backup}]`;
      home.write(".sops.yaml", `creation_rules: [{key_groups: [{${rule}}]}]\n`);
      const plain = home.write("plain.json", `{"password": "hello"}`);
      const made = await holdfast(["secrets", "encrypt", plain], env);
      assert.equal(made.status, 0, made.stderr);
      const ours = home.write("ours.json", made.stdout);
      const again = await ended(peer(version).path, ["--decrypt", ours], env);
      assert.deepEqual(JSON.parse(again.stdout || again.stderr), { password: "hello" });
    });

    test("a plugin of age both ways", async () => {
      using home = folder();
      chmodSync(home.write("age-plugin-fake", PLUGIN_TEXT), 0o700);
      const path = `${home.path}:${pathOf(version)}`;
      const env = { ...alone(home, path), SOPS_AGE_KEY: PLUGIN_IDENTITY };
      // It is a program of this machine.
      await using sops = served(env, { offline: true });
      const enc = await wrapKey("age", PLUGIN_RECIPIENT, dataKey, sops.context);
      const attempt = await openKey(wrapped("age", PLUGIN_RECIPIENT, enc), sops.context);
      assert.ok(attempt.opened, JSON.stringify(attempt));
      assert.deepEqual(Buffer.from(attempt.dataKey), dataKey);
      assert.equal(attempt.where, "age-plugin-fake, by sops");
      // They come another way than the answer.
      await until(() => sops.notices.length === 2);
      assert.deepEqual(sops.notices, Array(2).fill("sops: fake plugin: touch me"));
    });
  });
}

/** What the keys of services come to when they do not open. */
async function refusals(
  vault: VaultDouble,
  file: string,
  plain: string,
  env: Record<string, string>,
): Promise<void> {
  const denied = await holdfast(["secrets", "decrypt", file], { ...env, VAULT_TOKEN: "wrong" });
  assert.equal(denied.status, 128);
  assert.match(
    denied.stderr,
    /HashiCorp Vault, by sops: .* Code: 403\. Errors: \* permission denied$/m,
  );
  assert.match(denied.stderr, /^ {4}needed are `sops` and VAULT_TOKEN .* --add-age RECIPIENT/m);
  const asked = vault.asked.length;
  const offline = await holdfast(["secrets", "decrypt", "--offline", file], env);
  assert.equal(offline.status, 128);
  assert.match(offline.stderr, /HashiCorp Vault, by sops: not asked: --offline/);
  assert.equal(vault.asked.length, asked);
  // A folder without programs.
  const without = { ...env, PATH: import.meta.dirname };
  const absent = await holdfast(["secrets", "decrypt", file], without);
  assert.equal(absent.status, 128);
  assert.match(absent.stderr, /HashiCorp Vault, by sops: no sops on PATH$/m);
  const notMade = await holdfast(["secrets", "encrypt", plain], without);
  assert.equal(notMade.status, 128);
  assert.match(notMade.stderr, /cannot encrypt with the HashiCorp Vault key .*: no sops on PATH/);
}

const WELL = { "grpc-status": "0" };
const vaultKey = wrapped("hc_vault", "https://v/v1/transit/keys/k", "vault:v1:x");

suite("a sops that is no help", () => {
  const broken: [
    what: string,
    body: string,
    why: RegExp,
    limits?: { start?: number; answer?: number },
  ][] = [
    [
      "ends at once",
      `console.error("one"); console.error("no such command"); process.exit(3);`,
      /^sops ended \(3\): no such command$/,
    ],
    [
      "never listens",
      "setTimeout(() => {}, 60_000);",
      /^sops did not start within 2\.5 s$/,
      { start: 2500 },
    ],
    [
      "never answers",
      `require("node:net").createServer(() => {}).listen(socket);`,
      /^sops did not answer within 0\.5 s$/,
      { answer: 500 },
    ],
    [
      "ends when asked",
      `require("node:http2").createServer().on("stream", () => process.exit(4)).listen(socket);`,
      /^sops ended \(4\)$/,
    ],
    [
      "hangs up",
      `require("node:net").createServer((one) => one.destroy()).listen(socket);`,
      /^sops broke the connection off$/,
    ],
    [
      "is something else",
      `require("node:http2").createServer().on("stream", (one) => { one.respond({ ":status": 404 }); one.end(); }).listen(socket);`,
      /^sops answered with HTTP status 404$/,
    ],
  ];
  for (const [what, body, why, limits] of broken) {
    test(what, async () => {
      using home = folder();
      {
        await using sops = served(fakeSops(home, body), {}, limits);
        assert.match(String(await openWithSops(vaultKey, sops.context)), why);
      }
      assertGone(home);
    });
  }

  test("is not there, or is no program", async () => {
    using home = folder();
    await using absent = served(alone(home, home.path));
    assert.equal(await openWithSops(vaultKey, absent.context), "no sops on PATH");
    home.write("sops", "");
    await using unfit = served(alone(home, home.path));
    assert.equal(await openWithSops(vaultKey, unfit.context), "sops cannot be run (EACCES)");
  });

  test("is behind a script that does not become it", async () => {
    using home = folder();
    const env = fakeSops(home, answering("00000000030a0178", WELL));
    renameSync(join(home.path, "sops"), join(home.path, "behind"));
    const script = `#!/bin/sh\n"${join(home.path, "behind")}" "$@"\necho done >&2\n`;
    chmodSync(home.write("sops", script), 0o700);
    {
      await using sops = served(env);
      assert.deepEqual(await openWithSops(vaultKey, sops.context), Buffer.from("x"));
    }
    // Whoever takes in orphans buries it a little later.
    const [pid] = ran(home);
    await until(() => !isAlive(pid));
  });

  test("says more than can be kept, and ends no line", async () => {
    using home = folder();
    const script = "#!/bin/sh\nexec head -c 700000000 /dev/zero >&2\n";
    chmodSync(home.write("sops", script), 0o700);
    const before = process.memoryUsage.rss();
    await using sops = served(alone(home, `${home.path}:${SYSTEM_PATH}`));
    const why = await openWithSops(vaultKey, sops.context);
    assert.match(String(why), /^sops (?:ended \(0\):|did not start)/);
    assert.ok(String(why).length < 2000);
    assert.ok(process.memoryUsage.rss() - before < 200 << 20);
  });

  test("is started again when it has ended", async () => {
    using home = folder();
    await using sops = served(fakeSops(home, answering("00000000030a0178", WELL)));
    await openWithSops(vaultKey, sops.context);
    const [pid] = ran(home);
    process.kill(Number(pid));
    await until(() => !isAlive(pid));
    // Whoever asks in the moment in which its end is noticed is told of it.
    let answer = await openWithSops(vaultKey, sops.context);
    if (answer === "sops ended (SIGTERM)") answer = await openWithSops(vaultKey, sops.context);
    assert.deepEqual(answer, Buffer.from("x"));
  });

  test("is ended when nothing more is asked, and started again", async () => {
    using home = folder();
    const env = fakeSops(home, answering("00000000030a0178", WELL));
    await using sops = served(env, {}, { idle: 300 });
    for (const _ of [1, 2]) {
      assert.deepEqual(await openWithSops(vaultKey, sops.context), Buffer.from("x"));
      const [pid, socket] = ran(home);
      await until(() => !isAlive(pid) && !existsSync(dirname(socket)));
    }
  });

  test("is left behind by nobody who is stopped", async () => {
    for (const [body, mark] of [
      ["setTimeout(() => {}, 60_000);", "ran"],
      [
        `require("node:net").createServer(() => require("node:fs").writeFileSync(__dirname + "/asked", "")).listen(socket);`,
        "asked",
      ],
    ] as const) {
      using home = folder();
      const stop = new AbortController();
      {
        await using sops = served(fakeSops(home, body), { signal: stop.signal });
        const opening = assert.rejects(openKey(vaultKey, sops.context), { code: "CANCELLED" });
        await until(() => existsSync(join(home.path, mark)));
        stop.abort();
        await opening;
      }
      assertGone(home);
    }
  });
});

suite("answers of a sops", () => {
  const ill = (message: string): Record<string, string> => ({
    "grpc-status": "2",
    "grpc-message": message,
  });
  const damaged = "its answer is damaged";
  const answers: [reply: string, trailers: Record<string, string>, found: Uint8Array | string][] = [
    ["00000000030a0178", WELL, Buffer.from("x")],
    ["0000000000", WELL, Buffer.of()],
    ["00000000030a0178", {}, "sops broke the connection off"],
    ["01000000030a0178", WELL, damaged],
    ["00000000040a0178", WELL, damaged],
    ["00000000030a0278", WELL, damaged],
    ["0000", WELL, damaged],
    ["", WELL, damaged],
    ["00".repeat(1_500_000), WELL, damaged],
    ["", ill("a%0Ab%1B %C3%A4"), "a b ä"],
    ["", ill("50% of it"), "50% of it"],
    ["", { "grpc-status": "2" }, "sops refused (gRPC status 2)"],
    [
      "",
      ill('unknown identity type: "age-secret-key-1x"; AGE-SECRET-KEY-1QQ'),
      "unknown identity type: …; AGE-…",
    ],
  ];
  for (const [reply, trailers, found] of answers) {
    test(`${reply.slice(0, 32)} ${JSON.stringify(trailers)}`, async () => {
      using home = folder();
      await using sops = served(fakeSops(home, answering(reply, trailers)));
      assert.deepEqual(await openWithSops(vaultKey, sops.context), found);
    });
  }
});
