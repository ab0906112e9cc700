import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { FakeClock, settle } from "../../test/fake-clock.ts";
import { damage, memoryRepository, testMachine } from "../../test/memory-repository.ts";
import type { MemoryRepositoryOptions } from "../../test/memory-repository.ts";
import type { ErrorCode } from "../base/errors.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { encodeLock } from "../restic/lock-file.ts";
import type { Lock } from "../restic/lock-file.ts";
import { faulty } from "../storage/faulty.ts";
import type { FaultRule } from "../storage/faulty.ts";
import { forwarding } from "../storage/forwarding.ts";
import { openMemoryStorage } from "../storage/memory.ts";
import type { Storage } from "../storage/storage.ts";
import type { HeldLock } from "./lock-holder.ts";
import { acquireLock, listLocks, removeLocks } from "./locks.ts";
import type { LockOptions } from "./locks.ts";
import type { Machine, Repository } from "./repository.ts";

const MINUTE = 60_000;

interface World {
  clock: FakeClock;
  objects: Map<string, Uint8Array>;
  /** The repository as another process of a machine sees it. */
  open: (machine: Partial<Machine>, around?: (storage: Storage) => Storage) => Repository;
}

/** One repository, seen from several processes. */
function world(options: MemoryRepositoryOptions = {}): World {
  const clock = new FakeClock();
  const { repository, objects } = memoryRepository(options);
  const open: World["open"] = (machine, around = (storage) => storage) =>
    memoryRepository({
      ...repository,
      storage: around(openMemoryStorage({ objects })),
      machine: testMachine({ clock, ...machine }),
    }).repository;
  return { clock, objects, open };
}

const lockFiles = ({ objects }: World): string[] =>
  [...objects.keys()].filter((key) => key.startsWith("locks/"));

async function store(repository: Repository, fields: Partial<Lock>): Promise<string> {
  const { clock, hostname, username, pid } = repository.machine;
  const time = new Date(clock.now()).toISOString();
  const lock = { time, exclusive: false, hostname, username, pid, ...fields };
  return repository.save("lock", encodeLock(lock));
}

const ago = ({ clock }: World, minutes: number): string =>
  new Date(clock.now() - minutes * MINUTE).toISOString();

const is =
  (...codes: ErrorCode[]) =>
  (error: unknown): boolean =>
    isHoldfastError(error, ...codes);

suite("two processes", () => {
  for (const [first, second, fits] of [
    [false, false, true],
    [false, true, false],
    [true, false, false],
    [true, true, false],
  ] as const) {
    const name = (exclusive: boolean): string => (exclusive ? "exclusive" : "shared");
    test(`${name(first)}, then ${name(second)}: ${fits ? "both" : "refused"}`, async () => {
      const made = world();
      const held = await acquireLock(made.open({ pid: 1 }), { exclusive: first });
      const other = made.open({ pid: 2, hostname: "elsewhere" });
      const attempt = acquireLock(other, { exclusive: second });
      if (fits) await (await attempt).release();
      else await assert.rejects(attempt, is("REPO_LOCKED"));
      assert.equal(lockFiles(made).length, 1, "nothing of the other one stays behind");
      await held.release();
      assert.equal(lockFiles(made).length, 0);
      await (await acquireLock(other, { exclusive: second })).release();
    });
  }

  test("that start at the same moment never both win", async () => {
    for (const exclusive of [true, false]) {
      const made = world();
      const attempts = [1, 2, 3].map((pid) =>
        acquireLock(made.open({ pid }), { exclusive: exclusive || pid === 1 }),
      );
      const won: HeldLock[] = [];
      for (const result of await Promise.allSettled(attempts)) {
        if (result.status === "fulfilled") won.push(result.value);
        else assert.ok(is("REPO_LOCKED")(result.reason));
      }
      if (exclusive) assert.ok(won.length <= 1);
      assert.equal(lockFiles(made).length, won.length);
    }
  });

  test("the one that is refused names the other", async () => {
    const made = world();
    const exclusive = { exclusive: true };
    await acquireLock(
      made.open({ pid: 77, hostname: "db-0", username: "odoo", uid: 3 }),
      exclusive,
    );
    await assert.rejects(acquireLock(made.open({}), { exclusive: false }), (error) => {
      assert.ok(isHoldfastError(error, "REPO_LOCKED"));
      assert.match(
        error.message,
        /locked exclusively by PID 77 on db-0 by odoo \(UID 3, GID 1000\)/,
      );
      assert.match(error.message, /2026-01-02/);
      return error.retryable && error.hint !== undefined;
    });
  });

  test("a lock that is replaced while it is read is not overlooked", async () => {
    const made = world();
    const holder = made.open({ pid: 1 });
    let files = [await store(holder, { exclusive: true })];
    let replacements = 2;
    // Replaces the file between the listing and the reading of it, as a refresh may.
    const around = (storage: Storage): Storage => {
      const calls = faulty(storage, []);
      return Object.assign(calls, {
        get: async (...parameters: Parameters<Storage["get"]>) => {
          if (replacements-- > 0) {
            const next = await store(holder, { exclusive: true });
            for (const file of files) made.objects.delete(`locks/${file}`);
            files = [next];
          }
          return storage.get(...parameters);
        },
      });
    };
    const repository = made.open({ pid: 2 }, around);
    await assert.rejects(acquireLock(repository, { exclusive: false }), is("REPO_LOCKED"));
    assert.ok(replacements <= 0);
  });
});

