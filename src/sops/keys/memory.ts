// A document names several recipients, and each is looked for in the same places. What a place held is remembered for as
// long as the KeyContext lives, so that a file is read once and a person is asked once.

import type { KeyContext } from "../key-source.ts";

const remembered = new WeakMap<KeyContext, Map<string, Promise<unknown>>>();

/** What `work` came to the first time it was wanted under the name `what` with this context. */
export function once<T>(context: KeyContext, what: string, work: () => Promise<T>): Promise<T> {
  const known = remembered.get(context) ?? new Map<string, Promise<unknown>>();
  remembered.set(context, known);
  const before = known.get(what);
  if (before) return before as Promise<T>;
  const result = work();
  known.set(what, result);
  return result;
}
