import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import type { HoldfastError } from "../base/errors.ts";
import {
  compareLsn,
  formatLsn,
  isSegmentSize,
  parseLsn,
  readLsn,
  segmentAt,
  segmentBefore,
  segmentStart,
} from "./lsn.ts";
import {
  formatWalName,
  readWalName,
  segmentName,
  segmentNames,
  segmentNumber,
  walFolder,
} from "./wal-name.ts";
import type { Compression, WalName } from "./wal-name.ts";

const MIB = 1 << 20;
const SIZES = Array.from({ length: 11 }, (_, power) => MIB << power);
const anySize = fc.constantFrom(...SIZES);
const anyLsn = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const anyTimeline = fc.integer({ min: 1, max: 0xffffffff });
const anyCompression = fc.constantFrom<(Compression | null)[]>(
  null,
  "gzip",
  "bzip2",
  "xz",
  "snappy",
  "zstd",
  "lz4",
);

const NAME = "0000000300000A1B000000FF";

test("names of every kind, with every suffix that Barman gives", () => {
  const cases: [text: string, parts: WalName, folder: string][] = [
    [NAME, { kind: "segment", name: NAME, timeline: 3, compression: null }, "0000000300000A1B"],
    [
      `${NAME}.gz`,
      { kind: "segment", name: NAME, timeline: 3, compression: "gzip" },
      "0000000300000A1B",
    ],
    [
      `${NAME}.bz2`,
      { kind: "segment", name: NAME, timeline: 3, compression: "bzip2" },
      "0000000300000A1B",
    ],
    [
      `${NAME}.xz`,
      { kind: "segment", name: NAME, timeline: 3, compression: "xz" },
      "0000000300000A1B",
    ],
    [
      `${NAME}.snappy`,
      { kind: "segment", name: NAME, timeline: 3, compression: "snappy" },
      "0000000300000A1B",
    ],
    [
      `${NAME}.zst`,
      { kind: "segment", name: NAME, timeline: 3, compression: "zstd" },
      "0000000300000A1B",
    ],
    [
      `${NAME}.lz4`,
      { kind: "segment", name: NAME, timeline: 3, compression: "lz4" },
      "0000000300000A1B",
    ],
    [
      `${NAME}.partial`,
      { kind: "partial", name: NAME, timeline: 3, compression: null },
      "0000000300000A1B",
    ],
    [
      `${NAME}.partial.gz`,
      { kind: "partial", name: NAME, timeline: 3, compression: "gzip" },
      "0000000300000A1B",
    ],
    [
      `${NAME}.00000028.backup`,
      { kind: "label", name: NAME, timeline: 3, offset: 40, compression: null },
      "0000000300000A1B",
    ],
    [
      `${NAME}.00FFFFFF.backup.zst`,
      { kind: "label", name: NAME, timeline: 3, offset: 0xffffff, compression: "zstd" },
      "0000000300000A1B",
    ],
    ["0000000A.history", { kind: "history", timeline: 10, compression: null }, ""],
    ["FFFFFFFF.history.gz", { kind: "history", timeline: 0xffffffff, compression: "gzip" }, ""],
  ];
  for (const [text, parts, folder] of cases) {
    assert.deepEqual(readWalName(text), parts);
    assert.equal(formatWalName(parts), text);
    assert.equal(walFolder(parts), folder);
  }
});

test("anything else is no name", () => {
  const hostile = [
    "",
    NAME.toLowerCase(),
    NAME.slice(1),
    `${NAME}0`,
    `${NAME}\n`,
    `${NAME}.gz\n`,
    `${NAME}.GZ`,
    `${NAME}.gz.gz`,
    `${NAME}.tmp`,
    `${NAME}.`,
    `${NAME}.gz.partial`,
    `${NAME}.partial.partial`,
    `${NAME}.28.backup`,
    `${NAME}.backup`,
    `${NAME}.history`,
    "00000000000000010000000A",
    "00000000.history",
    "0000000A.history.partial",
    "0000000A.partial",
    `../${NAME}`,
    `/${NAME}`,
    `${NAME}/`,
    `\0${NAME}`,
    "００００000300000A1B000000FF",
    "٠0000001000000000000000A",
    "G".repeat(24),
    "0".repeat(100_000),
    "backup.info",
    ".gz",
  ];
  for (const text of hostile)
    assert.equal(readWalName(text), undefined, JSON.stringify(text.slice(0, 60)));
});

