// Captures while the storage fails, and processes that die between any two steps.

import { rmSync } from "node:fs";
import { afterEach, test } from "node:test";
import assert from "node:assert/strict";
import { HoldfastError } from "../../src/base/errors.ts";
import { faulty, type FaultRule, type FaultyStorage } from "../../src/storage/faulty.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { until } from "../postgres/servers.ts";
import { CapturedStore, sha1Of } from "./captured-store.ts";

let store: CapturedStore;

afterEach(() => store.remove());

/** A store whose captures fail by rules that can be set later. */
async function makeFailing(): Promise<{ fail: (...rules: FaultRule[]) => FaultyStorage }> {
  let sound: Storage | undefined;
  store = await CapturedStore.make({ wrap: (storage) => (sound = storage) });
  const fail = (...rules: FaultRule[]): FaultyStorage => {
    const failing = faulty(sound!, rules);
    Object.assign(store.captures, { storage: failing });
    return failing;
  };
  return { fail };
}

for (const on of ["put", "delete"] as const) {
  test(`a process that dies before or after any ${on} leaves whole captures, and the next one goes on`, async () => {
    let isDone = false;
    for (let step = 0; !isDone; step++) {
      for (const when of ["before", "after"] as const) {
        isDone = await dieAt({
          on,
          key: /^(?:data|index|snapshots)/,
          skip: step,
          fault: { kind: "kill", when },
        });
        await store.remove();
      }
    }
  });
}

/** True when nothing was left to die at. */
async function dieAt(rule: FaultRule): Promise<boolean> {
  const { fail } = await makeFailing();
  const one = store.write("one");
  const first = store.capture();
  await first.tick();
  await first.close();
  const two = store.write("two");
  const died = fail(rule);
  await store
    .capture()
    .tick()
    .catch(() => {});
  fail();
  // Whatever is listed is whole, and nothing that was captured is lost.
  const captures = await store.list();
  assert.ok(captures.length > 0);
  const names = new Set<string>();
  for (const capture of captures) {
    for (const name of await store.names(capture)) names.add(name);
  }
  assert.ok(names.has(one), JSON.stringify(rule));
  const next = store.capture();
  await next.tick();
  await next.close();
  assert.deepEqual(await store.names(), [one, two].sort());
  assert.equal((await store.list()).length, 1, "what it replaces is gone");
  return died.hits === 0;
}

test("what was seen before an outage is captured after it, also when it was deleted meanwhile", async () => {
  const { fail } = await makeFailing();
  const capture = store.capture();
  store.write("first");
  await capture.tick();
  const error = new HoldfastError("STORAGE_UNAVAILABLE", "away", { retryable: true });
  const failing = fail({ on: "put", key: /^data\//, times: 4, fault: { kind: "before", error } });
  const late = store.write("late");
  await assert.rejects(capture.tick(), { code: "STORAGE_UNAVAILABLE" });
  rmSync(store.path(late));
  await assert.rejects(capture.tick(), { code: "STORAGE_UNAVAILABLE" });
  assert.equal(failing.hits, 4, "the packs of two ticks");
  await capture.tick();
  await capture.close();
  assert.ok((await store.names()).includes(late));
});

test("it goes on by itself through an outage, and stops when it is told to", async () => {
  const { fail } = await makeFailing();
  const error = new HoldfastError("STORAGE_UNAVAILABLE", "away", { retryable: true });
  fail({ on: "put", key: /^snapshots\//, times: 4, fault: { kind: "before", error } });
  const one = store.write("one");
  const stop = new AbortController();
  const capture = store.capture({
    onEvent: (event) => {
      store.events.push(event);
      if (event.kind === "tick") stop.abort();
    },
  });
  const summary = await capture.run({ every: 500, signal: stop.signal });
  assert.deepEqual([summary.ticks, summary.failures, summary.newFiles], [1, 4, 1]);
  assert.equal(store.told("failed").length, 4);
  assert.deepEqual(await store.names(), [one]);
  const locks = await store.captures.list("lock");
  assert.deepEqual(locks, []);
});

test("a capture that cannot be removed now is removed later", async () => {
  const { fail } = await makeFailing();
  const capture = store.capture();
  store.write("one");
  await capture.tick();
  const error = new HoldfastError("STORAGE_DENIED", "no");
  fail({ on: "delete", key: /^snapshots\//, fault: { kind: "before", error } });
  store.write("two");
  await capture.tick();
  assert.equal((await store.list()).length, 2);
  assert.equal(store.told("notice").length, 1);
  await capture.tick();
  await capture.close();
  assert.equal((await store.list()).length, 1);
});

test("small packs become few, and captures go on", async () => {
  store = await CapturedStore.make();
  const capture = store.capture();
  const names: string[] = [];
  for (let tick = 0; tick < 12; tick++) {
    names.push(store.write(`file ${tick}`));
    await capture.tick();
  }
  const before = (await store.captures.list("pack")).length;
  assert.ok(before >= 24);
  await capture.mergePacks();
  assert.equal((await store.captures.list("pack")).length, 2);
  assert.equal((await store.captures.list("index")).length, 1);
  assert.deepEqual(await store.names(), names.toSorted());
  names.push(store.write("after"));
  await capture.tick();
  await capture.close();
  assert.deepEqual(await store.names(), names.toSorted());
});

test("a stop ends a commit that hangs, after a grace; what was stored by then is found again", async () => {
  const { fail } = await makeFailing();
  const stuck = Promise.withResolvers<void>();
  const { clock } = store.captures.machine;
  const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    ms === 20_000 ? Promise.resolve() : clock.sleep(ms, signal);
  const machine = { ...store.captures.machine, clock: { ...clock, sleep } };
  Object.assign(store.captures, { machine });
  const one = store.write("one");
  const stop = new AbortController();
  fail({ on: "put", key: /^index\//, fault: { kind: "hold", until: stuck.promise } });
  const capture = store.capture();
  const ticking = capture.tick(stop.signal);
  const failed = assert.rejects(ticking, { code: "CANCELLED" });
  // It has seen the file, and stores it.
  await until("the pack is stored", async () => (await store.captures.list("pack")).length > 0);
  stop.abort();
  stuck.resolve();
  await failed;
  await capture.close();
  fail();
  const next = store.capture();
  await next.tick();
  await next.close();
  assert.deepEqual(await store.names(), [one]);
});

test("what was taken when somebody says stop is captured, though others are half-written", async () => {
  store = await CapturedStore.make();
  const one = store.write("one");
  store.writeAs(sha1Of("being written"), "being");
  const stop = new AbortController();
  const { clock } = store.captures.machine;
  const sleep = (ms: number, signal?: AbortSignal): Promise<void> => {
    if (ms === 20) stop.abort();
    return ms === 20
      ? Promise.reject(new DOMException("aborted", "AbortError"))
      : clock.sleep(ms, signal);
  };
  Object.assign(store.captures, {
    machine: { ...store.captures.machine, clock: { ...clock, sleep } },
  });
  const capture = store.capture();
  await assert.rejects(capture.tick(stop.signal), { code: "CANCELLED" });
  await capture.close();
  assert.deepEqual(await store.names(), [one]);
});
