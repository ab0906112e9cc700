// How long a run that failed waits for its next attempt: a minute, doubled up to an hour. A change of the Secret, the resource or a
// trigger ends the wait. Pure.

const FIRST_MS = 60_000;
const MAX_MS = 3_600_000;

/** Failed attempts after which the copy of the volume is made anew: a run that succeeds must not store data of days ago. */
export const FRESH_COPY_EVERY = 3;

/** Milliseconds until the next attempt after `failures` failed ones, at least one. */
export function attemptDelay(failures: number): number {
  return Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(20, Math.max(0, failures - 1)));
}

/** True when the next attempt should read a fresh copy of the volume. */
export function wantsFreshCopy(failures: number): boolean {
  return failures > 0 && failures % FRESH_COPY_EVERY === 0;
}