suite("waiting", () => {
  test("takes the lock once it is free, and says once that it waits", async () => {
    const made = world();
    const held = await acquireLock(made.open({ pid: 1 }), { exclusive: true });
    const notices: string[] = [];
    const options: LockOptions = {
      exclusive: false,
      retryFor: 10 * MINUTE,
      onNotice: (message) => notices.push(message),
    };
    const waiting = acquireLock(made.open({ pid: 2 }), options);
    await made.clock.advance(3 * MINUTE);
    await held.release();
    await made.clock.advance(MINUTE);
    await (await waiting).release();
    assert.equal(notices.length, 1);
    assert.match(notices[0]!, /already locked, waiting: .*PID 1 /);
  });

  test("gives up after the time it was given", async () => {
    const made = world();
    await store(made.open({ pid: 1 }), { exclusive: true, hostname: "elsewhere" });
    let settled = false;
    const attempt = acquireLock(made.open({}), { exclusive: false, retryFor: 2 * MINUTE });
    const refused = assert.rejects(attempt, is("REPO_LOCKED")).then(() => (settled = true));
    await made.clock.advance(2 * MINUTE - 1);
    assert.equal(settled, false);
    await made.clock.advance(1);
    await refused;
  });

  test("ends when it is cancelled", async () => {
    const made = world();
    await store(made.open({ pid: 1 }), { exclusive: true, hostname: "elsewhere" });
    const stop = new AbortController();
    const options = { exclusive: false, retryFor: 60 * MINUTE, signal: stop.signal };
    const attempt = assert.rejects(acquireLock(made.open({}), options), is("CANCELLED"));
    await settle();
    stop.abort();
    await attempt;
  });

  test("on storage whose lists lag, a moment passes between writing and looking again", async () => {
    const made = world();
    const lagging = (storage: Storage): Storage => {
      const calls = faulty(storage, []);
      return Object.assign(calls, { traits: { ...storage.traits, strongLists: false } });
    };
    let taken = false;
    const repository = made.open({}, lagging);
    const attempt = acquireLock(repository, { exclusive: true }).then((held) => {
      taken = true;
      return held;
    });
    await made.clock.advance(199);
    assert.equal(taken, false);
    // What another wrote in that time is seen.
    await store(made.open({ pid: 1, hostname: "elsewhere" }), {});
    const refused = assert.rejects(attempt, is("REPO_LOCKED"));
    await made.clock.advance(1);
    await refused;
    assert.equal(lockFiles(made).length, 1);
  });
});

suite("other people's locks", () => {
  test("an owner that is dead on this host is removed with a notice", async () => {
    const made = world();
    const id = await store(made.open({ pid: 99 }), { exclusive: true });
    const notices: string[] = [];
    const onNotice = (message: string): unknown => notices.push(message);
    const repository = made.open({ isAlive: (pid) => pid !== 99 });
    await acquireLock(repository, { exclusive: true, onNotice });
    assert.deepEqual(notices, [
      `removed lock ${id.slice(0, 8)}: its owner, process 99 on this host, is gone`,
    ]);
    assert.equal(lockFiles(made).length, 1);
  });

  test("an owner elsewhere is never removed, whatever its age and process number", async () => {
    const made = world();
    const fields = { exclusive: true, hostname: "elsewhere", time: ago(made, 24 * 60) };
    await store(made.open({ pid: 99 }), fields);
    const repository = made.open({ isAlive: () => false });
    await assert.rejects(acquireLock(repository, { exclusive: false }), is("REPO_LOCKED"));
    assert.equal(lockFiles(made).length, 1);
  });

  test("a dead owner in nobody's way is left alone", async () => {
    const made = world();
    await store(made.open({ pid: 99 }), { exclusive: false });
    const repository = made.open({ isAlive: () => false });
    await acquireLock(repository, { exclusive: false });
    assert.equal(lockFiles(made).length, 2);
  });

  test("an empty file is ignored", async () => {
    const made = world();
    made.objects.set(`locks/${"ab".repeat(32)}`, new Uint8Array(0));
    await acquireLock(made.open({}), { exclusive: true });
    assert.equal((await listLocks(made.open({}))).length, 1);
  });

  test("a damaged file is an error: it may be anybody's", async () => {
    const made = world();
    const id = await store(made.open({ pid: 1, hostname: "elsewhere" }), {});
    damage(made.objects, `locks/${id}`, 30);
    await assert.rejects(acquireLock(made.open({}), { exclusive: false }), (error) => {
      return isHoldfastError(error, "LOCK_DAMAGED") && /unlock --remove-all/.test(error.hint!);
    });
    assert.equal(lockFiles(made).length, 1, "and ours is not left behind");
  });
});

