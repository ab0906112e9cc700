import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import type { ManifestAlgorithm } from "../barman/backup-manifest.ts";
import { startDigest } from "./file-digest.ts";

function digestOf(algorithm: ManifestAlgorithm, pieces: readonly Uint8Array[]): string {
  const digest = startDigest(algorithm);
  for (const piece of pieces) digest.update(piece);
  return digest.finish();
}

test("a CRC-32C as a server of version 15 wrote it of its PG_VERSION", () => {
  assert.equal(digestOf("CRC32C", [Buffer.from("15\n")]), "8a744722");
  assert.equal(
    digestOf("CRC32C", [Buffer.from("1"), Buffer.alloc(0), Buffer.from("5\n")]),
    "8a744722",
  );
  assert.equal(digestOf("CRC32C", []), "00000000");
});

test("the others, as that server wrote them of it", () => {
  assert.equal(
    digestOf("SHA224", [Buffer.from("15\n")]),
    "33d5f71bef0638fb2aa65a5d48851e6a3117148795b7f7b4dab02a82",
  );
  assert.equal(digestOf("NONE", [Buffer.from("15\n")]), "");
});

test("pieces do not matter", () => {
  fc.assert(
    fc.property(
      fc.constantFrom<ManifestAlgorithm>("CRC32C", "SHA224", "SHA256", "SHA384", "SHA512"),
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
      (algorithm, pieces) => {
        const whole = Buffer.concat(pieces);
        assert.equal(digestOf(algorithm, pieces), digestOf(algorithm, [whole]));
        if (algorithm !== "CRC32C")
          assert.equal(digestOf(algorithm, [whole]), hash(algorithm.toLowerCase(), whole, "hex"));
      },
    ),
  );
});
