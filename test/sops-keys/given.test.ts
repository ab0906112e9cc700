// A decryption Secret as Flux takes it, as its manifest and as the folder that a pod mounts it at, with keys of real age and gpg
// and of the double of Cloud KMS.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { readSopsKeys } from "../../src/cli/sops-keys.ts";
import type { GivenKeys, KeyAttempt, KeyContext } from "../../src/sops/key-source.ts";
import { openKey, wrapKey } from "../../src/sops/keys.ts";
import { keyContext, wrapped } from "./context.ts";
import { keyring, KIND } from "./keyring.ts";
import { kmsDouble, TOKEN } from "./kms-double.ts";
import { folder, output, program } from "./programs.ts";

const age = program("age");
const keygen = program("age-keygen");
const gpg = program("gpg");
const dataKey = randomBytes(32);

function read(place: string, notices: string[] = []): Promise<GivenKeys> {
  const source = "HOLDFAST_SOPS_KEYS";
  return readSopsKeys({ value: place, source }, keyContext(), (text) => notices.push(text));
}

/** A context with the keys of `place`, and what more is said. */
function given(
  place: string,
  env: Record<string, string> = {},
  more: Partial<KeyContext> = {},
): KeyContext {
  return keyContext(env, { given: () => read(place), ...more });
}

/** As `kubectl get secret -o yaml` prints it. */
function manifest(data: Record<string, string>, stringData: Record<string, string> = {}): string {
  const encoded = Object.entries(data).map(([name, text]) => {
    return `  ${name}: ${Buffer.from(text).toString("base64")}`;
  });
  const plain = Object.entries(stringData).map(
    ([name, text]) => `  ${name}: ${JSON.stringify(text)}`,
  );
  return [
    "apiVersion: v1",
    "data:",
    ...encoded,
    ...(plain.length > 0 ? ["stringData:", ...plain] : []),
    "kind: Secret",
    "metadata:",
    "  name: sops-keys",
    "  namespace: flux-system",
    "type: Opaque",
    "",
  ].join("\n");
}

/** A folder as the kubelet mounts a Secret. */
function mount(path: string, entries: Record<string, string>): string {
  const version = "..2026_11_25_00_00_00.123456789";
  mkdirSync(join(path, version));
  symlinkSync(version, join(path, "..data"));
  for (const [name, text] of Object.entries(entries)) {
    writeFileSync(join(path, version, name), text);
    symlinkSync(join("..data", name), join(path, name));
  }
  return path;
}

function assertOpened(attempt: KeyAttempt, where: string): void {
  assert.ok(attempt.opened, `not opened: ${JSON.stringify(attempt)}`);
  assert.deepEqual(Buffer.from(attempt.dataKey), dataKey);
  assert.equal(attempt.where, where);
}

function reasonOf(attempt: KeyAttempt): string {
  assert.ok(!attempt.opened);
  return attempt.reason;
}