suite("unlock", () => {
  async function several(): Promise<{ made: World; kept: string[] }> {
    const made = world();
    const here = made.open({});
    await store(here, { hostname: "elsewhere", time: ago(made, 31) });
    await store(here, { pid: 99 });
    const young = await store(here, { hostname: "elsewhere", time: ago(made, 29) });
    const ours = await store(here, { pid: 4711 });
    const damaged = await store(here, { time: ago(made, 90) });
    damage(made.objects, `locks/${damaged}`, 20);
    const empty = "cd".repeat(32);
    made.objects.set(`locks/${empty}`, new Uint8Array(0));
    return { made, kept: [young, ours, damaged, empty].map((id) => `locks/${id}`) };
  }

  test("removes what is stale by restic's rules, and nothing else", async () => {
    const { made, kept } = await several();
    const repository = made.open({ isAlive: (pid) => pid !== 99 });
    assert.equal(await removeLocks(repository, { all: false }), 2);
    assert.deepEqual(lockFiles(made).sort(), kept.sort());
  });

  test("removes all of them when told to", async () => {
    const { made } = await several();
    assert.equal(await removeLocks(made.open({}), { all: true }), 6);
    assert.deepEqual(lockFiles(made), []);
  });
});

test("what the storage refuses is not taken for a free repository", async () => {
  for (const on of ["list", "get", "put"] as const) {
    const made = world();
    await store(made.open({ pid: 1, hostname: "elsewhere" }), {});
    const error = new HoldfastError("STORAGE_DENIED", "no");
    const rule: FaultRule = { on, key: /^locks/, fault: { kind: "before", error } };
    const repository = made.open({}, (storage) => faulty(storage, [rule]));
    await assert.rejects(acquireLock(repository, { exclusive: false }), is("STORAGE_DENIED"));
    assert.equal(lockFiles(made).length, 1);
  }
});

suite("a bucket that gives nothing back", () => {
  const keeping = (storage: Storage): Storage => {
    const error = new HoldfastError("STORAGE_DENIED", "deletions are denied", {
      hint: "Allow it.",
    });
    return forwarding(
      faulty(storage, [{ on: "delete", times: Infinity, fault: { kind: "before", error } }]),
      { traits: { ...storage.traits, local: false } },
    );
  };

  test("never gets an exclusive lock, which would lock everybody out for good", async () => {
    const made = world();
    const repository = made.open({ pid: 1 }, keeping);
    await assert.rejects(acquireLock(repository, { exclusive: true }), {
      code: "STORAGE_DENIED",
      message: "nothing can be removed here, not even our own lock: deletions are denied",
      hint: "Allow it.",
    });
    const [left, ...more] = await listLocks(repository);
    assert.deepEqual([left!.lock.exclusive, more], [false, []]);
  });

  test("gets shared ones, and its holder learns that one stays", async () => {
    const made = world();
    const notices: string[] = [];
    const held = await acquireLock(made.open({ pid: 1 }, keeping), {
      exclusive: false,
      onNotice: (text) => notices.push(text),
    });
    await held.release();
    assert.ok(isHoldfastError(held.staying, "STORAGE_DENIED"));
    assert.match(notices.join(), /unable to remove lock/);
    assert.equal(lockFiles(made).length, 1);
  });

  test("that does give back is asked once, and nothing of that stays", async () => {
    const made = world();
    const remote = (storage: Storage): Storage =>
      forwarding(storage, { traits: { ...storage.traits, local: false } });
    const held = await acquireLock(made.open({ pid: 1 }, remote), { exclusive: true });
    assert.equal(lockFiles(made).length, 1);
    await held.release();
    assert.deepEqual([lockFiles(made), held.staying], [[], undefined]);
  });
});
