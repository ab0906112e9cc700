import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { QuickCalls } from "./quick-calls.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-quick-"));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, "file");
writeFileSync(path, "0123456789");

/** A clock by which every look costs `step` milliseconds. */
function clockOf(step: number): { monotonic: () => number } {
  let now = 0;
  return { monotonic: () => (now += step) };
}

test("reads small files and parts of files", () => {
  const quick = new QuickCalls(clockOf(0.01));
  assert.equal(quick.read(path, 0, undefined)?.toString(), "0123456789");
  assert.equal(quick.read(path, 4, undefined)?.toString(), "456789");
  assert.equal(quick.read(path, 2, 3)?.toString(), "234");
  assert.equal(quick.stat(path)?.size, 10);
});

test("leaves to the usual way what is missing, no file, too short, empty or large", () => {
  const quick = new QuickCalls(clockOf(0.01));
  mkdirSync(join(folder, "directory"));
  writeFileSync(join(folder, "large"), Buffer.alloc(200 << 10));
  assert.equal(quick.read(join(folder, "absent"), 0, undefined), undefined);
  assert.equal(quick.stat(join(folder, "absent")), undefined);
  assert.equal(quick.read(join(folder, "directory"), 0, undefined), undefined);
  assert.equal(quick.read(path, 5, 10), undefined);
  assert.equal(quick.read(path, 10, undefined), undefined);
  assert.equal(quick.read(path, 0, 0), undefined);
  assert.equal(quick.read(join(folder, "large"), 0, undefined), undefined);
  assert.equal(quick.read(join(folder, "large"), 5, 100)?.length, 100);
});

test("after a slow call the next ones go the usual way, and then it is tried again", async () => {
  const quick = new QuickCalls(clockOf(20));
  assert.ok(quick.stat(path));
  for (let call = 0; call < 64; call++) assert.equal(quick.stat(path), undefined);
  assert.ok(quick.stat(path));
  let hadTurn = false;
  setImmediate(() => (hadTurn = true));
  await quick.rest();
  assert.ok(hadTurn, "others have had their turn");
});
