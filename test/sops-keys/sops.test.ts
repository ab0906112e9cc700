// Documents of real sops: the data keys that it wrapped open here, and it opens those that were wrapped here.

import assert from "node:assert/strict";
import { join } from "node:path";
import { suite, test } from "node:test";
import type { KeyKind } from "../../src/sops/key-source.ts";
import { openKey, wrapKey } from "../../src/sops/keys.ts";
import { keyContext, wrapped } from "./context.ts";
import { folder, output, program } from "./programs.ts";

const sops = program("sops", "sops-newest");
const keygen = program("age-keygen");
const gpg = program("gpg");
const sshKeygen = program("ssh-keygen");

interface Entry {
  enc: string;
  recipient?: string;
  fp?: string;
}

/** Encrypts with sops, opens its key, wraps it anew, and decrypts with sops. */
async function bothWays(
  kind: "age" | "pgp",
  recipient: string,
  env: Record<string, string>,
): Promise<void> {
  using home = folder();
  // Nothing of this machine may help.
  const own = { HOME: home.path, XDG_CONFIG_HOME: home.path, ...env };
  const plain = home.write("plain.json", '{"password": "hello"}');
  const text = output(sops.path, ["--encrypt", `--${kind}`, recipient, plain], "", own);
  const document = JSON.parse(text.toString()) as { sops: Record<KeyKind, Entry[]> };
  const entry = document.sops[kind][0]!;
  const context = keyContext(own);
  const id = entry.recipient ?? entry.fp!;
  const attempt = await openKey(wrapped(kind, id, entry.enc), context);
  assert.ok(attempt.opened, JSON.stringify(attempt));
  entry.enc = await wrapKey(kind, id, attempt.dataKey, context);
  const again = home.write("again.json", JSON.stringify(document));
  const opened = JSON.parse(output(sops.path, ["--decrypt", again], "", own).toString()) as unknown;
  assert.deepEqual(opened, { password: "hello" });
}

suite("keys in documents of sops", { skip: sops.skip }, () => {
  test("age", { skip: keygen.skip }, async () => {
    const identity = output(keygen.path, []).toString();
    const recipient = /# public key: (\S+)/.exec(identity)![1]!;
    await bothWays("age", recipient, { SOPS_AGE_KEY: identity });
  });

  test("post-quantum age", async () => {
    const { generateHybridIdentity, identityToRecipient } = await import("age-encryption");
    const identity = await generateHybridIdentity();
    await bothWays("age", await identityToRecipient(identity), { SOPS_AGE_KEY: identity });
  });

  test("SSH", { skip: sshKeygen.skip }, async () => {
    for (const type of ["ed25519", "rsa"]) {
      using home = folder();
      const file = join(home.path, "key");
      output(sshKeygen.path, ["-q", "-t", type, "-N", "", "-C", "", "-f", file]);
      const line = output(sshKeygen.path, ["-y", "-f", file]).toString().trim();
      await bothWays("age", line, { SOPS_AGE_SSH_PRIVATE_KEY_FILE: file });
    }
  });

  test("PGP", { skip: gpg.skip }, async () => {
    using home = folder();
    const env = { GNUPGHOME: home.path };
    const flags = ["--batch", "--quiet", "--passphrase", "", "--quick-generate-key"];
    output(gpg.path, [...flags, "sops", "future-default", "default", "never"], "", env);
    const list = output(gpg.path, ["--with-colons", "--list-keys"], "", env).toString();
    try {
      await bothWays("pgp", /^fpr:+([0-9A-F]{40}):/m.exec(list)![1]!, env);
    } finally {
      output("gpgconf", ["--kill", "all"], "", env);
    }
  });
});
