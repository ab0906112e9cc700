import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../test/fake-clock.ts";
import { memoryRepository, testMachine } from "../../test/memory-repository.ts";
import type { HoldfastError } from "../base/errors.ts";
import { isHoldfastError } from "../base/errors.ts";
import { parseTime } from "../restic/go-time.ts";
import { faulty } from "../storage/faulty.ts";
import type { FaultRule, FaultyStorage } from "../storage/faulty.ts";
import type { HeldLock } from "./lock-holder.ts";
import { acquireLock, listLocks } from "./locks.ts";
import type { Repository } from "./repository.ts";

const MINUTE = 60_000;

interface Holding {
  clock: FakeClock;
  repository: Repository;
  objects: Map<string, Uint8Array>;
  storage: FaultyStorage;
  held: HeldLock;
  notices: string[];
  files: () => string[];
  /** The error that the lock's signal was aborted with. */
  lost: () => HoldfastError | undefined;
}

/** A process that holds a lock, a shared one by default, on a storage with these faults. */
async function hold(
  rules: readonly FaultRule[] = [],
  signal?: AbortSignal,
  exclusive = false,
): Promise<Holding> {
  const clock = new FakeClock();
  const notices: string[] = [];
  let storage: FaultyStorage;
  const { repository, objects } = memoryRepository({
    machine: testMachine({ clock }),
    around: (inner) => (storage = faulty(inner, rules)),
  });
  const onNotice = (message: string): unknown => notices.push(message);
  const held = await acquireLock(repository, { exclusive, onNotice, signal });
  const files = (): string[] => [...objects.keys()].filter((key) => key.startsWith("locks/"));
  const lost = (): HoldfastError | undefined =>
    held.signal.aborted ? (held.signal.reason as HoldfastError) : undefined;
  return { clock, repository, objects, storage: storage!, held, notices, files, lost };
}

/** Faults of every write of a lock after the first one. */
const failing = (times = 1000): FaultRule => ({
  on: "put",
  key: /^locks/,
  skip: 1,
  times,
  fault: { kind: "before" },
});

test("every five minutes a new file takes the place of the old one", async () => {
  const { clock, repository, files, held, lost, notices } = await hold();
  const seen = new Set(files());
  for (let hour = 0; hour < 12; hour++) {
    await clock.advance(5 * MINUTE + 15_000);
    const [file, ...others] = files();
    assert.equal(others.length, 0);
    assert.equal(seen.has(file!), false);
    seen.add(file!);
    const [found] = await listLocks(repository);
    const age = clock.now() - Number(parseTime(found!.lock.time) / 1_000_000n);
    assert.ok(age <= 5 * MINUTE);
  }
  assert.equal(lost(), undefined);
  assert.deepEqual(notices, []);
  await held.release();
  assert.deepEqual(files(), []);
});

test("the new file is stored before the old one is deleted", async () => {
  const { clock, storage } = await hold();
  const before = storage.calls.length;
  await clock.advance(6 * MINUTE);
  const calls = storage.calls.slice(before).map((call) => call.split(" ")[0]);
  assert.deepEqual(calls, ["put", "delete"]);
});

test("a refresh that fails is told and tried again", async () => {
  const { clock, files, lost, notices } = await hold([failing(3)]);
  const [first] = files();
  await clock.advance(10 * MINUTE);
  assert.equal(notices.length, 3);
  assert.match(notices[0]!, /unable to refresh lock: injected fault/);
  assert.equal(lost(), undefined);
  assert.notEqual(files()[0], first);
  await clock.advance(60 * MINUTE);
  assert.equal(lost(), undefined);
});

test("after 22.5 minutes without a refresh the work is stopped", async () => {
  const { clock, held, lost, storage, files } = await hold([failing()]);
  await clock.advance(22 * MINUTE);
  assert.equal(lost(), undefined);
  await clock.advance(MINUTE);
  assert.ok(isHoldfastError(lost(), "LOCK_LOST"));
  const { length } = storage.calls;
  await clock.advance(60 * MINUTE);
  assert.equal(storage.calls.length, length, "and nothing more is tried");
  await held.release();
  assert.deepEqual(files(), []);
});

test("so it is when the storage does not answer at all", async () => {
  let answer = (): void => {};
  const until = new Promise<void>((resolve) => (answer = resolve));
  const rule: FaultRule = { on: "put", key: /^locks/, skip: 1, fault: { kind: "hold", until } };
  const { clock, held, lost, files } = await hold([rule]);
  await clock.advance(23 * MINUTE);
  assert.ok(isHoldfastError(lost(), "LOCK_LOST"));
  const releasing = held.release();
  answer();
  await releasing;
  assert.deepEqual(files(), [], "the late file is removed as well");
});

