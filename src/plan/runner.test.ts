import { suite, test } from "node:test";
import assert from "node:assert/strict";
import { HoldfastError } from "../base/errors.ts";
import { FakeClock, settle } from "../../test/fake-clock.ts";
import { Journal, type JournalEntry } from "./journal.ts";
import { Runner, type RunnerEvent } from "./runner.ts";
import { parseSchedule } from "./schedule.ts";
import type { DueTask, ServiceRun, ServiceTask, TaskResult, TaskRun } from "./task.ts";

const HOUR = 3_600_000;
const BEGIN = Date.UTC(2026, 0, 2, 3, 4, 5);
const RESULT: TaskResult = { text: "made", detail: { files: 3 } };

/** A journal that lies nowhere. */
class MemoryJournal extends Journal {
  readonly added: JournalEntry[] = [];

  constructor(entries: readonly JournalEntry[] = []) {
    super("", "");
    this.added.push(...entries);
  }

  override get entries(): readonly JournalEntry[] {
    return this.added;
  }

  override last(
    ...[instance, task, outcomes]: Parameters<Journal["last"]>
  ): JournalEntry | undefined {
    return this.added.findLast(
      (one) => one.instance === instance && one.task === task && outcomes.includes(one.outcome),
    );
  }

  override add(entry: JournalEntry): Promise<void> {
    this.added.push(entry);
    return Promise.resolve();
  }
}

class Bench {
  readonly clock = new FakeClock(BEGIN);
  readonly stop = new AbortController();
  readonly events: RunnerEvent[] = [];
  readonly journal: MemoryJournal;
  runner!: Runner;
  #running: Promise<void> | undefined;

  constructor(entries: readonly JournalEntry[] = []) {
    this.journal = new MemoryJournal(entries);
  }

  make({ tasks = [], services = [] }: { tasks?: DueTask[]; services?: ServiceTask[] }): Runner {
    this.runner = new Runner({
      tasks,
      services,
      journal: this.journal,
      clock: this.clock,
      random: (length) => new Uint8Array(length).fill(128),
      onEvent: (event) => void this.events.push(event),
      grace: 10_000,
      signal: this.stop.signal,
    });
    return this.runner;
  }

  async start(parts: { tasks?: DueTask[]; services?: ServiceTask[] }): Promise<void> {
    this.#running = this.make(parts).run();
    await settle();
  }

  /** Tells it to stop, and waits until it has. */
  async end(): Promise<void> {
    this.stop.abort();
    await this.clock.advance(20_000);
    await this.#running;
  }

  kinds(): string[] {
    return this.events.map(({ task, kind }) => `${task} ${kind}`);
  }
}

interface Made extends DueTask {
  /** When it ran, in minutes since the beginning. */
  readonly ran: number[];
}

function task(
  bench: Bench,
  line: string,
  options: Partial<DueTask> & { work?: (run: TaskRun) => Promise<void> } = {},
): Made {
  const { work, ...more } = options;
  const ran: number[] = [];
  return {
    instance: "one",
    name: "snapshot",
    schedule: parseSchedule(line, { timeZone: "UTC", source: "" }),
    locks: [],
    beginsAtOnce: false,
    ran,
    async run(run) {
      ran.push(Math.round((bench.clock.now() - BEGIN) / 60_000));
      await work?.(run);
      return RESULT;
    },
    ...more,
  };
}

const done = (started: number): JournalEntry => ({
  instance: "one",
  task: "snapshot",
  outcome: "done",
  started,
  ended: started,
});

