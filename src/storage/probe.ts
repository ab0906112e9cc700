// A short life of one object, to see what a storage really lets us do: written, read, listed, refused when it differs, and
// removed again. Every step is tried even when another failed, unless it needs the object that could not be written.

import { sha256Hex } from "../base/bytes.ts";
import { ahead } from "../base/concurrency.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import type { Clock, Random } from "../base/clock.ts";
import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import type { Storage } from "./storage.ts";

export interface ProbeStep {
  /** Stable name for programs: "write", "read-range". */
  readonly name: string;
  readonly outcome: "ok" | "failed" | "skipped";
  readonly milliseconds: number;
  /** What failed, and what to do about it; or what was found. */
  readonly note?: string | undefined;
  readonly hint?: string | undefined;
}

export interface ProbeOptions {
  clock: Clock;
  random: Random;
  /** Bytes of the object; 1 MiB by default. */
  bytes?: number;
  signal?: AbortSignal | undefined;
}

/** Milliseconds for removing what a failed or cancelled probe left. */
const REMOVE_MS = 10_000;

interface Step {
  readonly name: string;
  /** Whether the object must be there. */
  readonly needsObject: boolean;
  readonly run: (isWritten: boolean) => Promise<void>;
}

/**
 * Probes the storage and leaves nothing behind, if it may delete: a step's note, or the hint of CANCELLED, names what could
 * not be removed. Throws only CANCELLED.
 */
export async function probeStorage(storage: Storage, options: ProbeOptions): Promise<ProbeStep[]> {
  const { clock, random, bytes = 1 << 20 } = options;
  const body = Buffer.from(random(bytes));
  const key = probeKey(storage, body);
  const results: ProbeStep[] = [];
  try {
    await runSteps(storage, { key, body, results, options });
  } catch (error) {
    const left = await removeLeft(storage, key, results, clock);
    if (left === undefined || !isHoldfastError(error)) throw error;
    throw new HoldfastError("CANCELLED", error.message, { hint: left, cause: error });
  }
  const left = await removeLeft(storage, key, results, clock);
  if (left === undefined) return results;
  const teller = results.some(isFailedDelete) ? "delete" : "write";
  return results.map((step) =>
    step.name === teller ? { ...step, note: `${step.note}; ${left}` } : step,
  );
}

interface Run {
  readonly key: string;
  readonly body: Uint8Array;
  /** What is known so far. */
  readonly results: ProbeStep[];
  readonly options: ProbeOptions;
}

async function runSteps(storage: Storage, { key, body, results, options }: Run): Promise<void> {
  const { clock, signal } = options;
  let isWritten = false;
  for (const step of stepsOf(storage, key, body, signal)) {
    throwIfCancelled(signal);
    if (step.needsObject && !isWritten) {
      results.push({ name: step.name, outcome: "skipped", milliseconds: 0 });
      continue;
    }
    const began = clock.monotonic();
    const failure = await step.run(isWritten).then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    const milliseconds = clock.monotonic() - began;
    if (failure !== undefined) {
      results.push(failed(step.name, milliseconds, failure.error));
      throwIfCancelled(signal);
      continue;
    }
    if (step.name === "write") isWritten = true;
    results.push({ name: step.name, outcome: "ok", milliseconds });
  }
}

/**
 * Removes the object if it may still be there: a write that failed may have stored it, and a cancelled probe has not come
 * to its end. The caller's signal says nothing about this. Resolves to what to tell when it could not be done.
 */
async function removeLeft(
  storage: Storage,
  key: string,
  results: readonly ProbeStep[],
  clock: Clock,
): Promise<string | undefined> {
  const isTried = results.some(({ name }) => name === "write");
  if (!isTried || results.some(isDeleted)) return undefined;
  const limit = new AbortController();
  const isDone = new AbortController();
  const late = ahead(clock.sleep(REMOVE_MS, isDone.signal)).then(
    () => limit.abort(),
    () => {},
  );
  try {
    await Promise.race([storage.delete(key, { signal: limit.signal }), late.then(refuse)]);
    return undefined;
  } catch (error) {
    const isStored = results.some(({ name, outcome }) => name === "write" && outcome === "ok");
    const why = limit.signal.aborted ? "no answer" : messageOf(error);
    return `${key} ${isStored ? "is left behind" : "may be left behind"}, as it could not be deleted: ${why}`;
  } finally {
    isDone.abort();
  }
}

