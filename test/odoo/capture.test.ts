// Captures of files alone: what is taken, what is not, and what becomes of files that are not what they should be.

import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import assert from "node:assert/strict";
import { faulty } from "../../src/storage/faulty.ts";
import { CapturedStore, sha1Of } from "./captured-store.ts";

let store: CapturedStore;

afterEach(() => store.remove());

test("what appears is captured, and what is deleted later stays", async () => {
  store = await CapturedStore.make();
  const capture = store.capture();
  const first = store.write("one");
  const large = store.write(randomBytes(21_000_000));
  const report = await capture.tick();
  assert.equal(report.newFiles, 2);
  assert.deepEqual(await store.names(), [first, large].sort());
  rmSync(store.path(first));
  const second = store.write("two");
  await capture.tick();
  assert.deepEqual(await store.names(), [first, large, second].sort());
  assert.equal((await store.list()).length, 1, "the capture that was replaced is gone");
  const quiet = await capture.tick();
  assert.equal(quiet.capture, undefined, "nothing new, nothing stored");
  await capture.close();
});

test("a file in a folder of three digits, an empty file of its own name", async () => {
  store = await CapturedStore.make();
  const old = sha1Of("old");
  store.writeAs(old, "old", old.slice(0, 3));
  const empty = store.write("");
  const capture = store.capture();
  await capture.tick();
  await capture.close();
  assert.deepEqual(await store.names(), [old, empty].sort());
});

test("half-written files are read until they are whole, also when their name is gone by then", async () => {
  store = await CapturedStore.make();
  const content = randomBytes(3_000_000);
  const sha1 = sha1Of(content);
  store.writeAs(sha1, content.subarray(0, 1_000_000));
  const lost = randomBytes(50_000);
  const gone = sha1Of(lost);
  store.writeAs(gone, lost);
  const { clock } = store.captures.machine;
  let pauses = 0;
  const machine = {
    ...store.captures.machine,
    clock: {
      ...clock,
      sleep: async (ms: number, signal?: AbortSignal) => {
        // The lock's refreshing sleeps longer.
        if (ms > 1000) return clock.sleep(ms, signal);
        // Odoo goes on while the capture waits.
        if (++pauses === 1)
          appendFileSync(store.path(sha1), content.subarray(1_000_000, 2_000_000));
        // It is whole, its row was rolled back, and the collector is quicker than the next look.
        if (pauses === 2) {
          appendFileSync(store.path(sha1), content.subarray(2_000_000));
          rmSync(store.path(sha1));
        }
      },
    },
  };
  Object.assign(store.captures, { machine });
  const capture = store.capture();
  const report = await capture.tick();
  assert.equal(report.torn, 0);
  assert.equal(pauses, 2);
  await capture.close();
  assert.deepEqual(await store.names(), [sha1, gone].sort());
});

test("files that stay wrong are corrupt: told once, never stored, taken when they are mended", async () => {
  store = await CapturedStore.make();
  const truncated = sha1Of("a truncated document");
  store.writeAs(truncated, "a trunc");
  const impostor = sha1Of("a document that somebody repaired with touch");
  store.writeAs(impostor, "");
  const encrypted = sha1Of("a contract");
  store.writeAs(encrypted, randomBytes(10));
  const long = new Date(Date.now() - 3_600_000);
  for (const sha1 of [truncated, impostor, encrypted]) utimesSync(store.path(sha1), long, long);
  const good = store.write("good");
  const capture = store.capture();
  const report = await capture.tick();
  assert.equal(report.corrupt, 3);
  assert.deepEqual(await store.names(), [good]);
  assert.equal((await store.list()).at(-1)!.mark.corrupt, 3);
  await capture.tick();
  assert.equal(store.told("corrupt").length, 3);
  writeFileSync(store.path(truncated), "a truncated document");
  const mended = await capture.tick();
  assert.equal(mended.corrupt, 2);
  await capture.close();
  assert.deepEqual(await store.names(), [good, truncated].sort());
});

test("a young file of wrong content is corrupt once it no longer changes", async () => {
  store = await CapturedStore.make();
  const sha1 = sha1Of("whole");
  store.writeAs(sha1, "who");
  const capture = store.capture();
  const torn: number[] = [];
  for (let tick = 1; tick <= 3; tick++) torn.push((await capture.tick()).torn);
  await capture.close();
  assert.deepEqual(torn, [1, 1, 0]);
  assert.equal(store.told("corrupt").length, 1);
});

