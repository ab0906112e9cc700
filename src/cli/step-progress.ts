// Progress of a command that does one step after the other: a line when a step begins, and what it counts while it runs.

import type { Clock } from "../base/clock.ts";
import { Progress } from "../base/progress.ts";
import type { Output } from "./output.ts";
import { ProgressDisplay } from "./progress.ts";
import { countView } from "./progress-views.ts";

export interface StepProgressOptions {
  output: Output;
  clock: Clock;
  framesPerSecond: number;
}

/** Shows the steps of one run. */
export class StepProgress {
  readonly #options: StepProgressOptions;
  #progress = new Progress();
  #display: ProgressDisplay | undefined;

  constructor(options: StepProgressOptions) {
    this.#options = options;
  }

  /** Ends the step before, says `lines`, and counts up to `total` of what `unit` names, if anything. */
  begin(lines: readonly string[], unit?: string, total = 0): void {
    const { output, clock, framesPerSecond } = this.#options;
    this.end();
    for (const line of lines) output.print(line);
    if (unit === undefined) return;
    this.#progress = new Progress();
    this.#progress.addTotal({ files: total });
    const counters = this.#progress;
    const view = countView(unit);
    this.#display = new ProgressDisplay({ output, counters, view, clock, framesPerSecond });
  }

  /** So much of the step is done. */
  done(count: number): void {
    this.#progress.done({ files: count });
  }

  /** Takes the display of the step away; its last line stays unless it failed. */
  end(outcome: "done" | "failed" = "done"): void {
    this.#display?.stop(outcome);
    this.#display = undefined;
  }

  /** Runs `work`, and ends the last step as it went. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    try {
      const result = await work();
      this.end();
      return result;
    } catch (error) {
      this.end("failed");
      throw error;
    }
  }
}