suite("age identities of a decryption Secret", { skip: age.skip || keygen.skip }, () => {
  const newKey = (): { identity: string; recipient: string; enc: string } => {
    const identity = output(keygen.path, []).toString();
    const recipient = /# public key: (\S+)/.exec(identity)![1]!;
    const flags = ["--armor", "--recipient", recipient];
    return { identity, recipient, enc: output(age.path, flags, dataKey).toString() };
  };

  test("a manifest, with stringData on top of data, and before every other place", async () => {
    using home = folder();
    const [ours, other] = [newKey(), newKey()];
    const key = wrapped("age", ours.recipient, ours.enc);
    const both = `# created: today\n${other.identity}\n${ours.identity}`;
    const yaml = home.write("sops-age.yaml", manifest({ "age.agekey": both }));
    const env = { SOPS_AGE_KEY: ours.identity };
    assertOpened(await openKey(key, given(yaml, env)), `${yaml}: age.agekey`);
    const data = { "age.agekey": "rubbish" };
    const over = home.write("over.yaml", manifest(data, { "age.agekey": both }));
    assertOpened(await openKey(key, given(over)), `${over}: age.agekey`);
    const secret = { kind: "Secret", stringData: { "keys.agekey": ours.identity } };
    // A pipe's name says nothing of the format.
    for (const name of ["secret.json", "secret"]) {
      const json = home.write(name, JSON.stringify(secret));
      assertOpened(await openKey(key, given(json)), `${json}: keys.agekey`);
    }
  });

  test("a mounted Secret, whose entries are links", async () => {
    using home = folder();
    const ours = newKey();
    const key = wrapped("age", ours.recipient, ours.enc);
    mount(home.path, { "a.agekey": newKey().identity, "b.agekey": ours.identity });
    const context = given(home.path);
    assertOpened(await openKey(key, context), join(home.path, "b.agekey"));
    assert.deepEqual(
      (await context.given())?.age.map(({ name }) => name),
      [join(home.path, "a.agekey"), join(home.path, "b.agekey")],
    );
  });

  test("what does not help is told with place, entry and line, and never quoted", async () => {
    using home = folder();
    const [ours, other] = [newKey(), newKey()];
    const key = wrapped("age", ours.recipient, ours.enc);
    const text = `# hello\nGEHEIM\n${other.identity}`;
    const yaml = home.write("s.yaml", manifest({ "x.agekey": text }));
    const reason = reasonOf(await openKey(key, given(yaml)));
    const said = /^.*s\.yaml: x\.agekey: 1 identity, none .*x\.agekey:2 is no age identity$/m;
    assert.match(reason, said);
    assert.doesNotMatch(reason, /GEHEIM/);
    const pgpOnly = home.write("p.yaml", manifest({ "x.asc": "rubbish" }));
    assert.match(reasonOf(await openKey(key, given(pgpOnly))), /p\.yaml: no \*\.agekey in it$/m);
  });
});

suite("PGP keys of a decryption Secret", { skip: gpg.skip }, () => {
  test("an exported key opens and wraps without gpg", async () => {
    using ring = keyring();
    using home = folder();
    const fingerprint = ring.make("flux", KIND);
    const exported = readFileSync(ring.export("flux"), "utf8");
    const yaml = home.write("sops-gpg.yaml", manifest({ "sops.asc": exported }));
    const context = given(yaml, { SOPS_GPG_EXEC: "no-gpg" });
    for (const enc of [
      ring.encrypt(fingerprint, dataKey),
      await wrapKey("pgp", fingerprint, dataKey, context),
    ]) {
      const attempt = await openKey(wrapped("pgp", fingerprint, enc), context);
      assertOpened(attempt, `${yaml}: sops.asc`);
    }
  });

  test("one with a passphrase says so where nobody can be asked", async () => {
    using ring = keyring();
    using home = folder();
    const fingerprint = ring.make("flux", KIND, "correct horse");
    const exported = readFileSync(ring.export("flux", "correct horse"), "utf8");
    const yaml = home.write("locked.yaml", manifest({ "sops.asc": exported }));
    const key = wrapped("pgp", fingerprint, ring.encrypt(fingerprint, dataKey));
    const env = { SOPS_GPG_EXEC: "no-gpg" };
    assert.match(
      reasonOf(await openKey(key, given(yaml, env))),
      /locked\.yaml: sops\.asc: the key has a passphrase, and there is nobody to ask$/m,
    );
    const person = { askPassphrase: () => Promise.resolve("correct horse") };
    assertOpened(await openKey(key, given(yaml, env, person)), `${yaml}: sops.asc`);
  });
});

