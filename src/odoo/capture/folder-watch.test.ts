import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { FakeClock } from "../../../test/fake-clock.ts";
import { FolderWatch } from "./folder-watch.ts";

let root: string;
let clock: FakeClock;
let watch: FolderWatch;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "holdfast-watch-"));
  clock = new FakeClock();
  watch = new FolderWatch(clock);
});
afterEach(() => rmSync(root, { recursive: true }));

test("a folder that changed again without a new time is listed again", async () => {
  const then = new Date(1e12);
  writeFileSync(join(root, "one"), "");
  utimesSync(root, then, then);
  assert.deepEqual(watch.list(root)?.names, ["one"]);
  await clock.advance(1000);
  assert.deepEqual(watch.list(root)?.names, ["one"]);
  // The clock of this file system ticks every two seconds.
  writeFileSync(join(root, "two"), "");
  utimesSync(root, then, then);
  await clock.advance(2000);
  assert.deepEqual(watch.list(root)?.names, ["one", "two"]);
  assert.equal(watch.list(root), undefined);
});

test("a folder that has not changed for long enough is left alone, until it changes", async () => {
  writeFileSync(join(root, "one"), "");
  const then = new Date(1e12);
  utimesSync(root, then, then);
  assert.ok(watch.list(root));
  await clock.advance(2000);
  assert.ok(watch.list(root), "its clock may not have moved on yet");
  await clock.advance(1000);
  assert.ok(watch.list(root), "once more, after that");
  assert.equal(watch.list(root), undefined);
  await clock.advance(1e9);
  assert.equal(watch.list(root), undefined);
  writeFileSync(join(root, "two"), "");
  assert.deepEqual(watch.list(root)?.names, ["one", "two"]);
  watch.reset();
  assert.ok(watch.list(root));
});

test("a folder of the same time in the place of another one is listed", async () => {
  const folder = join(root, "ab");
  const then = new Date(1e12);
  mkdirSync(folder);
  writeFileSync(join(folder, "one"), "");
  utimesSync(folder, then, then);
  watch.list(folder);
  await clock.advance(3000);
  watch.list(folder);
  assert.equal(watch.list(folder), undefined);
  mkdirSync(join(root, "new"));
  rmSync(folder, { recursive: true });
  assert.equal(watch.list(folder), undefined);
  mkdirSync(folder);
  writeFileSync(join(folder, "two"), "");
  utimesSync(folder, then, then);
  assert.deepEqual(watch.list(folder)?.names, ["two"]);
});

test("links and files are no folders", () => {
  writeFileSync(join(root, "file"), "");
  symlinkSync(root, join(root, "link"));
  assert.equal(watch.list(join(root, "file")), undefined);
  assert.equal(watch.list(join(root, "link")), undefined);
  assert.equal(watch.list(join(root, "absent")), undefined);
});
