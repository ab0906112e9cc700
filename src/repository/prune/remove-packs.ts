// The last step of a prune: packs that no index names any more go, many in one request.
//
// What cannot be removed is left to the next prune, which finds it in no index. Must never be called with a pack that an index
// names.

import { HoldfastError, isHoldfastError, messageOf } from "../../base/errors.ts";
import type { Id } from "../../base/bytes.ts";
import { keyOf } from "../layout.ts";
import type { Repository } from "../repository.ts";

const DELETE_AT_ONCE = 256;

export interface RemovalOptions {
  onRemoved: (id: Id) => void;
  /** So many were dealt with. */
  onDone: (count: number) => void;
  signal: AbortSignal;
}

export interface Removal {
  removed: number;
  /** Why not all of them are gone. */
  failure: HoldfastError | undefined;
}

/**
 * Removes packs, and their copies in the cache. One refusal does not keep the others; but a storage that still fails after
 * all retries is not asked again.
 */
export async function removePacks(
  { storage, cache }: Repository,
  ids: readonly Id[],
  { onRemoved, onDone, signal }: RemovalOptions,
): Promise<Removal> {
  let removed = 0;
  let failure: HoldfastError | undefined;
  for (let begin = 0; begin < ids.length; begin += DELETE_AT_ONCE) {
    const some = ids.slice(begin, begin + DELETE_AT_ONCE);
    const keys = some.map((id) => keyOf("pack", id));
    const isHopeless = failure?.retryable === true;
    try {
      if (!isHopeless) {
        await storage.deleteMany(keys, { signal });
        for (const id of some) onRemoved(id);
        removed += some.length;
      }
    } catch (error) {
      if (signal.aborted || !isHoldfastError(error)) throw error;
      failure = error;
    }
    for (const id of some) await cache?.remove("pack", id);
    onDone(some.length);
  }
  return { removed, failure };
}

/** The error of a prune that did everything but remove some packs. */
export function packsLeft(failure: HoldfastError): HoldfastError {
  const message = `some packs that nobody needs could not be removed: ${messageOf(failure)}`;
  const { hint = "", retryable } = failure;
  return new HoldfastError("INCOMPLETE", message, {
    hint: `${hint}${hint === "" ? "" : " "}No index names them any more: the next prune removes them.`,
    retryable,
    cause: failure,
  });
}
