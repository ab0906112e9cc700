// Cancellation by AbortSignal: how a stopped operation tells that it was stopped.
// Every layer throws the same CANCELLED error, whatever the reason object of the signal is.

import { HoldfastError, messageOf } from "./errors.ts";

/** The error of an operation that stopped because `signal` was aborted; its cause is the signal's reason. */
export function cancelled(signal: AbortSignal): HoldfastError {
  const reason: unknown = signal.reason;
  // Without an explicit reason Node fills in an AbortError, which says nothing more than the code does.
  const silent = reason === undefined || (reason instanceof Error && reason.name === "AbortError");
  return new HoldfastError("CANCELLED", silent ? "stopped" : `stopped: ${messageOf(reason)}`, {
    cause: reason,
  });
}

/** Throws CANCELLED when `signal` is already aborted. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelled(signal);
}

/** What `work` resolves to, or CANCELLED as soon as `signal` is aborted: the work itself is left to whoever can stop it. */
export async function unlessCancelled<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(cancelled(signal));
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
