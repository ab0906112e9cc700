// Keeps a plan going: services are run again whenever they end, tasks run when they are due. One that fails never ends
// another. What was due while nobody ran is caught up with once, two tasks that need the same thing wait for each other, and
// nothing of all this is remembered but in the journal (docs/decisions/plan.md#the-runner). What the tasks do is not known here.

import type { Clock, Random } from "../base/clock.ts";
import { Semaphore } from "../base/concurrency.ts";
import { isHoldfastError, messageOf, type ErrorCode } from "../base/errors.ts";
import type { Journal, JournalEntry, Outcome } from "./journal.ts";
import type { TaskName } from "./plan.ts";
import type { DueTask, ServiceState, ServiceTask, TaskResult } from "./task.ts";

export type RunnerEvent = {
  readonly instance: string;
  readonly task: TaskName;
} & (
  | { readonly kind: "started" }
  | { readonly kind: "done"; readonly seconds: number; readonly result: TaskResult }
  /** Tried again at `next`, in milliseconds since 1970. */
  | { readonly kind: "failed"; readonly error: unknown; readonly next: number }
  | { readonly kind: "stopped" }
  | { readonly kind: "recovered" }
  | { readonly kind: "notice"; readonly text: string }
  /** It was told to stop, and has not ended in time. */
  | { readonly kind: "abandoned" }
);

/** How a task stands, for whoever looks. */
export interface TaskStatus {
  readonly instance: string;
  readonly task: TaskName;
  readonly state: "running" | "waiting" | "failing";
  /** When it runs next, in milliseconds since 1970; undefined while it runs. */
  readonly next: number | undefined;
  /** What it failed with last, if nothing came right since. */
  readonly error: { readonly code: ErrorCode | undefined; readonly message: string } | undefined;
  /** What a service said last. */
  readonly service: ServiceState | undefined;
}

export interface RunnerOptions {
  readonly services: readonly ServiceTask[];
  readonly tasks: readonly DueTask[];
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: Random;
  readonly onEvent: (event: RunnerEvent) => void;
  /** Milliseconds that tasks have to end after `signal` was aborted. */
  readonly grace: number;
  readonly signal: AbortSignal;
}

