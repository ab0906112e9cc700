import { suite, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { gzipSync } from "node:zlib";
import { segmentStart } from "../barman/lsn.ts";
import { segmentName } from "../barman/wal-name.ts";
import { crc32c } from "../base/crc32c.ts";
import { openMemoryStorage } from "../storage/memory.ts";
import { segmentOf } from "../../test/postgres/made-up-wal.ts";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { archiveOf } from "./archive.ts";
import { partialReach, reachOf } from "./partial-reach.ts";

const SIZE = 1 << 20;
const PAGE = 8192;
const SEGMENT = 7;
const NAME = segmentName(1, SEGMENT, SIZE);
const START = segmentStart(SEGMENT, SIZE);

interface MadeLog {
  readonly bytes: Buffer;
  /** Where each record ends, and the next one may begin. */
  readonly ends: readonly number[];
}

/** A record with a true checksum; its content ends in `zeros` zeros. */
function recordOf(length: number, seed: string, zeros: number): Buffer {
  const record = Buffer.from(seededBytes(seed, length));
  record.fill(0, Math.max(24, length - zeros));
  record.writeUInt32LE(length, 0);
  record.writeUInt32LE(crc32c(record.subarray(0, 20), crc32c(record.subarray(24))), 20);
  return record;
}

/** A segment in which `first` bytes of an earlier record come first, then records of these lengths. */
function logOf(first: number, lengths: readonly number[]): MadeLog {
  const bytes = Buffer.alloc(SIZE);
  segmentOf({ timeline: 1, segment: SEGMENT, size: SIZE }).copy(bytes, 0, 0, 40);
  let at = 40;
  const put = (data: Buffer): void => {
    for (let taken = 0; taken < data.length;) {
      if (at % PAGE === 0) {
        const left = taken === 0 ? 0 : data.length - taken;
        bytes.writeUInt16LE(0xd110, at);
        bytes.writeUInt16LE(left > 0 ? 1 : 0, at + 2);
        bytes.writeUInt32LE(1, at + 4);
        bytes.writeBigUInt64LE(START + BigInt(at), at + 8);
        bytes.writeUInt32LE(left, at + 16);
        at += 24;
      }
      const size = Math.min(data.length - taken, PAGE - (at % PAGE));
      data.copy(bytes, at, taken, taken + size);
      at += size;
      taken += size;
    }
    at = Math.ceil(at / 8) * 8;
  };
  if (first > 0) {
    bytes.writeUInt16LE(3, 2);
    bytes.writeUInt32LE(first, 16);
    put(Buffer.alloc(first, 7));
  }
  const ends = [at];
  for (const [number, length] of lengths.entries()) {
    put(recordOf(length, `record ${number}`, number % 3 === 0 ? 12 : 0));
    ends.push(at);
  }
  return { bytes, ends };
}

const anyLog = fc
  .tuple(
    fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20_000 })),
    fc.array(fc.oneof(fc.integer({ min: 24, max: 200 }), fc.integer({ min: 24, max: 30_000 })), {
      maxLength: 25,
    }),
  )
  .map(([first, lengths]) => ({ first, lengths }));

suite("how far a partial segment reaches", () => {
  const expected = { name: NAME, source: "a test" };
  const reach = (bytes: Uint8Array): number => Number(reachOf(bytes, expected) - START);

  test("to the end of its last record, also of one that ends in zeros", () => {
    fc.assert(
      fc.property(anyLog, ({ first, lengths }) => {
        const { bytes, ends } = logOf(first, lengths);
        // What is left of an earlier record alone proves nothing.
        assert.equal(reach(bytes), first > 0 && lengths.length === 0 ? 0 : ends.at(-1));
      }),
      { numRuns: 100 },
    );
  });

  test("cut anywhere, to the last record that is whole", () => {
    fc.assert(
      fc.property(
        anyLog,
        fc.double({ min: 0, max: 1, noNaN: true }),
        ({ first, lengths }, part) => {
          const { bytes, ends } = logOf(first, lengths);
          const cut = 40 + Math.floor((ends.at(-1)! - 40) * part);
          const torn = Buffer.from(bytes).fill(0, cut);
          // Zeros at the end of a record are there whether they were written or not.
          const found = reach(torn);
          const last = ends.findLast((end) => end <= cut) ?? 0;
          // The rest of an earlier record counts when another one follows on it.
          const least = first > 0 && last === ends[0] ? 0 : last;
          assert.ok(found === 0 || ends.includes(found), String(found));
          assert.ok(
            found >= least && found <= Math.max(last, cut + 16 + 24),
            `${found}, cut ${cut}`,
          );
        },
      ),
      { numRuns: 200 },
    );
  });

  test("what an earlier use of the file left, and what is damaged, end it", () => {
    const { bytes, ends } = logOf(100, [5000, 6000, 7000, 40]);
    const old = Buffer.from(bytes);
    old.writeBigUInt64LE(START - BigInt(SIZE), PAGE + 8);
    assert.equal(reach(old), ends[1]);
    const damaged = Buffer.from(bytes);
    damaged[ends[2]! + 30]! ^= 1;
    assert.equal(reach(damaged), ends[2]);
    // The rest of a record that began in the segment before is not here.
    const { bytes: long } = logOf(500_000, []);
    assert.equal(reach(Buffer.from(long).fill(0, 300_000)), 0);
  });

  test("read from the archive, compressed or not; what is gone or damaged tells nothing", async () => {
    const storage = openMemoryStorage();
    const archive = archiveOf(storage, "one");
    const put = async (suffix: string, content: Uint8Array): Promise<string> => {
      const path = `wals/${NAME.slice(0, 16)}/${NAME}.partial${suffix}`;
      await archive.storage.put(path, content, {});
      return path;
    };
    const { bytes, ends } = logOf(0, [1000, 20_000, 50]);
    const end = START + BigInt(ends.at(-1)!);
    const gzip = await put(".gz", gzipSync(bytes.subarray(0, 4 * PAGE)));
    assert.equal(await partialReach(archive, { path: gzip }), end);
    const plain = await put("", bytes);
    assert.equal(await partialReach(archive, { path: plain }, { segmentSize: SIZE }), end);
    const damaged = await put(".zst", Buffer.from("not compressed"));
    assert.equal(await partialReach(archive, { path: damaged }), undefined);
    const gone = gzip.replace(NAME, segmentName(1, 8, SIZE));
    assert.equal(await partialReach(archive, { path: gone }), undefined);
    assert.equal(await partialReach(archive, { path: "base/x/backup.info" }), undefined);
  });
});