suite("what is due", () => {
  test("runs at its time, once for each", async () => {
    const bench = new Bench();
    // It is 03:04:05.
    const made = task(bench, "0 * * * *");
    await bench.start({ tasks: [made] });
    assert.deepEqual(bench.runner.statuses[0]!.next, Date.UTC(2026, 0, 2, 4));
    await bench.clock.advance(3 * HOUR);
    assert.deepEqual(made.ran, [56, 116, 176]);
    assert.equal(bench.journal.last("one", "snapshot", ["done"])!.detail!["files"], 3);
    await bench.end();
    assert.deepEqual(bench.kinds().slice(0, 2), ["snapshot started", "snapshot done"]);
  });

  test("is caught up with once after a silence, however long", async () => {
    const bench = new Bench([done(BEGIN - 50 * HOUR)]);
    const made = task(bench, "0 * * * *");
    await bench.start({ tasks: [made] });
    await bench.clock.advance(HOUR);
    assert.deepEqual(made.ran, [0, 56]);
    await bench.end();
  });

  test("is not missed when it was done in time, by the journal or by the data", async () => {
    const byJournal = new Bench([done(BEGIN - 60_000)]);
    const one = task(byJournal, "0 4 * * *");
    await byJournal.start({ tasks: [one] });
    await byJournal.clock.advance(HOUR / 2);
    assert.deepEqual(one.ran, []);
    await byJournal.end();
    const byData = new Bench();
    const lastDone = (): Promise<number> => Promise.resolve(BEGIN - 25 * HOUR);
    const other = task(byData, "0 4 * * *", { lastDone });
    await byData.start({ tasks: [other] });
    assert.deepEqual(other.ran, [0]);
    await byData.end();
  });

  test("begins at once only when it was never done and should", async () => {
    const never = (): Promise<undefined> => Promise.resolve(undefined);
    const bench = new Bench();
    const base = task(bench, "0 4 * * *", { name: "base", beginsAtOnce: true, lastDone: never });
    const drill = task(bench, "0 4 * * *", { name: "drill" });
    await bench.start({ tasks: [base, drill] });
    assert.deepEqual([base.ran, drill.ran], [[0], []]);
    await bench.end();
  });

  test("the data are asked until they answer", async () => {
    const bench = new Bench();
    let asked = 0;
    const lastDone = (): Promise<number | undefined> => {
      asked++;
      if (asked < 3) return Promise.reject(new HoldfastError("STORAGE_UNAVAILABLE", "away"));
      return Promise.resolve(undefined);
    };
    const made = task(bench, "0 4 * * *", { lastDone, beginsAtOnce: true });
    await bench.start({ tasks: [made] });
    assert.equal(bench.runner.statuses[0]!.error!.code, "STORAGE_UNAVAILABLE");
    await bench.clock.advance(4 * 60_000);
    assert.equal(asked, 3);
    assert.equal(made.ran.length, 1);
    await bench.end();
  });

  test("a clock that is set forward makes it due, one that is set back does not repeat it", async () => {
    const bench = new Bench();
    const made = task(bench, "0 12 * * *");
    await bench.start({ tasks: [made] });
    bench.clock.set(9 * HOUR);
    await bench.clock.advance(30_000);
    assert.equal(made.ran.length, 1);
    await bench.end();
    const future = new Bench([done(BEGIN + 1000 * HOUR)]);
    const other = task(future, "0 4 * * *");
    await future.start({ tasks: [other] });
    await future.clock.advance(HOUR);
    assert.deepEqual(other.ran, [56]);
    await future.end();
  });
});

suite("failures", () => {
  test("are tried again with longer and longer pauses, but not past the next time", async () => {
    const bench = new Bench();
    const away = new HoldfastError("STORAGE_UNAVAILABLE", "the storage is away", {
      retryable: true,
    });
    const made = task(bench, "0 4 * * *", {
      work: () => (made.ran.length < 4 ? Promise.reject(away) : Promise.resolve()),
    });
    await bench.start({ tasks: [made] });
    await bench.clock.advance(2 * HOUR);
    assert.deepEqual(made.ran, [56, 57, 59, 63]);
    const failed = bench.journal.added.filter(({ outcome }) => outcome === "failed");
    assert.deepEqual(
      failed.map(({ code, message }) => [code, message]),
      Array.from({ length: 3 }, () => ["STORAGE_UNAVAILABLE", "the storage is away"]),
    );
    assert.equal(bench.runner.statuses[0]!.error, undefined);
    await bench.end();
  });

  test("that nobody can wait out are tried again at the next time", async () => {
    const bench = new Bench();
    const made = task(bench, "0 * * * *", {
      work: () => Promise.reject(new HoldfastError("SNAPSHOT_SHRUNK", "half is gone")),
    });
    await bench.start({ tasks: [made] });
    await bench.clock.advance(2 * HOUR);
    assert.deepEqual(made.ran, [56, 116]);
    assert.equal(bench.runner.statuses[0]!.state, "failing");
    await bench.end();
  });

  test("of one task do not touch another", async () => {
    const bench = new Bench();
    const broken = task(bench, "* * * * *", {
      name: "base",
      work: () => Promise.reject(new Error("no")),
    });
    const sound = task(bench, "* * * * *", { name: "drill" });
    await bench.start({ tasks: [broken, sound] });
    await bench.clock.advance(5 * 60_000);
    assert.equal(sound.ran.length, 5);
    await bench.end();
  });
});

