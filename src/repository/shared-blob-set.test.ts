import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { toHex } from "../base/bytes.ts";
import { SharedBlobSet, createBlobSetMemory } from "./shared-blob-set.ts";

test("an id is won by its first claim, whatever came before", () => {
  const ids = fc.array(
    fc.tuple(fc.nat(3), fc.nat(3), fc.nat(255)).map(([first, middle, last]) => {
      const id = Buffer.alloc(32, 0x11);
      id[0] = first;
      id[16] = middle;
      id[31] = last;
      return id;
    }),
    { maxLength: 200 },
  );
  const property = fc.property(ids, (list) => {
    const set = new SharedBlobSet(createBlobSetMemory());
    const model = new Set<string>();
    for (const id of list) {
      assert.equal(set.claim(id), !model.has(toHex(id)));
      model.add(toHex(id));
    }
    assert.equal(set.size, model.size);
  });
  fc.assert(property);
});

test("grows with what is in it, and keeps no hold of the id's memory", () => {
  const memory = createBlobSetMemory();
  const set = new SharedBlobSet(memory);
  const other = new SharedBlobSet(memory);
  const before = memory.entries.byteLength;
  const all = seededBytes("grow", 30_000 * 32);
  const id = Buffer.alloc(32);
  for (let i = 0; i < 30_000; i++) {
    all.copy(id, 0, i * 32, i * 32 + 32);
    assert.equal(set.claim(id), true);
  }
  assert.ok(memory.entries.byteLength > before);
  assert.ok(memory.entries.byteLength < 3 * 30_000 * 36);
  for (let i = 0; i < 30_000; i++) {
    assert.equal(other.claim(all.subarray(i * 32, i * 32 + 32)), false);
  }
  assert.equal(other.size, 30_000);
  assert.equal(set.claim(randomBytes(32)), true);
});

/** Claims every id in an order of its own, in a thread of its own; tells which it won. */
const CLAIMER = `
  const { parentPort, workerData } = require("node:worker_threads");
  import(workerData.module).then(({ SharedBlobSet }) => {
    const { ids, begun, step, start } = workerData;
    const set = new SharedBlobSet(workerData.memory);
    const count = ids.byteLength / 32;
    const bytes = new Uint8Array(ids);
    const won = new Uint8Array(count);
    const gate = new Int32Array(begun);
    Atomics.add(gate, 0, 1);
    // All begin together.
    while (Atomics.load(gate, 0) < workerData.threads) Atomics.pause?.();
    for (let i = 0; i < count; i++) {
      const at = (start + i * step) % count;
      if (set.claim(bytes.subarray(at * 32, at * 32 + 32))) won[at] = 1;
    }
    parentPort.postMessage(won);
  });
`;

test("several threads that claim the same ids at once win each exactly once", async () => {
  const count = 100_000;
  const ids = new SharedArrayBuffer(count * 32);
  new Uint8Array(ids).set(seededBytes("threads", count * 32));
  const memory = createBlobSetMemory();
  const begun = new SharedArrayBuffer(4);
  const module = new URL("./shared-blob-set.ts", import.meta.url).href;
  // The steps have no factor in common with the count, so each thread meets every id once.
  const threads = [
    { step: 1, start: 0 },
    { step: 1, start: 0 },
    { step: 99_999, start: 99_999 },
    { step: 7919, start: 50_000 },
  ];
  const results = threads.map(async ({ step, start }) => {
    const workerData = { module, memory, ids, begun, step, start, threads: threads.length };
    const worker = new Worker(CLAIMER, { eval: true, workerData });
    const [won] = (await once(worker, "message")) as [Uint8Array];
    await worker.terminate();
    return won;
  });
  const wins = await Promise.all(results);
  for (let i = 0; i < count; i++) {
    const winners = wins.reduce((sum, won) => sum + won[i]!, 0);
    assert.equal(winners, 1, `id ${i} was won ${winners} times`);
  }
  assert.equal(new SharedBlobSet(memory).size, count);
  const shares = wins.map((won) => won.reduce((sum, one) => sum + one, 0));
  assert.ok(shares.filter((share) => share > 0).length > 1, "the threads did not meet");
});