/** Pauses after failures, in milliseconds. */
const SERVICE_PAUSES = { first: 1000, max: 60_000 };
const TASK_PAUSES = { first: 60_000, max: 3_600_000 };
/** The clock on the wall may be set, and machines sleep: it is looked at this often. */
const LOOK_MS = 20_000;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class Runner {
  readonly #options: RunnerOptions;
  readonly #locks = new Map<string, Semaphore>();
  readonly #statuses = new Map<string, Mutable<TaskStatus>>();

  constructor(options: RunnerOptions) {
    this.#options = options;
    for (const { instance, name } of [...options.services, ...options.tasks]) {
      const common = { next: undefined, error: undefined, service: undefined };
      const status: TaskStatus = { instance, task: name, state: "waiting", ...common };
      this.#statuses.set(`${instance} ${name}`, status);
    }
  }

  /** How all tasks stand, in the order of the plan. */
  get statuses(): readonly TaskStatus[] {
    return [...this.#statuses.values()];
  }

  /** Runs until the signal is aborted, and then until everything has ended, or the grace is over. */
  async run(): Promise<void> {
    const { services, tasks, signal, clock, grace, journal } = this.#options;
    const loops = [
      ...services.map((service) => ({ task: service, loop: this.#serve(service) })),
      ...tasks.map((task) => ({ task, loop: this.#repeat(task) })),
    ];
    const left = new Set(loops.map(({ task }) => task));
    const all = Promise.all(loops.map(({ task, loop }) => loop.finally(() => left.delete(task))));
    await Promise.race([all, aborted(signal)]);
    const waiting = new AbortController();
    const limit = clock.sleep(grace, waiting.signal).catch(() => undefined);
    await Promise.race([all, limit]);
    waiting.abort();
    for (const { instance, name } of left) this.#tell({ instance, task: name, kind: "abandoned" });
    await journal.settled();
  }

  /** Runs one task now, whatever its schedule says. Throws what it throws. */
  async runOnce(task: DueTask): Promise<TaskResult> {
    const { signal } = this.#options;
    const outcome = await this.#runTask(task, signal);
    await this.#options.journal.settled();
    if (outcome.kind === "done") return outcome.result;
    throw outcome.error;
  }

  async #serve(service: ServiceTask): Promise<void> {
    const { clock, signal, random } = this.#options;
    const { instance, name } = service;
    const status = this.#statusOf(service);
    let failures = 0;
    while (!signal.aborted) {
      const started = clock.now();
      Object.assign(status, { state: "running", next: undefined });
      this.#tell({ instance, task: name, kind: "started" });
      const failing = (error: unknown, next: number): void => {
        failures += 1;
        Object.assign(status, { state: "failing", next, error: describe(error) });
        this.#tell({ instance, task: name, kind: "failed", error, next });
        // An outage of hours is one line of the journal, not one for each attempt.
        if (failures === 1) this.#noteFailure({ instance, task: name, started }, error);
      };
      let failure: unknown;
      try {
        await service.run({
          signal,
          notice: (text) => this.#tell({ instance, task: name, kind: "notice", text }),
          failing,
          working: (state) => {
            status.service = state;
            if (failures === 0) return;
            failures = 0;
            Object.assign(status, { state: "running", next: undefined, error: undefined });
            this.#tell({ instance, task: name, kind: "recovered" });
            this.#note({ instance, task: name, outcome: "recovered", started, ended: clock.now() });
          },
        });
        failure = new Error("it ended by itself");
      } catch (error) {
        failure = error;
      }
      if (signal.aborted) break;
      const pause = pauseAfter(failures + 1, SERVICE_PAUSES, random);
      failing(failure, clock.now() + pause);
      if (!(await this.#sleep(pause))) break;
    }
    this.#tell({ instance, task: name, kind: "stopped" });
  }

  async #repeat(task: DueTask): Promise<void> {
    const { clock, signal, random } = this.#options;
    const status = this.#statusOf(task);
    let next = await this.#firstTime(task);
    let failures = 0;
    while (next !== undefined && !signal.aborted) {
      status.next = next;
      if (!(await this.#sleepUntil(next))) return;
      const outcome = await this.#runTask(task, signal);
      if (outcome.kind === "stopped") return;
      const scheduled = task.schedule.next(clock.now());
      if (outcome.kind === "done") {
        failures = 0;
        next = scheduled;
        continue;
      }
      failures += 1;
      const again = clock.now() + pauseAfter(failures, TASK_PAUSES, random);
      // What cannot be made right by trying again waits for its time.
      next = isPermanent(outcome.error) ? scheduled : Math.min(again, scheduled ?? again);
      const { instance, name } = task;
      this.#tell({
        instance,
        task: name,
        kind: "failed",
        error: outcome.error,
        next: next ?? again,
      });
    }
  }

  /** When a task is due first: at once for what was missed, or was never done and should not wait. */
  async #firstTime(task: DueTask): Promise<number | undefined> {
    const { clock, journal } = this.#options;
    const { instance, name, schedule } = task;
    const now = clock.now();
    let last = journal.last(instance, name, ["done"])?.started;
    if (last === undefined && task.lastDone !== undefined) {
      const found = await this.#askLast(task);
      if (found === "unknown") return schedule.next(now);
      last = found;
    }
    if (last === undefined) return task.beginsAtOnce ? now : schedule.next(now);
    // A clock that was set back, or another machine's: nothing that is to come was missed.
    return schedule.next(Math.min(last, now));
  }

  async #askLast(task: DueTask): Promise<number | undefined | "unknown"> {
    const { signal, clock, random } = this.#options;
    const { instance, name } = task;
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        const notice = (text: string): void =>
          this.#tell({ instance, task: name, kind: "notice", text });
        return await task.lastDone!({ signal, notice });
      } catch (error) {
        if (signal.aborted) break;
        const pause = pauseAfter(failures, TASK_PAUSES, random);
        const status = this.#statusOf(task);
        const next = clock.now() + pause;
        Object.assign(status, { state: "failing", next, error: describe(error) });
        this.#tell({ instance, task: name, kind: "failed", error, next });
        if (!(await this.#sleep(pause))) break;
      }
    }
    return "unknown";
  }

  async #runTask(
    task: DueTask,
    signal: AbortSignal,
  ): Promise<
    | { readonly kind: "done"; readonly result: TaskResult }
    | { readonly kind: "failed" | "stopped"; readonly error: unknown }
  > {
    const { clock } = this.#options;
    const { instance, name } = task;
    const status = this.#statusOf(task);
    const releases: (() => void)[] = [];
    let started = clock.now();
    try {
      // In one order for all, so that no two wait for each other.
      for (const lock of [...new Set([`kind ${name}`, ...task.locks])].toSorted())
        releases.push(await this.#lock(lock).acquire(signal));
      started = clock.now();
      Object.assign(status, { state: "running", next: undefined });
      this.#tell({ instance, task: name, kind: "started" });
      const notice = (text: string): void =>
        this.#tell({ instance, task: name, kind: "notice", text });
      const result = await task.run({ signal, notice });
      const ended = clock.now();
      Object.assign(status, { state: "waiting", error: undefined });
      this.#tell({ instance, task: name, kind: "done", seconds: (ended - started) / 1000, result });
      this.#note({ instance, task: name, outcome: "done", started, ended, detail: result.detail });
      return { kind: "done", result };
    } catch (error) {
      if (signal.aborted) {
        this.#tell({ instance, task: name, kind: "stopped" });
        this.#note({ instance, task: name, outcome: "stopped", started, ended: clock.now() });
        return { kind: "stopped", error };
      }
      Object.assign(status, { state: "failing", error: describe(error) });
      this.#noteFailure({ instance, task: name, started }, error);
      return { kind: "failed", error };
    } finally {
      for (const release of releases) release();
    }
  }

  #lock(name: string): Semaphore {
    const lock = this.#locks.get(name) ?? new Semaphore(1);
    this.#locks.set(name, lock);
    return lock;
  }

  #statusOf({ instance, name }: ServiceTask | DueTask): Mutable<TaskStatus> {
    return this.#statuses.get(`${instance} ${name}`)!;
  }

  /** False when the signal was aborted meanwhile. */
  async #sleep(milliseconds: number): Promise<boolean> {
    const { clock, signal } = this.#options;
    await clock.sleep(milliseconds, signal).catch(() => undefined);
    return !signal.aborted;
  }

  /** By the clock on the wall, which may be set meanwhile. */
  async #sleepUntil(time: number): Promise<boolean> {
    const { clock, signal } = this.#options;
    for (let left = time - clock.now(); left > 0; left = time - clock.now())
      if (!(await this.#sleep(Math.min(left, LOOK_MS)))) return false;
    return !signal.aborted;
  }

  #noteFailure(entry: Omit<JournalEntry, "ended" | "outcome">, error: unknown): void {
    const outcome: Outcome = "failed";
    this.#note({ ...entry, outcome, ended: this.#options.clock.now(), ...describe(error) });
  }

  /** A journal that cannot be written stops nothing. */
  #note(entry: JournalEntry): void {
    const { instance, task } = entry;
    this.#options.journal.add(entry).catch((error: unknown) => {
      this.#tell({ instance, task, kind: "notice", text: messageOf(error) });
    });
  }

  #tell(event: RunnerEvent): void {
    this.#options.onEvent(event);
  }
}

function describe(error: unknown): { code: ErrorCode | undefined; message: string } {
  const code = isHoldfastError(error) ? error.code : undefined;
  return { code, message: messageOf(error) };
}

/** What a person has to look at, or what took hours: it is not done again within minutes. */
const PERMANENT: readonly ErrorCode[] = [
  "USAGE",
  "BUG",
  "INCOMPLETE",
  "SNAPSHOT_SHRUNK",
  "SNAPSHOT_LAST",
  "PAGES_DAMAGED",
  "DRILL_FAILED",
];

function isPermanent(error: unknown): boolean {
  return isHoldfastError(error, ...PERMANENT);
}

function pauseAfter(
  failures: number,
  { first, max }: { readonly first: number; readonly max: number },
  random: Random,
): number {
  const exact = Math.min(max, first * 2 ** Math.min(failures - 1, 20));
  const [a = 0, b = 0] = random(2);
  return Math.round(exact * (0.75 + (a * 256 + b) / 131_072));
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true }),
  );
}
