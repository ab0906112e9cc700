// What is listed under a lock must be there: nobody deletes then. Where it is not, the storage's lists lag behind earlier
// deletions, or an object was lost; either way too little is known to remove anything.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { Repository } from "../repository.ts";
import { listSnapshots } from "../snapshots.ts";
import type { FoundSnapshot } from "../snapshots.ts";

/** All snapshots that are listed. PRUNE_REFUSED when one of them is not there. */
export async function loadListedSnapshots(
  repository: Repository,
  signal: AbortSignal | undefined,
): Promise<FoundSnapshot[]> {
  const files = await repository.list("snapshot", signal);
  const found = await listSnapshots(repository, { files, signal });
  if (found.length === files.length) return found;
  const there = new Set(found.map(({ id }) => id));
  const { id } = files.find((file) => !there.has(file.id))!;
  throw vanished(`snapshot ${id} does not exist`);
}

/** The outcome of reading what was listed just before. PRUNE_REFUSED when it is not there. */
export async function readListed<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (isHoldfastError(error, "STORAGE_NOT_FOUND")) throw vanished(error.message, error);
    throw error;
  }
}

function vanished(what: string, cause?: HoldfastError): HoldfastError {
  return new HoldfastError(
    "PRUNE_REFUSED",
    `${what}, and was listed just before; nothing was removed`,
    {
      hint: "Lists of this storage may lag behind what was deleted: try again in a few minutes, or see what `check` says.",
      retryable: true,
      ...(cause !== undefined && { cause }),
    },
  );
}
