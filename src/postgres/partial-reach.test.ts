import { suite, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { gzipSync } from "node:zlib";
import { segmentStart } from "../barman/lsn.ts";
import { segmentName } from "../barman/wal-name.ts";
import { openMemoryStorage } from "../storage/memory.ts";
import { segmentOf } from "../../test/postgres/made-up-wal.ts";
import { archiveOf } from "./archive.ts";
import { partialReach, reachOf } from "./partial-reach.ts";

const SIZE = 1 << 20;
const PAGE = 8192;
const SEGMENT = 7;
const NAME = segmentName(1, SEGMENT, SIZE);
const START = segmentStart(SEGMENT, SIZE);

/** A segment whose pages all have headers, filled with content up to `end`, and zeros behind. */
function filledTo(end: number): Buffer {
  const bytes = segmentOf({ timeline: 1, segment: SEGMENT, size: SIZE });
  for (let at = PAGE; at < SIZE; at += PAGE) {
    bytes.fill(0, at, at + 24);
    bytes.writeUInt16LE(0xd110, at);
    bytes.writeUInt32LE(1, at + 4);
    bytes.writeBigUInt64LE(START + BigInt(at), at + 8);
  }
  bytes.fill(0, end);
  return bytes;
}

suite("how far a partial segment reaches", () => {
  const expected = { name: NAME, source: "a test" };

  test("never behind its content, and no more than a record's alignment short of it", () => {
    fc.assert(
      fc.property(fc.integer({ min: 40, max: SIZE }), (end) => {
        const bytes = filledTo(end);
        let filled = end;
        while (bytes[filled - 1] === 0) filled--;
        const reach = Number(reachOf(bytes, expected) - START);
        assert.ok(reach <= Math.ceil(end / 8) * 8, `${reach} of ${end}`);
        // The last page does not count before it has a whole header.
        const page = filled - (filled % PAGE);
        const least = filled - page >= 24 ? filled : page;
        assert.ok(reach >= least, `${reach} of ${least}`);
      }),
      { numRuns: 100 },
    );
  });

  test("a page of an earlier use of the file ends it", () => {
    const bytes = filledTo(SIZE);
    bytes.writeBigUInt64LE(START - BigInt(SIZE), 10 * PAGE + 8);
    assert.equal(reachOf(bytes, expected), START + BigInt(10 * PAGE));
  });

  test("read from the archive, compressed or not; what is gone or damaged tells nothing", async () => {
    const storage = openMemoryStorage();
    const archive = archiveOf(storage, "one");
    const put = async (suffix: string, content: Uint8Array): Promise<string> => {
      const path = `wals/${NAME.slice(0, 16)}/${NAME}.partial${suffix}`;
      await archive.storage.put(path, content, {});
      return path;
    };
    const bytes = filledTo(3 * PAGE + 1000);
    const end = reachOf(bytes, expected);
    const gzip = await put(".gz", gzipSync(bytes.subarray(0, 4 * PAGE)));
    assert.equal(await partialReach(archive, { path: gzip }), end);
    const plain = await put("", bytes);
    assert.equal(await partialReach(archive, { path: plain }, { segmentSize: SIZE }), end);
    const damaged = await put(".zst", Buffer.from("not compressed"));
    assert.equal(await partialReach(archive, { path: damaged }), undefined);
    assert.equal(
      await partialReach(archive, { path: gzip.replace(NAME, segmentName(1, 8, SIZE)) }),
      undefined,
    );
    assert.equal(await partialReach(archive, { path: "base/x/backup.info" }), undefined);
  });
});
