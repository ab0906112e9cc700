import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  Archive,
  doneInfo,
  name,
  read,
  SEGMENT_SIZE,
  simple,
  stored,
  walPath,
} from "../../test/barman/archives.ts";
import { segmentStart } from "./lsn.ts";
import { SUFFIXES, type Compression } from "./wal-name.ts";

suite("partial segments", () => {
  const compressions: (Compression | null)[] = [
    null,
    "gzip",
    "bzip2",
    "xz",
    "snappy",
    "zstd",
    "lz4",
  ];

  test("never count beside the whole one, however either is compressed", () => {
    for (const whole of compressions) {
      for (const partial of compressions) {
        const archive = new Archive().wal({ first: 8, last: 30, time: stored, compression: whole });
        archive.backup(doneInfo({ first: 10, last: 11, time: stored(12) }));
        const path = walPath(1, 30, `.partial${partial === null ? "" : SUFFIXES[partial]}`);
        archive.put(path, stored(99), SEGMENT_SIZE);
        const { windows, orphans, wal } = read(archive);
        assert.equal(windows[0]!.to.time, stored(30));
        assert.equal(windows[0]!.partial, undefined);
        assert.equal(wal.get(1)!.partials.size, 0);
        assert.deepEqual(
          orphans.map(({ path: one, why }) => [one, why]),
          [[path, "leftover-partial"]],
        );
      }
    }
  });

  test("one at the end is told, with its time; one in a gap does not fill it", () => {
    const end = read(simple().put(walPath(1, 31, ".partial.gz"), stored(31), 100));
    assert.equal(end.windows[0]!.to.lsn, segmentStart(31, SEGMENT_SIZE));
    assert.equal(end.windows[0]!.to.time, stored(31));
    assert.equal(end.windows[0]!.partial?.path, walPath(1, 31, ".partial.gz"));
    const gap = read(
      simple()
        .remove(name(15))
        .put(walPath(1, 15, ".partial.gz"), stored(15), 100),
    );
    assert.deepEqual(
      gap.gaps.map(({ firstMissing, hasPartial }) => [firstMissing, hasPartial]),
      [[name(15), true]],
    );
    assert.equal(gap.windows[0]!.to.lsn, segmentStart(15, SEGMENT_SIZE));
  });

  test("segments that are truncated, doubled, or where none belongs", () => {
    const archive = simple()
      .put(walPath(1, 31), stored(31), SEGMENT_SIZE - 1)
      .put(walPath(1, 32, ".gz"), stored(32), 0)
      .put(walPath(1, 30), stored(33), SEGMENT_SIZE)
      .put("wals/0000000100000000/000000010000000000000100.gz", stored(34), 100)
      .put("wals/0000000100000000/archive_status", stored(34), 100)
      .put("wals/0000000200000000/00000001000000000000001E.gz", stored(34), 100)
      .put(walPath(1, 10, ".00000028.backup"), stored(12), 300);
    const { orphans, wal, windows } = read(archive);
    assert.deepEqual(wal.get(1)!.ranges, [{ first: 8, last: 30 }]);
    assert.equal(windows[0]!.to.lsn, segmentStart(31, SEGMENT_SIZE));
    assert.deepEqual(
      orphans.map(({ path, why }) => [path, why] as const).toSorted(([a], [b]) => (a < b ? -1 : 1)),
      [
        ["wals/0000000100000000/00000001000000000000001E.gz", "duplicate"],
        ["wals/0000000100000000/00000001000000000000001F", "truncated"],
        ["wals/0000000100000000/000000010000000000000020.gz", "truncated"],
        ["wals/0000000100000000/000000010000000000000100.gz", "foreign"],
        ["wals/0000000100000000/archive_status", "foreign"],
        ["wals/0000000200000000/00000001000000000000001E.gz", "foreign"],
      ],
    );
  });
});
