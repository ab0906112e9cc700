// Which objects are many, large and rarely touched. Only those may lie in a cheaper class of storage: such classes bill
// every early deletion and every read, and locks, indexes and snapshots of a repository are read or deleted every day.

const LIVELY = /^(?:config$|(?:keys|locks|index|snapshots)\/)/;

/** True for packs of a repository, and for whatever an archive holds. */
export function isBulk(key: string): boolean {
  return !LIVELY.test(key);
}
