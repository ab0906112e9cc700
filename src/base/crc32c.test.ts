import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c as plainText } from "../../test/gcs/crc32c.ts";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { crc32c, crc32cText } from "./crc32c.ts";

test("published vectors", () => {
  // RFC 3720 §B.4.
  const ascending = Uint8Array.from({ length: 32 }, (_, i) => i);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(ascending), 0x46dd794e);
  assert.equal(crc32c(ascending.toReversed()), 0x113fdb5c);
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
  assert.equal(crc32c(new Uint8Array(0)), 0);
});

test("every length and start is as the plain twin says, in one go and in two", () => {
  const bytes = seededBytes("crc", 300_000);
  for (const length of [1, 15, 16, 17, 31, 33, 4095, 98_303, 98_304, 98_305, 299_990]) {
    for (const from of [0, 1, 7]) {
      const part = bytes.subarray(from, from + length);
      assert.equal(crc32cText(crc32c(part)), plainText(part), `${length} from ${from}`);
      const half = length >> 1;
      const continued = crc32c(part.subarray(half), crc32c(part.subarray(0, half)));
      assert.equal(continued, crc32c(part));
    }
  }
});
