// The JSON texts were made by Go 1.26 from a struct with the members that docs/formats/restic.md#snapshots lists.

import assert from "node:assert/strict";
import test from "node:test";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.ts";
import type { Snapshot } from "./snapshot.ts";

const ID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const TIME = "2024-03-01T12:30:45.12-05:30";

const SMALL: Snapshot = {
  time: TIME,
  parent: null,
  tree: ID,
  paths: ["/data"],
  hostname: "",
  username: "",
  uid: 0,
  gid: 0,
  excludes: [],
  tags: [],
  original: null,
  programVersion: "",
  summary: null,
  extra: {},
};
const SMALL_JSON = `{"time":"${TIME}","tree":"${ID}","paths":["/data"]}`;

const FULL: Snapshot = {
  time: TIME,
  parent: ID,
  tree: ID,
  paths: ["/a<b>", "/ü"],
  hostname: "h&h",
  username: "odoo",
  uid: 1000,
  gid: 4294967295,
  excludes: ["*.tmp"],
  tags: ["a", "b"],
  original: ID,
  programVersion: "restic 0.19.1",
  summary: {
    backupStart: "2024-03-01T18:02:15.12Z",
    backupEnd: "2024-03-01T18:02:15.12Z",
    filesNew: 1,
    filesChanged: 2,
    filesUnmodified: 3,
    dirsNew: 4,
    dirsChanged: 5,
    dirsUnmodified: 6,
    dataBlobs: 7,
    treeBlobs: 8,
    dataAdded: 9,
    dataAddedPacked: 10,
    totalFilesProcessed: 11,
    totalBytesProcessed: 9007199254740991,
    extra: {},
  },
  extra: {},
};
const FULL_JSON = `{"time":"${TIME}","parent":"${ID}","tree":"${ID}","paths":["/a\\u003cb\\u003e","/ü"],"hostname":"h\\u0026h","username":"odoo","uid":1000,"gid":4294967295,"excludes":["*.tmp"],"tags":["a","b"],"original":"${ID}","program_version":"restic 0.19.1","summary":{"backup_start":"2024-03-01T18:02:15.12Z","backup_end":"2024-03-01T18:02:15.12Z","files_new":1,"files_changed":2,"files_unmodified":3,"dirs_new":4,"dirs_changed":5,"dirs_unmodified":6,"data_blobs":7,"tree_blobs":8,"data_added":9,"data_added_packed":10,"total_files_processed":11,"total_bytes_processed":9007199254740991}}`;

test("snapshots are written as Go does, and read back", () => {
  for (const [snapshot, json] of [
    [SMALL, SMALL_JSON],
    [FULL, FULL_JSON],
  ] as const) {
    assert.equal(encodeSnapshot(snapshot).toString("utf8"), json);
    assert.deepEqual(decodeSnapshot(Buffer.from(json)), snapshot);
    assert.deepEqual(decodeSnapshot(Buffer.from(`${json}\n`)), snapshot);
  }
});

test("members of other programs are written again", () => {
  const json = `{"time":"${TIME}","tree":"${ID}","paths":[],"summary":{"backup_start":"${TIME}","backup_end":"${TIME}","files_new":0,"files_changed":0,"files_unmodified":0,"dirs_new":0,"dirs_changed":0,"dirs_unmodified":0,"data_blobs":0,"tree_blobs":0,"data_added":0,"data_added_packed":0,"total_files_processed":0,"total_bytes_processed":0,"command":"backup","total_duration":1.5},"label":"a\\u003cb","delete":{"After":"${TIME}"}}`;
  const snapshot = decodeSnapshot(Buffer.from(json));
  assert.deepEqual(snapshot.extra, { label: "a<b", delete: { After: TIME } });
  assert.deepEqual(snapshot.summary?.extra, { command: "backup", total_duration: 1.5 });
  assert.equal(encodeSnapshot(snapshot).toString("utf8"), json);
});

test("absent and null members read as nothing", () => {
  const json = `{"time":"${TIME}","tree":"${ID}","paths":null,"tags":null,"parent":null,"summary":null}`;
  assert.deepEqual(decodeSnapshot(Buffer.from(json)), { ...SMALL, paths: [] });
});

test("a statistic too large to count does not cost the snapshot", () => {
  const json = `{"time":"${TIME}","tree":"${ID}","summary":{"data_added":18446744073709551615}}`;
  const { summary } = decodeSnapshot(Buffer.from(json));
  assert.equal(summary?.dataAdded, Number.MAX_SAFE_INTEGER);
});

test("what is no snapshot is damage", () => {
  for (const json of [
    "",
    "[]",
    "null",
    SMALL_JSON.slice(0, -1),
    `{"tree":"${ID}","paths":[]}`,
    `{"time":"${TIME}","paths":[]}`,
    `{"time":"${TIME}","tree":"${ID.slice(1)}"}`,
    `{"time":"now","tree":"${ID}"}`,
    `{"time":"${TIME}","tree":"${ID}","paths":"/data"}`,
    `{"time":"${TIME}","tree":"${ID}","paths":[1]}`,
    `{"time":"${TIME}","tree":"${ID}","uid":-1}`,
    `{"time":"${TIME}","tree":"${ID}","summary":[]}`,
    `{"time":"${TIME}","tree":"${ID}","summary":{"files_new":"1"}}`,
    `{"time":"${TIME}","tree":"${ID}","parent":"x"}`,
    `{"time":"${TIME}","tree":"${ID}","x":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    `{"time":"${TIME}","tree":"${ID}","summary":{"x":${'{"a":'.repeat(5000)}1${"}".repeat(5000)}}}`,
  ]) {
    assert.throws(
      () => decodeSnapshot(Buffer.from(json)),
      { code: "SNAPSHOT_DAMAGED" },
      json.slice(0, 200),
    );
  }
});

test("members of others that are nested as deeply as anybody would are kept", () => {
  const json = `{"time":"${TIME}","tree":"${ID}","paths":null,"x":${"[".repeat(900)}${"]".repeat(900)}}`;
  assert.match(encodeSnapshot(decodeSnapshot(Buffer.from(json))).toString(), /"x":\[{900}\]{900}/);
});