function refuse(): never {
  throw new HoldfastError("STORAGE_UNAVAILABLE", "no answer");
}

function isDeleted({ name, outcome }: ProbeStep): boolean {
  return name === "delete" && outcome === "ok";
}

function isFailedDelete({ name, outcome }: ProbeStep): boolean {
  return name === "delete" && outcome === "failed";
}

/** In a folder of its own; as a pack that nothing refers to where only a repository's names can be stored. */
function probeKey(storage: Storage, body: Uint8Array): string {
  const id = sha256Hex(body);
  return storage.traits.resticNames === true
    ? `data/${id.slice(0, 2)}/${id}`
    : `holdfast-probe/${id.slice(0, 32)}`;
}

function stepsOf(
  storage: Storage,
  key: string,
  body: Uint8Array,
  signal: AbortSignal | undefined,
): Step[] {
  const folder = key.slice(0, key.lastIndexOf("/") + 1);
  const call = { signal };
  const isListed = async (): Promise<boolean> => {
    for await (const object of storage.list(folder, call)) {
      if (object.key === key) return object.size === body.length;
    }
    return false;
  };
  const third = Math.floor(body.length / 3);
  return [
    { name: "write", needsObject: false, run: () => storage.put(key, body, call) },
    {
      name: "write-again",
      needsObject: true,
      run: () => storage.put(key, Uint8Array.from(body), call),
    },
    {
      name: "create-only",
      needsObject: true,
      run: async () => {
        const other = Uint8Array.from(body).fill(0, 0, 16);
        await expectRefusal(storage.put(key, other, call));
      },
    },
    {
      name: "look-up",
      needsObject: true,
      run: async () => same((await storage.stat(key, call)).size, body.length, "its size"),
    },
    {
      name: "read",
      needsObject: true,
      run: async () =>
        same(sha256Hex(await storage.get(key, call)), sha256Hex(body), "its content"),
    },
    {
      name: "read-range",
      needsObject: true,
      run: async () => {
        const part = await storage.get(key, { offset: third, length: third, ...call });
        const expected = sha256Hex(body.subarray(third, 2 * third));
        same(sha256Hex(part), expected, "a part of its content");
      },
    },
    {
      name: "list",
      needsObject: false,
      run: async (isWritten) => {
        const isThere = await isListed();
        if (isWritten && !isThere) throw new HoldfastError("STORAGE_FAILED", "it is not listed");
      },
    },
    { name: "delete", needsObject: true, run: () => storage.delete(key, call) },
    {
      name: "gone",
      needsObject: true,
      run: async () => {
        if (await isListed()) throw new HoldfastError("STORAGE_FAILED", "it is still listed");
      },
    },
  ];
}

async function expectRefusal(put: Promise<void>): Promise<void> {
  try {
    await put;
  } catch (error) {
    if (isHoldfastError(error, "STORAGE_EXISTS")) return;
    throw error;
  }
  throw new HoldfastError("STORAGE_FAILED", "another content replaced it", {
    hint: "Two writers could lose data here: use a storage that can create without replacing.",
  });
}

function same<T>(actual: T, expected: T, what: string): void {
  if (actual !== expected) {
    throw new HoldfastError("STORAGE_FAILED", `${what} is not what was written`);
  }
}

function failed(name: string, milliseconds: number, error: unknown): ProbeStep {
  const hint = isHoldfastError(error) ? error.hint : undefined;
  return { name, outcome: "failed", milliseconds, note: messageOf(error), hint };
}
