// Secrets one by one, from SOPS files, variables, files and programs, and the keys of a decryption Secret, as the program takes
// them: no value reaches an argument, a message or a disk.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { openWorkbench, PASSWORD } from "../faults/workbench.ts";
import type { Run } from "../faults/workbench.ts";
import { peer, skipWithout } from "../peers.ts";

const bench = await openWorkbench({ after });
const sops = peer("sops-newest");

suite("secrets one by one", { skip: skipWithout("sops-newest", "age-keygen") }, () => {
  let identity: string;
  const snapshots = (
    words: readonly string[],
    status: number,
    env: Record<string, string> = {},
  ): Promise<Run> =>
    bench.holdfast([...words, "snapshots"], {
      cwd: bench.folder,
      env: { RESTIC_PASSWORD: "wrong", ...env },
      status,
    });
  /** Encrypts a file for `identity`, or for another one. */
  const encrypt = (name: string, content: string, to = identity): string => {
    writeFileSync(bench.at(name), content);
    const recipient = /age1\w+/.exec(to)![0];
    const words = ["encrypt", "-i", "--age", recipient, "--encrypted-regex", "^(data|stringData)$"];
    execFileSync(sops.path, [...words, bench.at(name)]);
    return name;
  };
  const newIdentity = (): string =>
    execFileSync(peer("age-keygen").path, [], { stdio: ["ignore", "pipe", "ignore"] }).toString();
  const secret = (entries: string): string =>
    `apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n${entries}`;

  before(() => {
    identity = newIdentity();
    writeFileSync(bench.at("key.txt"), identity);
    encrypt("secret.enc.yaml", secret(`stringData:\n  RESTIC_PASSWORD: ${PASSWORD}\n  PORT: 7\n`));
  });

  test("each source gives the password, and the last one wins", async () => {
    const env = { SOPS_AGE_KEY_FILE: bench.at("key.txt"), OTHER: PASSWORD };
    writeFileSync(bench.at("password"), `${PASSWORD}\n`);
    const script = bench.at("print");
    writeFileSync(script, `#!/bin/sh\n[ "$#$1" = "1a b" ] && printf '%s\\n' "${PASSWORD}"\n`);
    chmodSync(script, 0o700);
    for (const source of [
      "sops:secret.enc.yaml#stringData.RESTIC_PASSWORD",
      'sops:secret.enc.yaml#["stringData"]["RESTIC_PASSWORD"]',
      "env:OTHER",
      "file:password",
      `command:${script} 'a b'`,
    ]) {
      await snapshots(["--secret", `RESTIC_PASSWORD=${source}`], 0, env);
    }
    writeFileSync(bench.at("wrong.env"), "RESTIC_PASSWORD=wrong\nHELD=wrong\n");
    const over = ["--secret=RESTIC_PASSWORD=env:OTHER", "--from-secret", "wrong.env"];
    await snapshots(over, 0, env);
    await snapshots([...over, "--secret", "RESTIC_PASSWORD=env:HELD"], 12, env);
  });

  test("a variable given over those of the process takes the place of the other ways to say it", async () => {
    const env = { OTHER: PASSWORD, RESTIC_PASSWORD_FILE: "/nowhere", HOLDFAST_PASSWORD: "wrong" };
    await snapshots(["--secret", "RESTIC_PASSWORD=env:OTHER"], 0, env);
    const both = ["--secret", "RESTIC_PASSWORD_FILE=env:OTHER"];
    await snapshots([...both, "--secret", "RESTIC_PASSWORD=env:OTHER"], 1, env);
  });

  test("what cannot be had is one clear error without a value", async () => {
    const env = { SOPS_AGE_KEY_FILE: bench.at("key.txt") };
    const failing = bench.at("fail");
    writeFileSync(failing, "#!/bin/sh\necho GEHEIM\necho no such entry >&2\nexit 3\n");
    chmodSync(failing, 0o700);
    const cases: [given: string, message: RegExp][] = [
      ["GEHEIM", /^Fatal: --secret: there is no = in it\nhint: /],
      [
        "RESTIC_PASSWORD=GEHEIM",
        /^Fatal: --secret RESTIC_PASSWORD: no known kind of source\nhint: /,
      ],
      ["LD_PRELOAD=env:HOME", /^Fatal: --secret sets LD_PRELOAD, which is no secret\n$/],
      ["SOPS_AGE_KEY_CMD=env:HOME", /sets SOPS_AGE_KEY_CMD, which is no secret\n$/],
      ["A=sops:secret.enc.yaml#stringData.PORT", /is no text\nhint: /],
      ["A=sops:absent.yaml#a", /^Fatal: absent\.yaml does not exist\n$/],
      ["A=sops:wrong.env#RESTIC_PASSWORD", /no sops block/],
      [
        `A=command:${failing}`,
        /^no such entry\nFatal: --secret A: \S+\/fail failed: exit status 3\n$/,
      ],
      ["A=command:/nowhere/x", /^Fatal: --secret A: \/nowhere\/x failed: .*ENOENT\n$/],
    ];
    writeFileSync(bench.at("wrong.env"), "RESTIC_PASSWORD=GEHEIM\n");
    for (const [given, message] of cases) {
      const run = await snapshots(["--secret", given], 1, env);
      assert.match(run.stderr, message);
      assert.ok(!`${run.stdout}${run.stderr}`.includes("GEHEIM"), run.stderr);
    }
  });

  test("a value with a NUL is refused by name", async () => {
    const base64 = Buffer.from("GEHEIM\0").toString("base64");
    writeFileSync(bench.at("nul.yaml"), secret(`data:\n  RESTIC_PASSWORD: ${base64}\n`));
    const run = await snapshots(["--from-secret", "nul.yaml"], 1);
    assert.match(run.stderr, /^Fatal: --from-secret: RESTIC_PASSWORD in nul\.yaml has a NUL/);
    assert.doesNotMatch(run.stderr, /GEHEIM/);
  });

  test("a decryption Secret as kubectl prints it brings the key, by variable or option", async () => {
    const data = Buffer.from(identity).toString("base64");
    const entries = `data:\n  age.agekey: ${data}\n  sops.vault-token: eA==\n`;
    writeFileSync(bench.at("sops-age.yaml"), secret(entries));
    const get = ["secrets", "get", "secret.enc.yaml", "stringData.RESTIC_PASSWORD", "-v"];
    const value = await bench.holdfast([...get, "--sops-keys", "sops-age.yaml"], {
      cwd: bench.folder,
      status: 0,
    });
    assert.equal(value.stdout, PASSWORD);
    assert.equal(value.stderr, "sops-age.yaml: not used: sops.vault-token\n");
    const words = ["--secret", "RESTIC_PASSWORD=sops:secret.enc.yaml#stringData.RESTIC_PASSWORD"];
    await snapshots(words, 0, { HOLDFAST_SOPS_KEYS: "sops-age.yaml" });
    await snapshots([...words, "--sops-keys", "sops-age.yaml"], 0, { HOLDFAST_SOPS_KEYS: "/no" });
    const none = await snapshots(words, 1, { HOLDFAST_SOPS_KEYS: "/nowhere" });
    assert.equal(none.stderr, "Fatal: HOLDFAST_SOPS_KEYS: /nowhere does not exist\n");
    const checked = await bench.holdfast(
      ["secrets", "check", "secret.enc.yaml", "--sops-keys", "sops-age.yaml"],
      { cwd: bench.folder, status: 0 },
    );
    assert.match(checked.stdout, /age1\w+: sops-age\.yaml: age\.agekey/);
  });

  test("an encrypted decryption Secret is opened by another key", async () => {
    const manifest =
      secret("stringData:\n  age.agekey: |\n") + identity.replaceAll(/^(?=.)/gm, "    ");
    const other = newIdentity();
    writeFileSync(bench.at("other.txt"), other);
    encrypt("sops-age.enc.yaml", manifest, other);
    const words = ["secrets", "get", "secret.enc.yaml", "stringData.RESTIC_PASSWORD"];
    const get = (status: number, keys: string): Promise<Run> =>
      bench.holdfast(words, {
        cwd: bench.folder,
        env: { HOLDFAST_SOPS_KEYS: "sops-age.enc.yaml", SOPS_AGE_KEY_FILE: keys },
        status,
      });
    assert.equal((await get(0, bench.at("other.txt"))).stdout, PASSWORD);
    const locked = await get(128, "/nowhere");
    assert.match(locked.stderr, /^Fatal: HOLDFAST_SOPS_KEYS: sops-age\.enc\.yaml: no key on this/);
    assert.match(locked.stderr, /SOPS_AGE_KEY_FILE \(\/nowhere\): missing/);
  });

  test("given credentials of Google's are judged as those of a storage are", async () => {
    mkdirSync(bench.at("mounted"));
    const credentials = {
      type: "external_account",
      audience: "//iam.googleapis.com/x",
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      token_url: "https://sts.googleapis.com/v1/token",
      credential_source: { executable: { command: `/bin/touch ${bench.at("ran")}` } },
    };
    writeFileSync(bench.at("mounted/sops.gcp-kms"), JSON.stringify(credentials));
    const id = "projects/holdfast-test/locations/global/keyRings/ring/cryptoKeys/key";
    const key = `{"resource_id": "${id}", "created_at": "2026-01-01T00:00:00Z", "enc": "AAAA"}`;
    const text = readFileSync(bench.at("secret.enc.yaml"), "utf8");
    const forKms = text.replace(/^ {4}age:\n(?: {8}.*\n)+/m, `    gcp_kms: [${key}]\n`);
    assert.notEqual(forKms, text);
    writeFileSync(bench.at("kms.yaml"), forKms);
    const run = await bench.holdfast(["secrets", "decrypt", "kms.yaml"], {
      cwd: bench.folder,
      env: {
        HOLDFAST_SOPS_KEYS: bench.at("mounted"),
        SOPS_GCP_KMS_ENDPOINT: "http://127.0.0.1:1",
        GOOGLE_OAUTH_ACCESS_TOKEN: "x",
        GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES: "1",
      },
      status: 128,
    });
    assert.match(run.stderr, /mounted\/sops\.gcp-kms: no access token: .*names a program to run/);
    assert.throws(() => readFileSync(bench.at("ran")), { code: "ENOENT" });
  });
});