suite("Google's credentials of a decryption Secret", () => {
  test("they are used before those of the machine, and only as JSON", async () => {
    await using double = await kmsDouble();
    using home = folder();
    const credentials = '{"type": "service_account", "private_key": "GEHEIM"}';
    const yaml = home.write("kms.yaml", manifest({ "sops.gcp-kms": credentials }));
    const env = { SOPS_GCP_KMS_ENDPOINT: double.address };
    const seen: (string | undefined)[] = [];
    const googleToken: KeyContext["googleToken"] = (_, key) => {
      seen.push(key && Buffer.from(key.content).toString());
      return Promise.resolve(TOKEN);
    };
    const context = given(yaml, env, { googleToken });
    const enc = await wrapKey("gcp_kms", double.keyName, dataKey, context);
    const key = wrapped("gcp_kms", double.keyName, enc);
    assertOpened(await openKey(key, context), `${yaml}: sops.gcp-kms`);
    assert.deepEqual(seen, [credentials, credentials]);
    // One that is refused leaves the machine's own to try.
    const refusing: KeyContext["googleToken"] = (_, mine) =>
      Promise.resolve(mine ? "another" : TOKEN);
    assertOpened(await openKey(key, given(yaml, env, { googleToken: refusing })), "Cloud KMS");
    const path = home.write("path.yaml", manifest({ "sops.gcp-kms": "/etc/passwd" }));
    seen.length = 0;
    const none = { googleToken: () => Promise.reject(new Error("none")) };
    const reason = reasonOf(await openKey(key, given(path, env, none)));
    assert.match(reason, /path\.yaml: sops\.gcp-kms: no JSON of credentials$/m);
    const offline = { offline: true, googleToken };
    assert.match(
      reasonOf(await openKey(key, given(yaml, env, offline))),
      /kms\.yaml: sops\.gcp-kms: not asked: --offline$/m,
    );
    assert.deepEqual(seen, []);
  });
});

suite("a place of decryption keys", () => {
  test("what is no such Secret is one error with its line", async () => {
    using home = folder();
    const cases: [name: string, content: string, message: RegExp][] = [
      ["a.yaml", "kind: Secret\ndata: [\n", /^HOLDFAST_SOPS_KEYS: .*a\.yaml, line \d+: /],
      [
        "b.yaml",
        "kind: Secret\ndata:\n  x.agekey: GEHEIM!\n",
        /b\.yaml, line 3: data\.x\.agekey is no/,
      ],
      [
        "c.yaml",
        "kind: Secret\nstringData:\n  x.agekey: [GEHEIM]\n",
        /c\.yaml, line 3: .* is no text/,
      ],
      [
        "d.yaml",
        "kind: ConfigMap\ndata:\n  x.agekey: GEHEIM\n",
        /d\.yaml: there is no Secret in it$/,
      ],
      ["e.yaml", "kind: Secret\nstringData:\n  password: GEHEIM\n", /e\.yaml has no key in it$/],
      ["f.json", '{"kind": "Secret",\n "data": }', /f\.json, line 2: /],
      ["g.yaml", "", /g\.yaml: there is no Secret in it$/],
    ];
    for (const [name, content, message] of cases) {
      const place = home.write(name, content);
      await assert.rejects(read(place), (error: Error & { code?: string }) => {
        assert.equal(error.code, "USAGE", error.message);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /GEHEIM/);
        return true;
      });
    }
    await assert.rejects(read(join(home.path, "absent")), {
      code: "USAGE",
      message: `HOLDFAST_SOPS_KEYS: ${home.path}/absent does not exist`,
    });
    // It is no reason among others, but stops the opening.
    const context = given(join(home.path, "absent"));
    for (const kind of ["pgp", "gcp_kms"] as const) {
      const enc = "-----BEGIN PGP MESSAGE-----";
      await assert.rejects(openKey(wrapped(kind, "x", enc), context), { code: "USAGE" });
    }
  });

  test("entries that are used elsewhere are told, and no reason to fail", async () => {
    using home = folder();
    const notices: string[] = [];
    const entries = { "sops.vault-token": "GEHEIM", "sops.aws-kms": "x", identity: "x" };
    const place = home.write("v.yaml", manifest(entries));
    const keys = await read(place, notices);
    assert.deepEqual([keys.age, keys.pgp, keys.gcpKms], [[], [], []]);
    const all = "sops.vault-token, sops.aws-kms, identity";
    assert.deepEqual(notices, [`${place}: not used: ${all}`]);
    using mounted = folder();
    mkdirSync(join(mounted.path, "folder"));
    await assert.rejects(read(mounted.path), /has no key in it$/);
  });
});
