import { suite, test } from "node:test";
import assert from "node:assert/strict";
import { sha256Hex } from "../base/bytes.ts";
import { GO_ZERO_TIME } from "../restic/go-time.ts";
import { findShrink, refuseShrink } from "./shrink-guard.ts";
import type { FoundSnapshot } from "./snapshots.ts";

const MIB = 2 ** 20;

/** A snapshot of a host, so many hours into 2026, with what it holds; undefined for no summary. */
function made(
  hour: number,
  files: number | undefined,
  bytes = 100 * MIB,
  hostname = "web1",
): FoundSnapshot {
  const summary = {
    backupStart: GO_ZERO_TIME,
    backupEnd: GO_ZERO_TIME,
    filesNew: 0,
    filesChanged: 0,
    filesUnmodified: 0,
    dirsNew: 0,
    dirsChanged: 0,
    dirsUnmodified: 0,
    dataBlobs: 0,
    treeBlobs: 0,
    dataAdded: 0,
    dataAddedPacked: 0,
    totalFilesProcessed: files ?? 0,
    totalBytesProcessed: bytes,
    extra: {},
  };
  return {
    id: sha256Hex(Buffer.from(`${hostname} ${hour}`)),
    snapshot: {
      time: new Date(Date.UTC(2026, 0, 1, hour)).toISOString(),
      parent: null,
      tree: "0".repeat(64),
      paths: ["/data"],
      hostname,
      username: "",
      uid: 0,
      gid: 0,
      excludes: [],
      tags: [],
      original: null,
      programVersion: "",
      summary: files === undefined ? null : summary,
      extra: {},
    },
  };
}

suite("the shrink guard", () => {
  test("sees that the newest has less than half of the files of the one before", () => {
    const [earlier, newest] = [made(0, 1000), made(24, 499)];
    assert.deepEqual(findShrink([newest, earlier]), { newest, earlier, what: "files" });
    assert.equal(findShrink([earlier, made(24, 500)]), undefined);
  });

  test("sees that it has less than half of the bytes", () => {
    const [earlier, newest] = [made(0, 1000), made(24, 1000, 49 * MIB)];
    assert.deepEqual(findShrink([earlier, newest]), { newest, earlier, what: "bytes" });
    assert.equal(findShrink([earlier, made(24, 1000, 50 * MIB)]), undefined);
  });

  test("takes a handful of files for too few to judge, unless all are gone", () => {
    assert.equal(findShrink([made(0, 9, 10), made(24, 1, 1)]), undefined);
    assert.equal(findShrink([made(0, 9, 10), made(24, 0, 10)])?.what, "files");
    assert.equal(findShrink([made(0, 9, 10), made(24, 9, 0)])?.what, "bytes");
    assert.equal(findShrink([made(0, 0, 0), made(24, 0, 0)]), undefined);
  });

  test("looks back over a day, so that small ones in a row do not hide what was lost", () => {
    const day = [made(0, 1000), made(8, 20), made(16, 20), made(24, 20)];
    assert.equal(findShrink(day)?.earlier.id, day[0]?.id);
    assert.equal(findShrink([...day, made(32, 20)]), undefined);
  });

  test("looks at the one before however old it is", () => {
    assert.equal(findShrink([made(0, 1000), made(5000, 20)])?.what, "files");
  });

  test("compares what one host backs up from the same paths", () => {
    assert.equal(findShrink([made(0, 1000), made(24, 20, 100 * MIB, "web2")]), undefined);
  });

  test("cannot judge snapshots without a summary", () => {
    assert.equal(findShrink([made(0, 1000), made(24, undefined)]), undefined);
    assert.equal(findShrink([made(0, undefined), made(24, 1)]), undefined);
  });

  test("names both in its error", () => {
    const [earlier, newest] = [made(0, 1000), made(24, 20)];
    assert.throws(() => refuseShrink([earlier, newest]), {
      code: "SNAPSHOT_SHRUNK",
      message: new RegExp(
        `${newest.id.slice(0, 8)} .*20 files.*${earlier.id.slice(0, 8)} .*1000 files`,
      ),
      hint: /--allow-shrink/,
    });
    refuseShrink([earlier]);
  });
});
