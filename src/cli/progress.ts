// Shows an operation's progress while it runs: redrawn on a terminal, as JSON messages with --json, and otherwise as
// a sparse line for logs, so that a long run in a pod is seen to move. RESTIC_PROGRESS_FPS changes how often. SIGUSR1
// shows it at once, as restic does. Only commands whose stdout is a report show progress; see output.ts.

import type { Clock } from "../base/clock.ts";
import type { ProgressCounters } from "../base/progress.ts";
import type { Output } from "./output.ts";
import type { ProgressState, ProgressView } from "./progress-views.ts";
import { secondsLeft, Throughput } from "./throughput.ts";

const FRAMES_PER_SECOND = 10;
const FRAMES_PER_SECOND_MAX = 60;
/** Between the lines of a log. */
const LOG_SECONDS = 30;

export interface ProgressOptions {
  output: Output;
  counters: ProgressCounters;
  view: ProgressView;
  clock: Pick<Clock, "monotonic">;
  /** As the user set it; 0 or undefined for the default. */
  framesPerSecond?: number | undefined;
}

/** Shows the counters from its creation until stop(). */
export class ProgressDisplay {
  readonly #options: ProgressOptions;
  readonly #start: number;
  readonly #throughput = new Throughput();
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #onSignal = (): void => this.show();
  #stopped = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#start = options.clock.monotonic();
    const seconds = intervalSeconds(options);
    if (seconds !== undefined) {
      // The display alone must not keep the process alive.
      this.#timer = setInterval(() => this.show(), seconds * 1000).unref();
    }
    process.on("SIGUSR1", this.#onSignal);
  }

  /** Shows the progress of this moment. */
  show(): void {
    const { output, view } = this.#options;
    const state = this.#state();
    if (this.#stopped || !hasBegun(state.counters)) return;
    if (output.isJson) {
      if (view.message) output.json(view.message(state));
    } else if (output.canRedraw) {
      output.status(view.lines(state, output.columns));
    } else {
      output.print(view.plain(state));
    }
  }

  /** Takes the display away. Prints the view's final line, if it has one, unless the operation failed. */
  stop(outcome: "done" | "failed" = "done"): void {
    if (this.#stopped) return;
    const { output, view } = this.#options;
    this.#stopped = true;
    clearInterval(this.#timer);
    process.off("SIGUSR1", this.#onSignal);
    output.status([]);
    if (outcome === "done" && view.final) output.print(view.final(this.#state()));
  }

  /** Seconds since the display began. */
  get seconds(): number {
    return (this.#options.clock.monotonic() - this.#start) / 1000;
  }

  #state(): ProgressState {
    const { counters } = this.#options;
    const { seconds } = this;
    const bytesPerSecond = this.#throughput.sample(seconds, counters.bytesDone);
    const { totalKnown, bytesTotal, bytesExpected, bytesDone } = counters;
    const expected = bytesExpected > bytesTotal ? bytesExpected : bytesDone;
    const left = (totalKnown ? bytesTotal : expected) - bytesDone;
    return {
      counters,
      seconds,
      bytesPerSecond,
      secondsLeft: secondsLeft(left, bytesPerSecond),
    };
  }
}

/** Seconds between two frames; undefined for none but those asked for by signal. */
function intervalSeconds({ output, framesPerSecond = 0 }: ProgressOptions): number | undefined {
  if (framesPerSecond > 0) return 1 / Math.min(framesPerSecond, FRAMES_PER_SECOND_MAX);
  if (output.verbosity === 0) return undefined;
  return output.isJson || output.canRedraw ? 1 / FRAMES_PER_SECOND : LOG_SECONDS;
}

/** Until something is known there is nothing to say. */
function hasBegun(counters: ProgressCounters): boolean {
  const { filesTotal, directoriesTotal, filesDone, directoriesDone, bytesDone, errors } = counters;
  return filesTotal + directoriesTotal + filesDone + directoriesDone + bytesDone + errors > 0;
}
