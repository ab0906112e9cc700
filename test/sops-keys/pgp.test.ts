// Keys wrapped by real gpg open here, in this process and through gpg, and what is wrapped here opens with gpg. Each test
// has a keyring of its own, whose agent ends with it.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { suite, test } from "node:test";
import type { KeyAttempt } from "../../src/sops/key-source.ts";
import { openKey, wrapKey } from "../../src/sops/keys.ts";
import { keyContext, wrapped, type TestKeyContext } from "./context.ts";
import { keyring, KIND } from "./keyring.ts";
import { folder, output, program } from "./programs.ts";

const gpg = program("gpg");
const dataKey = randomBytes(32);
const PASSPHRASE = "correct horse";

function assertOpened(attempt: KeyAttempt, where: string): void {
  assert.ok(attempt.opened, `not opened: ${JSON.stringify(attempt)}`);
  assert.deepEqual(Buffer.from(attempt.dataKey), dataKey);
  assert.equal(attempt.where, where);
}

function reasonOf(attempt: KeyAttempt): string {
  assert.ok(!attempt.opened);
  return attempt.reason;
}

/** No argument or variable of a program was the secret. */
function assertKept(context: TestKeyContext, secret: string): void {
  for (const { args, env } of context.ran) {
    assert.ok(![...args, ...Object.values(env)].some((text) => text?.includes(secret)));
  }
}