test("a stored file that is encrypted in place is told, and its earlier content stays", async () => {
  store = await CapturedStore.make();
  const sha1 = store.write("a contract");
  const capture = store.capture();
  await capture.tick();
  writeFileSync(store.path(sha1), randomBytes(10));
  const report = await capture.tick();
  assert.deepEqual(
    store.told("corrupt").map(({ path, stored }) => ({ path, stored })),
    [{ path: `${sha1.slice(0, 2)}/${sha1}`, stored: true }],
  );
  assert.equal(report.corrupt, 0, "the pool has it");
  truncateSync(store.path(sha1), 0);
  writeFileSync(store.path(sha1), "a contract");
  await capture.tick();
  assert.equal(store.told("corrupt").length, 1);
  await capture.close();
  assert.equal((await store.contents()).get(sha1)!.toString(), "a contract");
});

test("links, folders and strange names are never read", async () => {
  store = await CapturedStore.make();
  const good = store.write("good");
  const secret = sha1Of("secret");
  writeFileSync(join(store.root, "secret"), "secret");
  mkdirSync(join(store.folder, secret.slice(0, 2)), { recursive: true });
  symlinkSync(join(store.root, "secret"), store.path(secret));
  const folder = sha1Of("folder");
  mkdirSync(store.path(folder), { recursive: true });
  writeFileSync(join(store.folder, good.slice(0, 2), "README.txt"), "?");
  mkdirSync(join(store.root, "elsewhere"));
  writeFileSync(join(store.root, "elsewhere", sha1Of("elsewhere")), "elsewhere");
  symlinkSync(join(store.root, "elsewhere"), join(store.folder, "0f"));
  const capture = store.capture();
  await capture.tick();
  await capture.tick();
  await capture.close();
  assert.deepEqual(await store.names(), [good]);
  assert.deepEqual(
    store
      .told("stranger")
      .map(({ path }) => path)
      .sort(),
    [
      `${good.slice(0, 2)}/README.txt`,
      `${secret.slice(0, 2)}/${secret}`,
      `${folder.slice(0, 2)}/${folder}`,
    ].sort(),
  );
});

test("an unmounted filestore is an error, and nothing is lost by it", async () => {
  store = await CapturedStore.make();
  const one = store.write("one");
  const capture = store.capture();
  await capture.tick();
  renameSync(store.folder, `${store.folder}.away`);
  await assert.rejects(capture.tick(), { code: "SOURCE_MISSING" });
  mkdirSync(store.folder);
  await assert.rejects(capture.tick(), { code: "SOURCE_EMPTY" });
  rmSync(store.folder, { recursive: true });
  renameSync(`${store.folder}.away`, store.folder);
  const two = store.write("two");
  await capture.tick();
  await capture.close();
  assert.deepEqual(await store.names(), [one, two].sort());
});

test("a new process goes on where the last one ended", async () => {
  store = await CapturedStore.make();
  const one = store.write("one");
  const before = store.capture();
  await before.tick();
  await before.close();
  rmSync(store.path(one));
  const two = store.write("two");
  const after = store.capture();
  const report = await after.tick();
  await after.close();
  assert.equal(report.newFiles, 1);
  assert.deepEqual(await store.names(), [one, two].sort());
  assert.equal((await store.list()).length, 1);
});

test("a main repository out of reach keeps nothing from being captured, once it was read", async () => {
  store = await CapturedStore.make();
  const capture = store.capture();
  await capture.tick();
  const one = store.write("one");
  const { storage } = store.main;
  Object.assign(store.main, {
    storage: faulty(storage, [{ times: Infinity, fault: { kind: "before" } }]),
  });
  capture.fullSnapshotMade();
  await capture.tick();
  assert.equal(store.told("notice").length, 1);
  await capture.close();
  assert.deepEqual(await store.names(), [one]);
});

test("more half-written files than can be open are all taken in the end", async () => {
  store = await CapturedStore.make();
  const contents = Array.from({ length: 600 }, (_, i) => `document ${i}`);
  for (const content of contents) store.writeAs(sha1Of(content), content.slice(0, 5));
  const capture = store.capture();
  const first = await capture.tick();
  assert.equal(first.torn, 600);
  for (const content of contents) writeFileSync(store.path(sha1Of(content)), content);
  const second = await capture.tick();
  await capture.close();
  assert.deepEqual([second.torn, second.newFiles], [0, 600]);
  assert.equal((await store.names()).length, 600);
});