test("a name is read back as it was written, whatever its parts", () => {
  const anyName = fc.record({
    timeline: anyTimeline,
    rest: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  });
  const hex = (value: number | bigint, digits: number): string =>
    value.toString(16).toUpperCase().padStart(digits, "0");
  const anyParts: fc.Arbitrary<WalName> = fc
    .tuple(
      anyName,
      anyCompression,
      fc.constantFrom("segment", "partial", "label", "history"),
      fc.integer({ min: 0, max: 0xffffffff }),
    )
    .map(([{ timeline, rest }, compression, kind, offset]): WalName => {
      const name = hex(timeline, 8) + hex(rest, 16);
      if (kind === "history") return { kind, timeline, compression };
      if (kind === "label") return { kind, name, timeline, offset, compression };
      return { kind: kind as "segment", name, timeline, compression };
    });
  fc.assert(
    fc.property(anyParts, (parts) => {
      assert.deepEqual(readWalName(formatWalName(parts)), parts);
    }),
    { numRuns: 5000 },
  );
});

test("text that is no name is never taken for one and written differently", () => {
  const pieces = fc.constantFrom(
    "0",
    "A",
    "f",
    "00000001",
    NAME,
    ".",
    ".gz",
    ".partial",
    ".backup",
    ".history",
    "/",
    "..",
    "\n",
    "\0",
    " ",
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 6 }), (parts) => {
      const text = parts.join("");
      const read = readWalName(text);
      if (read) assert.equal(formatWalName(read), text);
    }),
    { numRuns: 5000 },
  );
});

test("positions are read and printed as PostgreSQL does", () => {
  for (const [text, lsn] of [
    ["0/0", 0n],
    ["0/3000028", 0x3000028n],
    ["16/B374D848", 0x16b374d848n],
    ["FFFFFFFF/FFFFFFFF", (1n << 64n) - 1n],
  ] as const) {
    assert.equal(readLsn(text), lsn);
    assert.equal(formatLsn(lsn), text);
  }
  assert.equal(readLsn("a/b"), 0xa0000000bn);
  for (const text of [
    "",
    "/",
    "0",
    "0/",
    "/0",
    "0/0/0",
    "0x1/0",
    "-1/0",
    " 0/0",
    "0/0\n",
    "123456789/0",
    "0/123456789",
    "G/0",
  ]) {
    assert.equal(readLsn(text), undefined, text);
    assert.throws(
      () => parseLsn(text, "--target-lsn"),
      (error: HoldfastError) =>
        error.code === "BARMAN_NAME_INVALID" && error.message.startsWith("--target-lsn: "),
    );
  }
  fc.assert(
    fc.property(anyLsn, anyLsn, (a, b) => {
      assert.equal(parseLsn(formatLsn(a), ""), a);
      assert.equal(Math.sign(compareLsn(a, b)), a < b ? -1 : a > b ? 1 : 0);
    }),
    { numRuns: 3000 },
  );
});

test("segment sizes are the powers of two from 1 MiB to 1 GiB", () => {
  for (const size of SIZES) assert.ok(isSegmentSize(size));
  for (const size of [
    0,
    1,
    MIB - 1,
    MIB + 1,
    3 * MIB,
    MIB / 2,
    2 ** 31,
    2 ** 32,
    -MIB,
    1.5 * MIB,
    NaN,
    Infinity,
  ])
    assert.ok(!isSegmentSize(size), `${size}`);
  assert.throws(() => segmentName(1, 1, 3 * MIB), { code: "BARMAN_NAME_INVALID" });
  assert.throws(() => segmentNumber(NAME, 3 * MIB), { code: "BARMAN_NAME_INVALID" });
});

