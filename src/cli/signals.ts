// Signals that ask the program to stop, and those that only ask whether it is there or how far it is.

export interface StopSignals {
  signal: AbortSignal;
  /** Gives the signals back to the system's own handling. */
  end(): void;
}

/**
 * Aborts on the first SIGINT or SIGTERM, so that locks are released and nothing is left half-done; a second one ends the
 * process at once. SIGHUP is ignored: restic sends it to the owner of a lock to see whether it lives.
 * So is SIGUSR1, by which progress is shown where there is any: without a handler Node would open its debugger.
 */
export function onStopSignals(): StopSignals {
  const controller = new AbortController();
  const stop = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort(new Error(`signal ${name} received`));
  };
  const ignore = (): void => {};
  process.on("SIGINT", stop).on("SIGTERM", stop).on("SIGHUP", ignore).on("SIGUSR1", ignore);
  return {
    signal: controller.signal,
    end: () => {
      process.off("SIGINT", stop).off("SIGTERM", stop);
    },
  };
}
