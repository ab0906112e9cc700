import { createHash } from "node:crypto";
import { test } from "node:test";
import assert from "node:assert/strict";
import type { FileReferences } from "../references.ts";
import { Sha1Set } from "../sha1-set.ts";
import { chooseSample } from "./rotation.ts";

const sha1 = (i: number): string => createHash("sha1").update(`${i}`).digest("hex");

function filesOf(count: number, size = 10): FileReferences {
  const names = new Sha1Set();
  for (let i = 0; i < count; i++) names.add(sha1(i));
  return {
    names,
    sizes: new Float64Array(count).fill(size),
    rows: new Uint32Array(count).fill(1),
    flags: new Uint8Array(count),
    oldPaths: new Map([[sha1(0), `${sha1(0).slice(0, 3)}/${sha1(0)}`]]),
  };
}

test("after enough samples every file has had its turn, also while others come", () => {
  const read = new Set<string>();
  let after: string | undefined;
  for (let turn = 0; turn < 12; turn++) {
    const files = filesOf(100 + turn);
    const sample = chooseSample(files, { budget: 100, after, isThere: () => true });
    assert.equal(sample.files.names.size, 10);
    assert.equal(sample.bytes, 100);
    for (const name of sample.files.names) read.add(name);
    after = sample.rotation!;
  }
  for (let i = 0; i < 100; i++) assert.ok(read.has(sha1(i)), `${i}`);
});

test("without a budget all files are read; with the smallest one, one is", () => {
  const files = filesOf(20);
  const all = chooseSample(files, { budget: undefined, after: sha1(3), isThere: () => true });
  assert.equal(all.files.names.size, 20);
  assert.equal(all.rotation, null);
  const one = chooseSample(files, { budget: 1, after: undefined, isThere: () => true });
  assert.deepEqual([...one.files.names], [one.rotation]);
});

test("what is nowhere is not read, and a file keeps its place, size and path", () => {
  const files = filesOf(5);
  const sample = chooseSample(files, {
    budget: undefined,
    after: undefined,
    isThere: (name) => name === sha1(0),
  });
  assert.deepEqual([...sample.files.names], [sha1(0)]);
  assert.deepEqual([...sample.files.oldPaths], [...files.oldPaths]);
  assert.deepEqual([...sample.files.sizes], [10]);
});