test("segments: vectors", () => {
  const cases: [lsn: string, timeline: number, size: number, name: string][] = [
    ["0/0", 1, 16 * MIB, "000000010000000000000000"],
    ["0/FFFFFF", 1, 16 * MIB, "000000010000000000000000"],
    ["0/1000000", 1, 16 * MIB, "000000010000000000000001"],
    ["0/FFFFFFFF", 1, 16 * MIB, "0000000100000000000000FF"],
    ["1/0", 1, 16 * MIB, "000000010000000100000000"],
    ["A/BC345678", 0x2a, MIB, "0000002A0000000A00000BC3"],
    ["A/BC345678", 0x2a, 1024 * MIB, "0000002A0000000A00000002"],
    ["FFFFFFFF/FFFFFFFF", 1, MIB, "00000001FFFFFFFF00000FFF"],
  ];
  for (const [lsn, timeline, size, name] of cases)
    assert.equal(segmentName(timeline, segmentAt(readLsn(lsn)!, size), size), name);
  assert.equal(segmentBefore(0x1000000n, 16 * MIB), 0);
  assert.equal(segmentBefore(0x1000001n, 16 * MIB), 1);
  assert.equal(segmentBefore(0n, 16 * MIB), 0);
});

test("arithmetic of segments agrees with that of whole numbers, at every size", () => {
  fc.assert(
    fc.property(anyLsn, anyTimeline, anySize, (lsn, timeline, size) => {
      const segment = segmentAt(lsn, size);
      const name = segmentName(timeline, segment, size);
      const low = (lsn & 0xffffffffn) / BigInt(size);
      const digits = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, "0");
      assert.equal(name, digits(BigInt(timeline)) + digits(lsn >> 32n) + digits(low));
      assert.equal(segmentNumber(name, size), segment);
      const start = segmentStart(segment, size);
      assert.ok(start <= lsn && lsn < start + BigInt(size));
      assert.equal(segmentBefore(lsn, size), lsn === start && lsn > 0n ? segment - 1 : segment);
    }),
    { numRuns: 5000 },
  );
});

test("names of a range follow each other without hole or repetition", () => {
  fc.assert(
    fc.property(
      anySize,
      fc.integer({ min: 0, max: 2 ** 33 }),
      fc.integer({ min: 0, max: 40 }),
      (size, start, length) => {
        const first = start % (2 ** 64 / size - 50);
        const names = [...segmentNames({ timeline: 7, first, last: first + length, size })];
        assert.equal(names.length, length + 1);
        for (const [i, name] of names.entries()) assert.equal(segmentNumber(name, size), first + i);
        assert.deepEqual(names, names.toSorted());
      },
    ),
    { numRuns: 1000 },
  );
  assert.deepEqual(
    [...segmentNames({ timeline: 1, first: 254, last: 257, size: 16 * MIB })],
    [
      "0000000100000000000000FE",
      "0000000100000000000000FF",
      "000000010000000100000000",
      "000000010000000100000001",
    ],
  );
  assert.deepEqual([...segmentNames({ timeline: 1, first: 2, last: 1, size: MIB })], []);
});

test("a name that no segment of that size has is refused", () => {
  for (const [name, size] of [
    ["000000010000000000000100", 16 * MIB],
    ["000000010000000000000004", 1024 * MIB],
    ["000000010000000000001000", MIB],
    [`${NAME}.gz`, MIB],
    [`${NAME}.partial`, MIB],
    ["0000000A.history", MIB],
    ["../../etc/passwd", MIB],
  ] as const)
    assert.throws(() => segmentNumber(name, size), { code: "BARMAN_NAME_INVALID" });
  for (const [timeline, segment] of [
    [0, 1],
    [1, -1],
    [1, 2 ** 40],
    [2 ** 32, 1],
    [1.5, 1],
    [1, 0.5],
  ] as const)
    assert.throws(() => segmentName(timeline, segment, 16 * MIB * 64), {
      code: "BARMAN_NAME_INVALID",
    });
});
