// Every place where a key could be is looked at in turn, and each one that does not help leaves one line. Nothing that
// was read from a key, a program or a library's complaint gets into such a line: complaints quote what they complain of.

import { cancelled, throwIfCancelled } from "../../base/cancellation.ts";
import { errnoOf, HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { KeyAttempt, KeyContext } from "../key-source.ts";

/** The data key, or what is in the place instead, or what to do when every place that asks nobody has failed. */
export type Finding = Uint8Array | string | (() => Promise<Uint8Array | string>);

export interface Place {
  /** For people: a variable, a file, a program. Never a secret. */
  readonly name: string;
  readonly look: () => Promise<Finding>;
}

/** What SOPS wraps: a data key of 32 bytes, or a share of one, which is a byte longer. */
const DATA_KEY_BYTES: readonly number[] = [32, 33];
const SHOWN_MAX = 160;

/** Looks at `places` in order, at those that must ask a person last. One line for each, if none has the key. */
export async function tryPlaces(
  places: readonly Place[],
  context: KeyContext,
): Promise<KeyAttempt> {
  const lines: string[] = [];
  const later: { at: number; place: Place; look: () => Promise<Uint8Array | string> }[] = [];
  const settle = (at: number, place: Place, found: Uint8Array | string): KeyAttempt | undefined => {
    if (typeof found !== "string") {
      if (DATA_KEY_BYTES.includes(found.length)) {
        return { opened: true, dataKey: found, where: place.name };
      }
      found = `opens it, but ${found.length} bytes are no data key`;
    }
    lines[at] = `${place.name}: ${found}`;
    return undefined;
  };
  for (const [at, place] of places.entries()) {
    const found = await orWhyNot(place.look, context);
    if (typeof found === "function") {
      later.push({ at, place, look: found });
      continue;
    }
    const opened = settle(at, place, found);
    if (opened) return opened;
  }
  for (const { at, place, look } of later) {
    const opened = settle(at, place, await orWhyNot(look, context));
    if (opened) return opened;
  }
  return { opened: false, reason: lines.join("\n") };
}

/** What `work` resolves to, or one line that says why it failed; only CANCELLED is thrown. */
async function orWhyNot<T>(work: () => Promise<T>, context: KeyContext): Promise<T | string> {
  throwIfCancelled(context.signal);
  try {
    return await work();
  } catch (error) {
    if (isHoldfastError(error, "CANCELLED")) throw error;
    if (context.signal?.aborted) throw cancelled(context.signal);
    return whyNot(error);
  }
}

/** One line on `error` that quotes nothing but our own messages. */
export function whyNot(error: unknown): string {
  if (error instanceof HoldfastError) return plain(error.message);
  const errno = errnoOf(error);
  if (errno === "ENOENT") return "missing";
  if (errno === "EACCES" || errno === "EPERM") return "must not be read (permissions)";
  if (errno === "EISDIR") return "a directory";
  return `failed (${errno ?? (error instanceof Error ? error.name : typeof error)})`;
}

/** A text of strangers, fit for one line of a terminal. */
export function plain(text: string, max: number = SHOWN_MAX): string {
  const line = text.replaceAll(/[\p{C}\p{Z}]+/gu, " ").trim();
  return line.length <= max ? line : `${line.slice(0, max)}…`;
}