suite("beside each other", () => {
  /** A task that runs until it is told to end, and counts how many do. */
  function overlapping(bench: Bench, counts: { now: number; most: number }) {
    return async (): Promise<void> => {
      counts.now++;
      counts.most = Math.max(counts.most, counts.now);
      await bench.clock.sleep(10 * 60_000);
      counts.now--;
    };
  }

  test("no two of the same kind, and none that share a lock", async () => {
    const bench = new Bench();
    const counts = { now: 0, most: 0 };
    const work = overlapping(bench, counts);
    const same = [1, 2, 3].map((number) =>
      task(bench, "5 3 * * *", { instance: `instance ${number}`, work }),
    );
    await bench.start({ tasks: same });
    await bench.clock.advance(HOUR);
    assert.deepEqual([counts.most, same.map(({ ran }) => ran.length)], [1, [1, 1, 1]]);
    await bench.end();
    const sharing = new Bench();
    const shared = { now: 0, most: 0 };
    const busy = overlapping(sharing, shared);
    const names = ["snapshot", "expire", "prune"] as const;
    const tasks = names.map((name) =>
      task(sharing, "5 3 * * *", { name, locks: ["r"], work: busy }),
    );
    const free = task(sharing, "5 3 * * *", { name: "drill", work: busy });
    await sharing.start({ tasks: [...tasks, free] });
    await sharing.clock.advance(HOUR);
    assert.deepEqual([shared.most, tasks.map(({ ran }) => ran.length)], [2, [1, 1, 1]]);
    await sharing.end();
  });
});

suite("services", () => {
  function service(run: (run: ServiceRun, attempt: number) => Promise<void>): ServiceTask {
    let attempt = 0;
    return { instance: "one", name: "capture", run: (one) => run(one, ++attempt) };
  }

  test("run again after whatever ends them, and say so once in the journal", async () => {
    const bench = new Bench();
    let attempts = 0;
    const made = service(async ({ working, signal }, attempt) => {
      attempts = attempt;
      if (attempt === 1) return;
      if (attempt < 6) throw new HoldfastError("WRONG_PASSWORD", "no key opens it");
      working({ text: "captured", fields: {} });
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    });
    await bench.start({ services: [made] });
    assert.equal(bench.runner.statuses[0]!.error!.message, "it ended by itself");
    await bench.clock.advance(60_000);
    assert.equal(attempts, 6);
    assert.deepEqual(
      bench.journal.added.map(({ outcome }) => outcome),
      ["failed", "recovered"],
    );
    const [status] = bench.runner.statuses;
    assert.deepEqual(
      [status!.state, status!.error, status!.service!.text],
      ["running", undefined, "captured"],
    );
    await bench.end();
    assert.equal(bench.kinds().at(-1), "capture stopped");
  });

  test("an outage of an hour costs an attempt a minute", async () => {
    const bench = new Bench();
    let attempts = 0;
    const made = service(() => {
      attempts++;
      return Promise.reject(new Error("away"));
    });
    await bench.start({ services: [made] });
    await bench.clock.advance(HOUR);
    assert.ok(attempts > 50 && attempts < 80, String(attempts));
    await bench.end();
  });
});

suite("the end", () => {
  test("waits for what ends well, and gives up on what does not", async () => {
    const bench = new Bench();
    const made = task(bench, "5 3 * * *", {
      work: async ({ signal }) => {
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        await bench.clock.sleep(2000);
        throw new HoldfastError("CANCELLED", "stopped");
      },
    });
    const deaf: ServiceTask = {
      instance: "one",
      name: "receive",
      run: () => new Promise(() => {}),
    };
    await bench.start({ tasks: [made], services: [deaf] });
    await bench.clock.advance(60_000);
    await bench.end();
    assert.deepEqual(bench.kinds().slice(-2), ["snapshot stopped", "receive abandoned"]);
    assert.equal(bench.journal.added.at(-1)!.outcome, "stopped");
    // What was stopped is due again.
    const next = new Bench(bench.journal.added);
    const again = task(next, "5 3 * * *", { lastDone: () => Promise.resolve(BEGIN - 30 * HOUR) });
    await next.start({ tasks: [again] });
    assert.deepEqual(again.ran, [0]);
    await next.end();
  });

  test("one task alone runs now, and its failure is thrown", async () => {
    const bench = new Bench();
    const made = task(bench, "0 0 1 1 *");
    const runner = bench.make({ tasks: [made] });
    assert.equal(await runner.runOnce(made), RESULT);
    const broken = task(bench, "0 0 1 1 *", { work: () => Promise.reject(new Error("no")) });
    await assert.rejects(bench.make({ tasks: [broken] }).runOnce(broken), /no/);
    assert.deepEqual(
      bench.journal.added.map(({ outcome }) => outcome),
      ["done", "failed"],
    );
  });
});
