import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isHoldfastError } from "../base/errors.ts";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { bytesFrom, cutAtSegments } from "./wal-pieces.ts";

const SIZE = 1 << 20;

void test("any cut of the stream into messages, some of them twice, gives the same segments", () => {
  const wal = seededBytes("wal", 3 * SIZE + 4567);
  const cuts = fc.array(fc.nat({ max: wal.length }), { maxLength: 40 });
  const property = fc.property(
    cuts,
    fc.nat({ max: 2 ** 33 }),
    fc.nat({ max: 200_000 }),
    (at, where, again) => {
      // Begins anywhere in a segment, far into the log.
      const origin = BigInt(where);
      const borders = [...at, wal.length].toSorted((a, b) => a - b);
      const segments = new Map<number, Buffer>();
      let position = origin;
      let from = 0;
      for (const to of borders) {
        const first = Math.max(0, from - again);
        const message = { start: origin + BigInt(first), bytes: wal.subarray(first, to) };
        const bytes = bytesFrom(position, message);
        for (const piece of cutAtSegments({ start: position, bytes, size: SIZE })) {
          const known = segments.get(piece.segment) ?? Buffer.alloc(0);
          const begin = piece.segment === Math.floor(where / SIZE) ? where % SIZE : 0;
          assert.equal(piece.offset, begin + known.length, "no gap and no overlap");
          assert.ok(piece.bytes.length > 0 && piece.offset + piece.bytes.length <= SIZE);
          segments.set(piece.segment, Buffer.concat([known, piece.bytes]));
        }
        position += BigInt(bytes.length);
        from = to;
      }
      assert.equal(position, origin + BigInt(wal.length));
      const numbers = [...segments.keys()];
      assert.deepEqual(
        numbers,
        numbers.toSorted((a, b) => a - b),
      );
      assert.ok(Buffer.concat([...segments.values()]).equals(wal));
      for (const number of numbers.slice(1, -1)) assert.equal(segments.get(number)!.length, SIZE);
    },
  );
  fc.assert(property, { numRuns: 60 });
});

void test("a message that begins behind the position is refused, an old one adds nothing", () => {
  const bytes = Buffer.from("abcdef");
  assert.throws(
    () => bytesFrom(99n, { start: 100n, bytes }),
    (error) => isHoldfastError(error, "POSTGRES_FAILED") && error.retryable,
  );
  assert.equal(Buffer.from(bytesFrom(102n, { start: 100n, bytes })).toString(), "cdef");
  assert.equal(bytesFrom(106n, { start: 100n, bytes }).length, 0);
  assert.equal(bytesFrom(900n, { start: 100n, bytes }).length, 0);
});
