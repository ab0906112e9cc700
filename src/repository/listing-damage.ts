// What can be wrong with the listing of a directory, apart from the storage that it lies in.

import { isHoldfastError, type HoldfastError } from "../base/errors.ts";

/** True when a listing is not there, or is not what its id or its format promises. */
export function isListingDamage(error: unknown): error is HoldfastError {
  return isHoldfastError(error, "BLOB_MISSING", "BLOB_DAMAGED", "TREE_DAMAGED", "TREE_HOSTILE");
}
