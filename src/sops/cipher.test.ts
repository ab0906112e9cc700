import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { formatEncrypted, openValue, parseEncrypted, sealValue } from "./cipher.ts";
import { textOf, valueOf } from "./value.ts";

const key = seededBytes("data key", 32);

suite("an encrypted value", () => {
  test("made by sops 3.10.2 opens under its path, and under no other", () => {
    // From test/fixtures/sops/secret.sops.yaml.
    const real = Buffer.from(
      "c2822f4115f028dbcaa7f3c46f37f180c4507cad64fad2dec44e4a88d2112724",
      "hex",
    );
    const text =
      "ENC[AES256_GCM,data:+Rc=,iv:tG0fZk8C1w15uCGlesuTEA7Z7hXEw3koqamS1vtG4Ag=,tag:oTlQ9xrqxImpT7ZT+8LYCw==,type:int]";
    const encrypted = parseEncrypted(text)!;
    assert.equal(encrypted.iv.length, 32);
    assert.equal(textOf(openValue(encrypted, real, "stringData:NUMBER:")!), "42");
    assert.equal(openValue(encrypted, real, "stringData:OTHER:"), undefined);
    assert.equal(openValue({ ...encrypted, type: "bool" }, real, "stringData:NUMBER:"), undefined);
    assert.equal(formatEncrypted(encrypted), text);
  });

  test("comes back from text, whatever it holds", () => {
    fc.assert(
      fc.property(
        fc.uint8Array(),
        fc.string(),
        fc.uint8Array({ minLength: 12, maxLength: 32 }),
        (bytes, path, iv) => {
          const encrypted = parseEncrypted(sealValue({ type: "bytes", bytes }, key, path, iv))!;
          assert.deepEqual(Buffer.from(openValue(encrypted, key, path)!.bytes), Buffer.from(bytes));
        },
      ),
    );
  });

  test("with one bit changed anywhere does not open", () => {
    const sealed = parseEncrypted(
      sealValue(valueOf("str", "secret"), key, "a:", seededBytes("iv", 32)),
    )!;
    for (const field of ["data", "iv", "tag"] as const) {
      for (let bit = 0; bit < sealed[field].length * 8; bit++) {
        const bytes = Buffer.from(sealed[field]);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        assert.equal(openValue({ ...sealed, [field]: bytes }, key, "a:"), undefined);
      }
    }
  });

  test("is taken apart only when it is one", () => {
    const good = sealValue(valueOf("str", "x"), key, "a:", seededBytes("iv", 32));
    assert.ok(parseEncrypted(good));
    const bad = [
      "",
      "ENC[",
      good.slice(0, -1),
      `${good} `,
      good.replace("type:str", "type:set"),
      good.replace("iv:", "iw:"),
      good.replace(/tag:../, "tag:"),
      good.replace("AES256_GCM", "AES128_GCM"),
      good.replace(",type:str", ""),
      good.replace("data:", "data:*"),
      good.replace(/iv:[^,]*/, "iv:"),
    ];
    for (const text of bad) assert.equal(parseEncrypted(text), undefined, text);
  });
});