test("time spent storing the file counts: others judge by the time in it", async () => {
  let answer = (): void => {};
  const until = new Promise<void>((resolve) => (answer = resolve));
  const slow: FaultRule = { on: "put", key: /^locks/, skip: 1, fault: { kind: "hold", until } };
  const rules: FaultRule[] = [
    slow,
    { on: "put", key: /^locks/, skip: 1, times: 1000, fault: { kind: "before" } },
  ];
  const { clock, lost } = await hold(rules);
  // Begun at 5 minutes, stored at 20: that lock is 15 minutes old when it becomes visible.
  await clock.advance(20 * MINUTE);
  answer();
  await clock.advance(7 * MINUTE);
  assert.equal(lost(), undefined);
  await clock.advance(MINUTE);
  assert.ok(isHoldfastError(lost(), "LOCK_LOST"));
});

test("a machine that slept, or whose clock was set forward, has lost its lock", async () => {
  const { clock, lost } = await hold();
  clock.set(29 * MINUTE);
  await clock.advance(15_000);
  assert.ok(isHoldfastError(lost(), "LOCK_LOST"));
});

test("a clock that is set back does not make a lock young", async () => {
  const { clock, lost } = await hold([failing()]);
  clock.set(-5 * 60 * MINUTE);
  await clock.advance(23 * MINUTE);
  assert.ok(isHoldfastError(lost(), "LOCK_LOST"));
});

test("an old file that could not be deleted goes with the next refresh", async () => {
  const rule: FaultRule = { on: "delete", key: /^locks/, fault: { kind: "before" } };
  const { clock, files, notices } = await hold([rule]);
  await clock.advance(6 * MINUTE);
  assert.equal(files().length, 2);
  assert.match(notices[0]!, /unable to remove lock/);
  await clock.advance(5 * MINUTE);
  assert.equal(files().length, 1);
});

test("a file whose reply was lost is found at the release", async () => {
  const rule: FaultRule = { on: "put", key: /^locks/, skip: 1, fault: { kind: "after" } };
  const { clock, held, files } = await hold([rule]);
  await clock.advance(6 * MINUTE + 15_000);
  assert.equal(files().length, 2, "the one of unknown fate, and the next");
  await held.release();
  assert.deepEqual(files(), []);
});

test("taking a lock whose reply was lost leaves nothing behind", async () => {
  const rule: FaultRule = { on: "put", key: /^locks/, fault: { kind: "after" } };
  const objects = new Map<string, Uint8Array>();
  const made = memoryRepository({ around: (storage) => faulty(storage, [rule]) });
  const attempt = acquireLock(made.repository, { exclusive: true });
  await assert.rejects(attempt, (error) => isHoldfastError(error, "STORAGE_UNAVAILABLE"));
  assert.deepEqual([...made.objects.keys(), ...objects.keys()], []);
});

test("release is told when it cannot, does not fail, and happens once", async () => {
  const rule: FaultRule = { on: "delete", key: /^locks/, fault: { kind: "before" } };
  const { held, storage, notices } = await hold([rule]);
  await Promise.all([held.release(), held.release()]);
  await held.release();
  assert.equal(storage.calls.filter((call) => call.startsWith("delete")).length, 1);
  assert.equal(notices.length, 1);
});

test("the caller's own signal goes through, and the lock stays until it is released", async () => {
  const stop = new AbortController();
  const { held, files, lost } = await hold([], stop.signal);
  stop.abort(new Error("enough"));
  assert.equal(lost()!.message, "enough");
  assert.equal(files().length, 1);
  await held.release();
  assert.deepEqual(files(), []);
});

test("an exclusive lock becomes a shared one without a moment between them", async () => {
  const { clock, repository, storage, held, files } = await hold([], undefined, true);
  const kinds = async (): Promise<boolean[]> =>
    (await listLocks(repository)).map(({ lock }) => lock.exclusive);
  assert.deepEqual(await kinds(), [true]);
  const before = storage.calls.length;
  await held.share();
  const changes = storage.calls.slice(before).filter((call) => /^(put|delete) /.test(call));
  assert.deepEqual(
    changes.map((call) => call.split(" ")[0]),
    ["put", "delete"],
  );
  assert.deepEqual(await kinds(), [false]);
  await clock.advance(6 * MINUTE);
  assert.deepEqual(await kinds(), [false], "and stays one when it is refreshed");
  await held.release();
  assert.deepEqual(files(), []);
});

test("an exclusive lock that cannot be replaced stays, and is shared by its next refresh", async () => {
  const { clock, repository, held, lost, notices } = await hold([failing(1)], undefined, true);
  await held.share();
  const [first] = await listLocks(repository);
  assert.equal(first!.lock.exclusive, true);
  assert.equal(notices.length, 1);
  await clock.advance(6 * MINUTE);
  const [second] = await listLocks(repository);
  assert.equal(second!.lock.exclusive, false);
  assert.equal(lost(), undefined);
  await held.release();
});
