// What the runner runs: services, which go on until they are told to stop, and tasks that are due by a schedule. What a task
// does is its own business (src/plan/tasks/); when it runs, beside what, and what becomes of its failures is the runner's
// (src/plan/runner.ts).

import type { ScheduledTask, Service } from "./plan.ts";
import type { Schedule } from "./schedule.ts";

export interface TaskRun {
  /** Ends the run, well and soon. */
  readonly signal: AbortSignal;
  /** Says something that a log should have. */
  readonly notice: (text: string) => void;
}

export interface ServiceRun extends TaskRun {
  /** It works: earlier failures do not count any more. `detail` is how it stands, for people and for --json. */
  readonly working: (detail: ServiceState) => void;
  /** It does not work, and tries again by itself at `next`, in milliseconds since 1970. */
  readonly failing: (error: unknown, next: number) => void;
}

/** How a service stands. */
export interface ServiceState {
  /** One line for a person. */
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface ServiceTask {
  readonly instance: string;
  readonly name: Service;
  /** Runs until `signal` is aborted. Whatever it throws, it is run again after a pause. */
  run(run: ServiceRun): Promise<void>;
}

/** What a run did: numbers and words for the journal, and a sentence. */
export interface TaskResult {
  readonly text: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface DueTask {
  readonly instance: string;
  readonly name: ScheduledTask;
  readonly schedule: Schedule;
  /** Names of what it must have for itself: two tasks that share one never run at the same time. */
  readonly locks: readonly string[];
  /** True for what should not wait for its time when it was never done: without it nothing can be recovered. */
  readonly beginsAtOnce: boolean;
  /**
   * When what it makes was made last, as the data themselves tell, in milliseconds since 1970; undefined for never. Asked when the
   * journal does not know.
   */
  readonly lastDone?: (run: TaskRun) => Promise<number | undefined>;
  run(run: TaskRun): Promise<TaskResult>;
}
