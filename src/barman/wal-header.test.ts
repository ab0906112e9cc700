import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { makeSegment, MADE_SIZE, MADE_SYSTEM_ID } from "../../test/postgres/segments.ts";
import { isHoldfastError } from "../base/errors.ts";
import { readSegmentHeader, requireSegmentHeader, walkPages } from "./wal-header.ts";

const NAME = "00000003000000A700000123";
const PAGE = 8192;
const expected = { name: NAME, source: "the file" };

test("the header of a segment is read, of every major", () => {
  for (const [magic, major] of [
    [0xd106, 13],
    [0xd10d, 14],
    [0xd110, 15],
    [0xd113, 16],
    [0xd116, 17],
    [0xd118, 18],
    [0xd130, undefined],
  ] as const) {
    const found = requireSegmentHeader(makeSegment({ name: NAME, magic }), expected);
    assert.deepEqual(found, {
      major,
      magic,
      timeline: 3,
      address: 0xa7_1230_0000n,
      systemId: MADE_SYSTEM_ID,
      segmentSize: MADE_SIZE,
      blockSize: PAGE,
    });
  }
});

test("a segment of another place, timeline, size or server is told from the one that is wanted", () => {
  const segment = makeSegment({ name: NAME });
  const refuse = (
    options: Partial<Parameters<typeof requireSegmentHeader>[1]>,
    message: RegExp,
    code = "WAL_INVALID",
  ): void => {
    assert.throws(() => requireSegmentHeader(segment, { ...expected, ...options }), {
      code,
      message,
    });
  };
  refuse({ name: "00000003000000A700000124" }, /begins at A7\/12300000, and .* at A7\/12400000/);
  refuse({ name: "00000003000000A800000123" }, /begins at/);
  refuse({ name: "00000002000000A700000123" }, /is of timeline 3, and its name says 2/);
  refuse({ segmentSize: 1 << 24 }, /its segments have 1048576 bytes, not 16777216/);
  refuse({ name: "00000003000000A700001123" }, /there is none called/);
  refuse({ systemId: 5n }, /system identifier 7412345678901234567, not 5/, "ARCHIVE_FOREIGN");
  // A new timeline begins with a copy of its ancestor's pages.
  const copied = makeSegment({ name: NAME, timeline: 2 });
  assert.equal(requireSegmentHeader(copied, expected).timeline, 2);
});

test("what is no segment is refused with the reason", () => {
  const changed = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = makeSegment({ name: NAME });
    change(bytes);
    return bytes;
  };
  const cases: [Buffer, RegExp][] = [
    [Buffer.alloc(0), /0 bytes/],
    [Buffer.alloc(MADE_SIZE), /does not begin as WAL does/],
    [changed((bytes) => bytes.subarray(0, 2).reverse()), /its bytes are in another order/],
    [changed((bytes) => bytes.writeUInt16LE(0, 2)), /first page is not that of a segment/],
    [changed((bytes) => bytes.writeUInt16LE(0x12, 2)), /first page is not that of a segment/],
    [changed((bytes) => bytes.writeUInt32LE(3 << 20, 32)), /segment size of 3145728/],
    [changed((bytes) => bytes.writeUInt32LE(1000, 36)), /pages of 1000/],
  ];
  for (const [bytes, message] of cases) {
    assert.throws(() => readSegmentHeader(bytes, "the file"), { code: "WAL_INVALID", message });
  }
});

test("whatever the bytes are, they are a header or WAL_INVALID", () => {
  const valid = makeSegment({ name: NAME }).subarray(0, 60);
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.array(fc.tuple(fc.nat(59), fc.nat(255)), { maxLength: 4 }).map((changes) => {
      const copy = Uint8Array.from(valid);
      for (const [at, byte] of changes) copy[at] = byte;
      return copy;
    }),
  );
  fc.assert(
    fc.property(bytes, (each) => {
      try {
        requireSegmentHeader(each, expected);
      } catch (error) {
        assert.ok(isHoldfastError(error, "WAL_INVALID"), String(error));
      }
    }),
    { numRuns: 1000 },
  );
});

test("pages are followed to where the log ends", () => {
  const whole = (pages: number): number =>
    walkPages(makeSegment({ name: NAME, pages }), { ...expected, whole: true }).usedBytes;
  assert.equal(whole(MADE_SIZE / PAGE), MADE_SIZE);
  assert.equal(whole(5), 5 * PAGE);
  assert.equal(whole(1), PAGE);
});

test("a page that does not follow is found in a whole segment, and ends a partial one", () => {
  const changes: ((bytes: Buffer, at: number) => void)[] = [
    (bytes, at) => bytes.writeUInt16LE(0xd10d, at),
    (bytes, at) => bytes.writeUInt16LE(2, at + 2),
    (bytes, at) => bytes.writeUInt16LE(0x40, at + 2),
    (bytes, at) => bytes.writeUInt32LE(2, at + 4),
    (bytes, at) => bytes.writeUInt32LE(4, at + 4),
    (bytes, at) => bytes.writeUInt8(1, at + 10),
    (bytes, at) => bytes.writeUInt32LE(7, at + 16),
    (bytes, at) => bytes.fill(0, at, at + PAGE),
  ];
  for (const change of changes) {
    const bytes = makeSegment({ name: NAME });
    change(bytes, 7 * PAGE);
    assert.throws(() => walkPages(bytes, { ...expected, whole: true }), {
      code: "WAL_INVALID",
      message: /the page at A7\/1230E000 \(byte 57344\) does not follow the one before/,
    });
    const found = walkPages(bytes, { ...expected, whole: false });
    assert.equal(found.usedBytes, 7 * PAGE);
    assert.equal(found.endsInZeros, false);
  }
});

test("a whole segment that is cut short is refused", () => {
  const bytes = makeSegment({ name: NAME }).subarray(0, MADE_SIZE - 1);
  assert.throws(() => walkPages(bytes, { ...expected, whole: true }), {
    code: "WAL_INVALID",
    message: /1048575 of 1048576 bytes/,
  });
});

test("the timeline may go forward within a segment, never back", () => {
  const bytes = makeSegment({ name: NAME, timeline: 1 });
  for (let at = 9 * PAGE; at < MADE_SIZE; at += PAGE) bytes.writeUInt32LE(3, at + 4);
  assert.equal(walkPages(bytes, { ...expected, whole: true }).usedBytes, MADE_SIZE);
  bytes.writeUInt32LE(1, 20 * PAGE + 4);
  assert.throws(() => walkPages(bytes, { ...expected, whole: true }), { code: "WAL_INVALID" });
});
