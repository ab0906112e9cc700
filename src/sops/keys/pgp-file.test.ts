import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import fc from "fast-check";
import * as pgp from "openpgp";
import { keyContext } from "../../../test/sops-keys/context.ts";
import type { KeyContext } from "../key-source.ts";
import { openWithFile, wrapWithFile, type KeyFile } from "./pgp-file.ts";

const dataKey = randomBytes(32);
const { privateKey } = await pgp.generateKey({
  userIDs: [{ name: "test" }],
  type: "curve25519",
  format: "object",
});
const fingerprint = privateKey.getFingerprint().toUpperCase();
const file = privateKey.armor();

/** The library's own type needs those of a package that it does not bring. */
const encrypt = pgp.encrypt as unknown as (options: object) => Promise<string>;

function withFile(content: string | Uint8Array): KeyContext {
  return keyContext({}, { readFile: () => Promise.resolve(Buffer.from(content)) });
}

function fileOf({ readFile }: KeyContext): KeyFile {
  return { name: "F", read: () => readFile("F") };
}

async function wrap(context: KeyContext): Promise<string> {
  const wrapped = await wrapWithFile(fileOf(context), fingerprint, dataKey, context);
  assert.ok("message" in wrapped, JSON.stringify(wrapped));
  return wrapped.message;
}

suite("exported PGP keys", () => {
  test("armored, binary, and several blocks in one file", async () => {
    const other = await pgp.generateKey({ userIDs: [{ name: "other" }], type: "curve25519" });
    for (const content of [file, privateKey.write(), `${other.privateKey}\n${file}`]) {
      const context = withFile(content);
      const found = await openWithFile(fileOf(context), await wrap(context), context);
      assert.deepEqual(found, new Uint8Array(dataKey));
    }
  });

  test("an expired key encrypts nothing, but still opens what it once did", async () => {
    const born = new Date("2020-01-01T00:00:00Z");
    const expired = await pgp.generateKey({
      userIDs: [{ name: "old" }],
      type: "curve25519",
      date: born,
      keyExpirationTime: 86_400,
      format: "object",
    });
    const id = expired.privateKey.getFingerprint().toUpperCase();
    const context = withFile(expired.privateKey.armor());
    assert.deepEqual(await wrapWithFile(fileOf(context), id, dataKey, context), {
      reason: "the key is expired, revoked, or not for encryption",
    });
    const enc = await encrypt({
      message: await pgp.createMessage({ binary: dataKey }),
      encryptionKeys: expired.publicKey,
      date: new Date("2020-01-01T01:00:00Z"),
    });
    assert.deepEqual(await openWithFile(fileOf(context), enc, context), new Uint8Array(dataKey));
  });

  test("a message that grows beyond all measure is refused", async () => {
    const enc = await encrypt({
      message: await pgp.createMessage({ binary: new Uint8Array(4 << 20) }),
      encryptionKeys: privateKey.toPublic(),
      config: { preferredCompressionAlgorithm: pgp.enums.compression.zlib },
    });
    assert.ok(enc.length < 65_536);
    const context = withFile(file);
    assert.match(String(await openWithFile(fileOf(context), enc, context)), /is damaged$/);
  });

  test("no damage throws or gives another key", async () => {
    const context = withFile(file);
    const enc = await wrap(context);
    await fc.assert(
      fc.asyncProperty(fc.nat(enc.length), fc.string({ maxLength: 8 }), async (at, put) => {
        const found = await openWithFile(
          fileOf(context),
          enc.slice(0, at) + put + enc.slice(at + put.length),
          context,
        );
        if (typeof found !== "string") assert.deepEqual(found, new Uint8Array(dataKey));
      }),
      { numRuns: 60 },
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(file.length), fc.string({ maxLength: 8 }), async (at, put) => {
        const damaged = withFile(file.slice(0, at) + put + file.slice(at + put.length));
        const found = await openWithFile(fileOf(context), enc, damaged);
        if (typeof found === "string") assert.ok(!file.includes(found.slice(0, 20)));
      }),
      { numRuns: 40 },
    );
  });
});
