import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  decodePackHeader,
  encodePackHeader,
  HEADER_BYTES_MAX,
  HEADER_ENTRY_COMPRESSED_BYTES,
  PACK_BLOBS_MAX,
  packFileBytes,
} from "./pack-header.ts";
import type { BlobType, PackBlob } from "./pack-header.ts";

const A = "a1".repeat(32);
const B = "b2".repeat(32);

const BLOBS: PackBlob[] = [
  { type: "data", id: A, offset: 0, length: 0x01020304, uncompressedLength: 0 },
  { type: "tree", id: B, offset: 0x01020304, length: 33, uncompressedLength: 0 },
  { type: "data", id: B, offset: 0x01020325, length: 40, uncompressedLength: 0x0a0b0c0d },
  { type: "tree", id: A, offset: 0x0102034d, length: 50, uncompressedLength: 0xffffffff },
];
const HEX =
  `0004030201${A}` + `0121000000${B}` + `02280000000d0c0b0a${B}` + `0332000000ffffffff${A}`;

const blob = fc
  .tuple(
    fc.constantFrom<BlobType>("data", "tree"),
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
    fc.integer({ min: 0, max: 0xffff_ffff }),
    fc.integer({ min: 0, max: 0xffff_ffff }),
  )
  .map(([type, id, length, uncompressedLength]) => {
    return { type, id: Buffer.from(id).toString("hex"), length, uncompressedLength };
  });

test("headers are the bytes of the format, and offsets are implied", () => {
  assert.equal(encodePackHeader(BLOBS).toString("hex"), HEX);
  assert.deepEqual(decodePackHeader(Buffer.from(HEX, "hex")), BLOBS);
  const size = 0x0102034d + 50 + HEX.length / 2 + 32 + 4;
  assert.equal(packFileBytes(BLOBS), size);
  assert.deepEqual(decodePackHeader(Buffer.from(HEX, "hex"), size), BLOBS);
});

test("every list of blobs survives", () => {
  fc.assert(
    fc.property(fc.array(blob, { minLength: 1, maxLength: 6 }), (blobs) => {
      const decoded = decodePackHeader(encodePackHeader(blobs));
      assert.deepEqual(
        decoded.map(({ offset: _, ...rest }) => rest),
        blobs,
      );
      let offset = 0;
      for (const entry of decoded) {
        assert.equal(entry.offset, offset);
        offset += entry.length;
      }
    }),
  );
});

test("a header that does not add up to the file is damage", () => {
  const header = Buffer.from(HEX, "hex");
  const size = packFileBytes(BLOBS);
  for (const wrong of [0, size - 1, size + 1]) {
    assert.throws(() => decodePackHeader(header, wrong), { code: "PACK_DAMAGED" });
  }
});

test("a truncated header, an unknown type and an empty header are damage", () => {
  const header = Buffer.from(HEX, "hex");
  for (const length of [0, 1, 36, 38, 75, 114, header.length - 1]) {
    const cut = header.subarray(0, length);
    assert.throws(() => decodePackHeader(cut), { code: "PACK_DAMAGED" }, String(length));
  }
  const unknown = Buffer.from(header);
  unknown[0] = 4;
  assert.throws(() => decodePackHeader(unknown), { code: "PACK_DAMAGED" });
});

test("the most blobs that a pack may have still fit into the largest header", () => {
  const sealed = (blobs: number): number => blobs * HEADER_ENTRY_COMPRESSED_BYTES + 32;
  assert.ok(sealed(PACK_BLOBS_MAX) <= HEADER_BYTES_MAX);
  assert.ok(sealed(PACK_BLOBS_MAX + 1) > HEADER_BYTES_MAX);
});
