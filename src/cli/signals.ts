// Signals that ask the program to stop, and those that only ask whether it is there or how far it is.

import { EXIT } from "./exit-status.ts";

export interface StopSignals {
  signal: AbortSignal;
  /** Leaves SIGINT to a program that has the terminal, as git does for an editor; until the result is called. */
  leaveInterrupts(): () => void;
  /** Gives the signals back to the system's own handling. */
  end(): void;
}

/** Signals this close together are one request: `timeout` sends two, a terminal one to each of a group. */
const SAME_REQUEST_MS = 1000;
const STOPPING = ["SIGINT", "SIGTERM", "SIGQUIT"] as const;

/**
 * Aborts on the first SIGINT, SIGTERM or SIGQUIT, so that locks are released and nothing is left half-done, least of all a
 * secret in plain; a later one ends the process at once. SIGHUP is ignored: restic sends it to the owner of a lock to see whether it lives.
 * So is SIGUSR1, by which progress is shown where there is any: without a handler Node would open its debugger.
 */
export function onStopSignals(): StopSignals {
  const controller = new AbortController();
  let first = Infinity;
  let left = 0;
  const stop = (name: NodeJS.Signals): void => {
    if (name === "SIGINT" && left > 0) return;
    const now = performance.now();
    if (now - first > SAME_REQUEST_MS) process.exit(EXIT.cancelled);
    first = Math.min(first, now);
    controller.abort(new Error(`signal ${name} received`));
  };
  const ignore = (): void => {};
  for (const name of STOPPING) process.on(name, stop);
  process.on("SIGHUP", ignore).on("SIGUSR1", ignore);
  return {
    signal: controller.signal,
    leaveInterrupts: () => {
      left++;
      return () => left--;
    },
    end: () => {
      for (const name of STOPPING) process.off(name, stop);
    },
  };
}
