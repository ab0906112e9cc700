// Keys wrapped by real age open here, and what is wrapped here opens with real age: X25519, post-quantum and SSH.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import type { KeyAttempt } from "../../src/sops/key-source.ts";
import { openKey, wrapKey } from "../../src/sops/keys.ts";
import { keyContext, wrapped } from "./context.ts";
import { folder, output, program, type Folder } from "./programs.ts";

const age = program("age");
const keygen = program("age-keygen");
const sshKeygen = program("ssh-keygen");
// It types a passphrase for age, which otherwise wants a terminal; only in new versions.
const locker = program("age-plugin-batchpass");
const dataKey = randomBytes(32);

/** The identity of a new key, and its recipient. */
function newKey(...flags: string[]): { identity: string; recipient: string } {
  const text = output(keygen.path, flags).toString();
  return { identity: text, recipient: /# public key: (\S+)/.exec(text)![1]! };
}

function encrypt(recipient: string, data: Uint8Array = dataKey): string {
  return output(age.path, ["--armor", "--recipient", recipient], data).toString();
}

function assertOpened(attempt: KeyAttempt, where: string | RegExp): void {
  assert.ok(attempt.opened, `not opened: ${JSON.stringify(attempt)}`);
  assert.deepEqual(Buffer.from(attempt.dataKey), dataKey);
  if (typeof where === "string") assert.equal(attempt.where, where);
  else assert.match(attempt.where, where);
}

function reasonOf(attempt: KeyAttempt): string {
  assert.ok(!attempt.opened);
  return attempt.reason;
}

suite("age keys", { skip: age.skip || keygen.skip }, () => {
  test("every place of an identity serves", async () => {
    using home = folder();
    const { identity, recipient } = newKey();
    const file = home.write("some.txt", identity);
    const key = wrapped("age", recipient, encrypt(recipient));
    const line = identity.split("\n").find((one) => one.startsWith("AGE"))!;
    const cases: [env: Record<string, string>, where: string][] = [
      [{ SOPS_AGE_KEY: identity }, "SOPS_AGE_KEY"],
      [{ SOPS_AGE_KEY: `${newKey().identity} ${line}` }, "SOPS_AGE_KEY"],
      [{ SOPS_AGE_KEY_FILE: file }, `SOPS_AGE_KEY_FILE (${file})`],
      [{ SOPS_AGE_KEY_CMD: `cat '${file}'` }, "SOPS_AGE_KEY_CMD"],
    ];
    for (const [env, where] of cases) assertOpened(await openKey(key, keyContext(env)), where);
    using config = folder();
    const keys = join(config.path, "sops/age");
    output("/bin/mkdir", ["-p", keys]);
    output("/bin/cp", [file, join(keys, "keys.txt")]);
    const env = { XDG_CONFIG_HOME: config.path };
    assertOpened(await openKey(key, keyContext(env)), join(keys, "keys.txt"));
  });

  test("a command is told the recipient, and run once for it", async () => {
    using home = folder();
    const { identity, recipient } = newKey();
    const script = home.write(
      "find-key",
      `#!/bin/sh\n[ "$SOPS_AGE_RECIPIENT" = ${recipient} ] || exit 3\ncat <<'END'\n${identity}\nEND\n`,
    );
    const context = keyContext({ SOPS_AGE_KEY_CMD: `sh ${script}` });
    const key = wrapped("age", recipient, encrypt(recipient));
    assertOpened(await openKey(key, context), "SOPS_AGE_KEY_CMD");
    assertOpened(await openKey(key, context), "SOPS_AGE_KEY_CMD");
    assert.equal(context.ran.length, 1);
    const other = newKey().recipient;
    const refused = await openKey(wrapped("age", other, encrypt(other)), context);
    assert.match(reasonOf(refused), /^SOPS_AGE_KEY_CMD: the command ended with status 3$/m);
  });

  test("every place that did not help is told, in a line without a secret", async () => {
    using home = folder();
    const { recipient } = newKey();
    const other = newKey();
    const secret = other.identity.split("\n").find((one) => one.startsWith("AGE"))!;
    const file = home.write("bad.txt", `# mine\n\n${secret.slice(0, -3)}\n${other.recipient}\n`);
    const env = { HOME: home.path, SOPS_AGE_KEY: secret, SOPS_AGE_KEY_FILE: file };
    const key = wrapped("age", recipient, encrypt(recipient));
    const reason = reasonOf(await openKey(key, keyContext(env)));
    assert.deepEqual(reason.split("\n"), [
      `SOPS_AGE_KEY: 1 identity, none for this recipient (${other.recipient.slice(0, 16)}…)`,
      `SOPS_AGE_KEY_FILE (${file}): ${file}:3 is a damaged age identity; ` +
        `${file}:4 is a recipient, which cannot open anything`,
      `${home.path}/.config/sops/age/keys.txt: missing`,
      "SOPS_AGE_KEY_CMD: not set",
      "SOPS_AGE_SSH_PRIVATE_KEY_FILE: not set",
      "SOPS_AGE_SSH_PRIVATE_KEY_CMD: not set",
      `${home.path}/.ssh/id_ed25519: missing`,
      `${home.path}/.ssh/id_rsa: missing`,
    ]);
    assert.doesNotMatch(reason, /AGE-SECRET/);
  });

  test("a damaged wrapped key is told apart from a missing identity", async () => {
    const { identity, recipient } = newKey();
    const enc = encrypt(recipient);
    const context = keyContext({ SOPS_AGE_KEY: identity });
    const lines = enc.trimEnd().split("\n");
    const last = lines.at(-2)!;
    const flipped = last.startsWith("A") ? `B${last.slice(1)}` : `A${last.slice(1)}`;
    const changed = lines.with(-2, flipped).join("\n");
    const damaged = await openKey(wrapped("age", recipient, changed), context);
    assert.match(reasonOf(damaged), /^SOPS_AGE_KEY: has the identity, but .* is damaged$/m);
    for (const cut of [0, 10, 60, 120, enc.length - 40]) {
      const attempt = await openKey(wrapped("age", recipient, enc.slice(0, cut)), context);
      assert.equal(reasonOf(attempt), "the wrapped key is no age file");
    }
    const short = encrypt(recipient, Buffer.from("short"));
    const attempt = await openKey(wrapped("age", recipient, short), context);
    assert.match(reasonOf(attempt), /5 bytes are no data key/);
  });

  test("what is wrapped here opens with age", async () => {
    using home = folder();
    const { identity, recipient } = newKey();
    const enc = await wrapKey("age", recipient, dataKey, keyContext());
    const file = home.write("key.txt", identity);
    assert.deepEqual(output(age.path, ["--decrypt", "--identity", file], enc), dataKey);
  });

  test("post-quantum keys, both ways", async (t) => {
    using home = folder();
    let made: { identity: string; recipient: string };
    try {
      made = newKey("-pq");
    } catch {
      t.skip("this age makes no post-quantum keys");
      return;
    }
    const { identity, recipient } = made;
    const context = keyContext({ SOPS_AGE_KEY: identity });
    assertOpened(
      await openKey(wrapped("age", recipient, encrypt(recipient)), context),
      "SOPS_AGE_KEY",
    );
    const enc = await wrapKey("age", recipient, dataKey, context);
    const file = home.write("key.txt", identity);
    assert.deepEqual(output(age.path, ["--decrypt", "--identity", file], enc), dataKey);
  });

  test(
    "an identity file that age itself locked with a passphrase",
    { skip: locker.skip },
    async () => {
      using home = folder();
      const { identity, recipient } = newKey();
      const env = { AGE_PASSPHRASE: "correct horse", AGE_PASSPHRASE_WORK_FACTOR: "10" };
      const flags = ["--encrypt", "--armor", "-j", "batchpass"];
      const file = home.write("keys.age", output(age.path, flags, identity, env));
      const key = wrapped("age", recipient, encrypt(recipient));
      const askPassphrase = (): Promise<string> => Promise.resolve("correct horse");
      const context = keyContext({ SOPS_AGE_KEY_FILE: file }, { askPassphrase });
      assertOpened(await openKey(key, context), `SOPS_AGE_KEY_FILE (${file})`);
    },
  );

  test("no private key is repeated when it is given as a recipient", async () => {
    const { identity } = newKey();
    const secret = identity.split("\n").find((one) => one.startsWith("AGE"))!;
    await assert.rejects(wrapKey("age", secret, dataKey, keyContext()), (error: Error) => {
      assert.doesNotMatch(`${error.message} ${error.stack}`, new RegExp(secret.slice(15, 40)));
      return true;
    });
  });
});

function sshKey(home: Folder, type: string, ...flags: string[]): { file: string; line: string } {
  const file = join(home.path, `id_${type}`);
  output(sshKeygen.path, ["-q", "-t", type, "-N", "", "-C", "test", "-f", file, ...flags]);
  return { file, line: readFileSync(`${file}.pub`, "utf8").trim() };
}

suite("SSH keys", { skip: age.skip || sshKeygen.skip }, () => {
  const kinds: [type: string, flags: string[]][] = [
    ["ed25519", []],
    ["rsa", ["-b", "2048"]],
    ["rsa", ["-b", "2048", "-m", "PEM"]],
  ];
  for (const [type, flags] of kinds) {
    test(`ssh-${type} ${flags.join(" ")}, both ways`, async () => {
      using home = folder();
      const { file, line } = sshKey(home, type, ...flags);
      const key = wrapped("age", line, encrypt(line));
      const env = { SOPS_AGE_SSH_PRIVATE_KEY_FILE: file };
      assertOpened(await openKey(key, keyContext(env)), `SOPS_AGE_SSH_PRIVATE_KEY_FILE (${file})`);
      const command = { SOPS_AGE_SSH_PRIVATE_KEY_CMD: `cat ${file}` };
      assertOpened(await openKey(key, keyContext(command)), "SOPS_AGE_SSH_PRIVATE_KEY_CMD");
      output("/bin/mkdir", [join(home.path, ".ssh")]);
      output("/bin/cp", [file, join(home.path, ".ssh")]);
      assertOpened(await openKey(key, keyContext({ HOME: home.path })), /\.ssh\/id_/);
      const enc = await wrapKey("age", line, dataKey, keyContext());
      assert.deepEqual(output(age.path, ["--decrypt", "--identity", file], enc), dataKey);
    });
  }

  test("a key with a passphrase, or of another kind, is a reason", async () => {
    using home = folder();
    const { line } = sshKey(home, "ed25519");
    const enc = encrypt(line);
    const locked = join(home.path, "locked");
    output(sshKeygen.path, ["-q", "-t", "ed25519", "-N", "a passphrase", "-f", locked]);
    const ecdsa = join(home.path, "ecdsa");
    output(sshKeygen.path, ["-q", "-t", "ecdsa", "-N", "", "-f", ecdsa]);
    for (const [file, why] of [
      [locked, /the SSH key has a passphrase/],
      [ecdsa, /age knows no ecdsa-sha2-nistp256 keys/],
    ] as const) {
      const env = { SOPS_AGE_SSH_PRIVATE_KEY_FILE: file };
      assert.match(reasonOf(await openKey(wrapped("age", line, enc), keyContext(env))), why);
    }
  });
});
