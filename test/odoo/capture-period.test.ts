// Captures and full snapshots: what begins a new period, what is carried over, and what is trusted.

import { mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import assert from "node:assert/strict";
import { encodeSnapshot } from "../../src/restic/snapshot.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import { CapturedStore } from "./captured-store.ts";

let store: CapturedStore;

afterEach(() => store.remove());

test("after a full snapshot only what it has not is captured; young files of it are read again", async () => {
  store = await CapturedStore.make();
  const old = store.write("old");
  store.age(old);
  const young = store.write("young");
  const { id } = await store.backUp();
  const capture = store.capture();
  const added = store.write("added");
  const report = await capture.tick();
  await capture.close();
  assert.equal(report.since, id);
  assert.equal(report.known, 3);
  assert.deepEqual(await store.names(), [young, added].sort());
  assert.equal((await store.list()).at(-1)!.mark.since, id);
});

test("a new full snapshot begins a new period: the last capture of the old one stays, what is new is carried over", async () => {
  store = await CapturedStore.make();
  const first = store.write("first");
  const capture = store.capture();
  await capture.tick();
  store.age(first);
  const { id } = await store.backUp();
  // Captured after the scan, and not in the snapshot.
  const late = store.write("late");
  await capture.tick();
  rmSync(store.path(late));
  capture.fullSnapshotMade();
  const next = store.write("next");
  const report = await capture.tick();
  await capture.close();
  assert.equal(report.since, id);
  const [closed, newest] = await store.list();
  assert.equal(closed!.mark.since, undefined);
  assert.deepEqual(await store.names(closed), [first, late].sort());
  assert.equal(newest!.mark.since, id);
  assert.deepEqual(await store.names(newest), [late, next].sort());
});

test("without a word, new full snapshots are found after a while", async () => {
  store = await CapturedStore.make();
  store.age(store.write("first"));
  const { clock } = store.captures.machine;
  let ahead = 0;
  const machine = {
    ...store.captures.machine,
    clock: { ...clock, monotonic: () => clock.monotonic() + ahead },
  };
  Object.assign(store.captures, { machine });
  const capture = store.capture();
  await capture.tick();
  const { id } = await store.backUp();
  assert.equal((await capture.tick()).since, undefined);
  ahead = 6 * 60_000;
  assert.equal((await capture.tick()).since, id);
  await capture.close();
});

test("what was deleted long before the full snapshot is not carried over", async () => {
  store = await CapturedStore.make();
  const gone = store.write("gone");
  const stays = store.write("stays");
  store.age(stays);
  const capture = store.capture();
  await capture.tick();
  rmSync(store.path(gone));
  // As if it had been made an hour later.
  const { id, snapshot } = await store.backUp();
  const time = new Date(Date.now() + 3_600_000).toISOString();
  await store.main.save("snapshot", encodeSnapshot({ ...snapshot, time, summary: null }));
  await store.main.remove("snapshot", id);
  capture.fullSnapshotMade();
  const next = store.write("next");
  await capture.tick();
  await capture.close();
  const captures = await store.list();
  assert.deepEqual(await store.names(captures[0]), [gone, stays].sort());
  assert.deepEqual(await store.names(captures[1]), [next]);
});

test("a full snapshot that is forgotten takes nothing with it", async () => {
  store = await CapturedStore.make();
  const one = store.write("one");
  store.age(one);
  const { id } = await store.backUp();
  const capture = store.capture();
  const two = store.write("two");
  await capture.tick();
  assert.deepEqual(await store.names(), [two]);
  await store.main.remove("snapshot", id);
  capture.fullSnapshotMade();
  await capture.tick();
  await capture.close();
  assert.equal((await store.list()).at(-1)!.mark.since, undefined);
  assert.deepEqual(await store.names(), [one, two].sort());
});

test("captures change nothing in the main repository", async () => {
  store = await CapturedStore.make();
  store.age(store.write("old"));
  await store.backUp();
  const files = (): string[] =>
    readdirSync(join(store.root, "main"), { recursive: true, withFileTypes: true })
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  const before = files();
  const capture = store.capture();
  store.write("new");
  await capture.tick();
  await capture.close();
  assert.deepEqual(files(), before);
  assert.equal((await listSnapshots(store.main)).length, 1);
});

test("another mount point, and other databases beside: the filestore is found in the snapshot by its name", async () => {
  store = await CapturedStore.make();
  const old = store.write("old");
  store.age(old);
  await store.backUp();
  const moved = join(store.root, "data", "filestore", "odoo");
  mkdirSync(join(store.root, "data", "filestore"), { recursive: true });
  renameSync(store.folder, moved);
  const capture = store.capture({ folder: moved });
  const report = await capture.tick();
  await capture.close();
  assert.equal(report.known, 1);
  assert.equal(report.newFiles, 0);
});
