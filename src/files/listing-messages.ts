// What the backup's main thread and the thread that lists directories ahead of it say to each other.

/** "List the directory at this path (a byte string)." */
export interface ListingRequest {
  number: number;
  path: string;
}

export interface ListingReply {
  number: number;
  /** Names ascending by their bytes, with "/" in between; "" for none. */
  names: string;
  /** The numbers of an EntryTable. */
  packed: ArrayBuffer;
  /** What could not be looked at, by name; the name "" stands for the directory itself. */
  failures: { name: string; code: string; message: string }[];
}