suite("PGP keys", { skip: gpg.skip }, () => {
  for (const algorithm of ["default", "future-default"]) {
    test(`a key of the ${algorithm} kind: gpg and an exported key, both ways`, async () => {
      using ring = keyring();
      const fingerprint = ring.make("alice", algorithm);
      const key = wrapped("pgp", fingerprint, ring.encrypt(fingerprint, dataKey));
      const withGpg = keyContext({ GNUPGHOME: ring.path });
      assertOpened(await openKey(key, withGpg), "gpg");
      const file = ring.export("alice");
      const withFile = keyContext({ HOLDFAST_PGP_KEY_FILE: file, GNUPGHOME: "/nowhere" });
      assertOpened(await openKey(key, withFile), `HOLDFAST_PGP_KEY_FILE (${file})`);
      assert.equal(withFile.ran.length, 0);
      for (const context of [withGpg, withFile]) {
        const enc = await wrapKey("pgp", fingerprint, dataKey, context);
        assert.deepEqual(ring.gpg(["--decrypt"], enc), dataKey);
        assertOpened(
          await openKey(wrapped("pgp", fingerprint, enc), withFile),
          `HOLDFAST_PGP_KEY_FILE (${file})`,
        );
      }
    });
  }

  test("a passphrase is asked for once, and reaches gpg by its input alone", async () => {
    using ring = keyring();
    const fingerprint = ring.make("bob", KIND, PASSPHRASE);
    const key = wrapped("pgp", fingerprint, ring.encrypt(fingerprint, dataKey));
    ring.forget();
    const env = { GNUPGHOME: ring.path };
    const nobody = await openKey(key, keyContext(env));
    assert.match(
      reasonOf(nobody),
      /^gpg: has the key, which needs a passphrase .* nobody to ask$/m,
    );
    const asked: string[] = [];
    const answer = (passphrase: string): ((what: string) => Promise<string>) => {
      return (what) => {
        asked.push(what);
        return Promise.resolve(passphrase);
      };
    };
    const wrong = await openKey(key, keyContext(env, { askPassphrase: answer("wrong") }));
    assert.match(reasonOf(wrong), /^gpg: wrong passphrase$/m);
    const right = keyContext(env, { askPassphrase: answer(PASSPHRASE) });
    assertOpened(await openKey(key, right), "gpg");
    ring.forget();
    assertOpened(await openKey(key, right), "gpg");
    assert.equal(asked.length, 2);
    assert.match(asked[0]!, /^PGP key [0-9A-F]{16}$/);
    assertKept(right, PASSPHRASE);
  });

  test("an exported key with a passphrase", async () => {
    using ring = keyring();
    const fingerprint = ring.make("carol", KIND, PASSPHRASE);
    const key = wrapped("pgp", fingerprint, ring.encrypt(fingerprint, dataKey));
    const file = ring.export("carol", PASSPHRASE);
    const env = { HOLDFAST_PGP_KEY_FILE: file, GNUPGHOME: "/nowhere", SOPS_GPG_EXEC: "no-gpg" };
    assert.deepEqual(reasonOf(await openKey(key, keyContext(env))).split("\n"), [
      `HOLDFAST_PGP_KEY_FILE (${file}): the key has a passphrase, and there is nobody to ask`,
      "no-gpg: not installed",
    ]);
    for (const [passphrase, opens] of [
      ["wrong", false],
      [PASSPHRASE, true],
    ] as const) {
      const context = keyContext(env, { askPassphrase: () => Promise.resolve(passphrase) });
      const attempt = await openKey(key, context);
      if (opens) assertOpened(attempt, `HOLDFAST_PGP_KEY_FILE (${file})`);
      else assert.match(reasonOf(attempt), /: wrong passphrase$/m);
    }
  });

  test("several files, public keys and other people's keys", async () => {
    using ring = keyring();
    using other = keyring();
    const fingerprint = ring.make("dave", KIND);
    const key = wrapped("pgp", fingerprint, ring.encrypt(fingerprint, dataKey));
    other.make("erin", KIND);
    const theirs = other.export("erin");
    const ours = ring.export("dave");
    const list = (...files: string[]): Record<string, string> => ({
      HOLDFAST_PGP_KEY_FILE: files.join(delimiter),
      GNUPGHOME: other.path,
    });
    assertOpened(
      await openKey(key, keyContext(list(theirs, ours))),
      `HOLDFAST_PGP_KEY_FILE (${ours})`,
    );
    using more = folder();
    const publicKey = more.write("public.asc", ring.gpg(["--armor", "--export", "dave"]));
    const binary = more.write("binary.gpg", ring.gpg(["--export", "dave"]));
    const rubbish = more.write("rubbish.asc", "rubbish");
    const attempt = await openKey(
      key,
      keyContext(list(theirs, publicKey, binary, rubbish, "/no/where")),
    );
    assert.deepEqual(reasonOf(attempt).split("\n"), [
      `HOLDFAST_PGP_KEY_FILE (${theirs}): 1 PGP key, none that the message is for`,
      `HOLDFAST_PGP_KEY_FILE (${publicKey}): has the public key only`,
      `HOLDFAST_PGP_KEY_FILE (${binary}): has the public key only`,
      `HOLDFAST_PGP_KEY_FILE (${rubbish}): no PGP key in it, or a damaged one`,
      "HOLDFAST_PGP_KEY_FILE (/no/where): missing",
      attempt.opened ? "" : attempt.reason.split("\n").at(-1)!,
    ]);
    assert.match(reasonOf(attempt), /^gpg: no secret key [0-9A-F]{16} in its keyring$/m);
  });

  test("the stub that a smartcard leaves of a key", async () => {
    using ring = keyring();
    using home = folder();
    const fingerprint = ring.make("gina", KIND);
    const { readPrivateKey } = await import("openpgp");
    const armoredKey = readFileSync(ring.export("gina"), "utf8");
    const key = await readPrivateKey({ armoredKey });
    for (const { keyPacket } of key.getKeys()) if ("makeDummy" in keyPacket) keyPacket.makeDummy();
    const file = home.write("stub.asc", key.armor());
    const env = { HOLDFAST_PGP_KEY_FILE: file, SOPS_GPG_EXEC: "no-gpg" };
    const stub = wrapped("pgp", fingerprint, ring.encrypt(fingerprint, dataKey));
    assert.match(reasonOf(await openKey(stub, keyContext(env))), /: holds a stub: /);
  });

  test("a message cannot choose the file that it is written to", async () => {
    using ring = keyring();
    const fingerprint = ring.make("hugo", KIND);
    writeFileSync(join(ring.path, "gpg.conf"), "use-embedded-filename\n");
    const flags = ["--armor", "--set-filename", "holdfast-chosen", "--trust-model", "always"];
    const enc = ring.gpg([...flags, "--encrypt", "--recipient", fingerprint], dataKey);
    const key = wrapped("pgp", fingerprint, enc.toString());
    assertOpened(await openKey(key, keyContext({ GNUPGHOME: ring.path })), "gpg");
    assert.ok(!existsSync("holdfast-chosen"));
  });

  test("a message that grows beyond all measure is refused by gpg", async () => {
    using ring = keyring();
    const fingerprint = ring.make("ida", KIND);
    const flags = ["--armor", "--trust-model", "always", "--encrypt", "--recipient", fingerprint];
    const enc = ring.gpg(flags, new Uint8Array(8 << 20)).toString();
    const attempt = await openKey(
      wrapped("pgp", fingerprint, enc),
      keyContext({ GNUPGHOME: ring.path }),
    );
    assert.match(reasonOf(attempt), /^gpg: /m);
    assert.doesNotMatch(reasonOf(attempt), /bytes are no data key/);
  });

  test("damaged messages, and a gpg that prints nothing", async () => {
    using ring = keyring();
    using home = folder();
    const fingerprint = ring.make("fred", KIND);
    const enc = ring.encrypt(fingerprint, dataKey);
    const file = ring.export("fred");
    const env = { HOLDFAST_PGP_KEY_FILE: file, GNUPGHOME: ring.path };
    const lines = enc.split("\n");
    const cut = [...lines.slice(0, 5), ...lines.slice(-3)].join("\n");
    for (const damaged of [cut, enc.slice(0, 200)]) {
      const attempt = await openKey(wrapped("pgp", fingerprint, damaged), keyContext(env));
      assert.match(reasonOf(attempt), /damaged[^]*^gpg: /m);
    }
    const silent = home.write("silent", "#!/bin/sh\nexit 0\n");
    output("/bin/chmod", ["+x", silent]);
    const attempt = await openKey(
      wrapped("pgp", fingerprint, enc),
      keyContext({ SOPS_GPG_EXEC: silent }),
    );
    assert.match(reasonOf(attempt), /silent: ended well but printed nothing/);
  });

  test("no key is wrapped for a fingerprint that is short, strange or an option", async () => {
    using ring = keyring();
    const context = keyContext({ GNUPGHOME: ring.path });
    for (const id of ["DEADBEEF", "--output=x", "alice@example.org", ""]) {
      await assert.rejects(wrapKey("pgp", id, dataKey, context), { code: "USAGE" });
    }
    assert.equal(context.ran.length, 0);
    await assert.rejects(wrapKey("pgp", "0123456789".repeat(4), dataKey, context), {
      code: "SOPS_NO_KEY",
      message: /gpg: has no usable key of this fingerprint/,
    });
  });
});
