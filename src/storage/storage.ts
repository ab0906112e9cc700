// The one interface to every object store, and its contract. A backend is correct when it passes
// src/storage/conformance.ts.
//
// Keys are relative paths of printable ASCII segments joined by "/" ("data/ab/ab12…", "config"); never "", ".", "..",
// an absolute path or a backslash, and the last segment never ends in "-tmp-" and hex digits (temporary objects).
// A backend maps them below its own root. A key, prefix or range that cannot be is a BUG of the caller.
//
// put     is atomic and durable: when it resolves, the whole object is stored and survives a crash; until then no
//         reader sees a part of it under that key. It is create-only: an existing object with equal content is
//         success (a lost reply was repeated), one with different content is STORAGE_EXISTS, unchanged. The body is
//         not modified, and is not read after put settles: callers reuse the memory.
// get     returns exactly the bytes asked for, in memory of its own or in `into`, which it does not touch after it
//         settled. A range that reaches beyond the end is STORAGE_FAILED (a truncated object must never look like a
//         short read); an empty one at the very end is not. Absence is STORAGE_NOT_FOUND.
// stat    returns the size, or STORAGE_NOT_FOUND.
// list    yields every object below a prefix (whole segments: "data/" or "data" mean what lies in data/; "" lists
//         everything) exactly once, in no particular order, whatever the number of pages. Temporary objects of the
//         backend are invisible, and so is what is no object (names that are no keys, pipes, devices).
//         Absence of the prefix is an empty list; any doubt (a denied folder, a failed page) is an error, never a
//         shorter list. What is put or deleted meanwhile may or may not be seen; nothing else depends on it.
// delete  is idempotent: deleting what does not exist is success. A crash of the machine may undo a deletion, but
//         not one and keep a later one (docs/decisions/storage.md#deletions).
// deleteMany deletes all of the keys, in any order and many in one request where the backend can; it resolves when none of
//         them exists any more. After a failure some are gone: the same call may be repeated.
// replace makes the body the content of a key, whatever stood there: atomic and durable like put, the last one wins. For the
//         few objects that grow, such as partial segments of WAL; whoever calls it owns the key. Backends that store restic
//         repositories alone have none.
// startUpload is for bodies too large to hold, or of unknown length; backends that store restic repositories alone have
//         none. Pieces are numbered from 0 and all but the last have pieceBytes; at most `parallel` writes run at once, and
//         with parallel 1 they come in order. Writing a piece again with the same content is harmless. `finish` takes the
//         last piece (perhaps empty) and makes the object appear, whole and durable; no reader sees it earlier. A name
//         that is taken is STORAGE_EXISTS whatever its content. `abort` frees what was stored so far, and never fails.
// inspect tells what the service says of itself, for people: what could not be looked up is told as unknown, with the reason.
// Errors  are HoldfastErrors with a STORAGE_* code naming the key; `retryable` is true only when the same call may
//         succeed later. Credentials appear in no message.
// signal  an aborted signal rejects with CANCELLED and leaves nothing half-visible. A put that was past the point of
//         no return may still succeed.

export interface StoredObject {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** When it was stored, in milliseconds since 1970; told by lists, where the backend knows. */
  readonly modified?: number | undefined;
}

export interface StorageTraits {
  /** Objects are files of this machine: caching them locally gains nothing. */
  readonly local: boolean;
  /** A list started after a put or delete resolved always reflects it (local disk, GCS, S3). */
  readonly strongLists: boolean;
  /** Only names of a restic repository can be stored: `config`, and hashes in its folders. */
  readonly resticNames?: boolean;
  /** How many requests at once this backend serves well. */
  readonly connections: number;
}

export interface GetOptions {
  /** First byte, 0 by default. */
  offset?: number;
  /** Number of bytes; to the end by default. */
  length?: number;
  /** Memory to read into (at least `length` bytes; requires `length`); the result is a view of its start. */
  into?: Uint8Array;
  signal?: AbortSignal | undefined;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
}

export interface UploadOptions extends CallOptions {
  /** The body will have no more bytes than this: a backend may divide it into smaller pieces, which take less memory. */
  bytesMax?: number | undefined;
}

export interface ListOptions extends CallOptions {
  /**
   * The caller wants only keys that come behind this one, in the order of their characters, and looks at them itself: a
   * backend that can asks for no others.
   */
  after?: string | undefined;
}

/** An object on its way: see startUpload in the contract above. */
export interface Upload {
  /** Bytes of every piece but the last. */
  readonly pieceBytes: number;
  /** How many writes may run at once. */
  readonly parallel: number;
  write(piece: number, bytes: Uint8Array, options?: CallOptions): Promise<void>;
  finish(piece: number, bytes: Uint8Array, options?: CallOptions): Promise<void>;
  abort(): Promise<void>;
}

/** One thing that a storage knows about itself, such as the key its objects are encrypted with. */
export interface StorageFact {
  /** Stable name for programs: "encryption-key", "soft-delete". */
  readonly name: string;
  /** For people; undefined when it could not be looked up. */
  readonly value: string | undefined;
  /** What to know or do about it; or why it could not be looked up. */
  readonly note?: string;
}

export interface Storage {
  /** Where it is, for people: never with a credential. */
  readonly location: string;
  readonly traits: StorageTraits;
  put(key: string, body: Uint8Array, options?: CallOptions): Promise<void>;
  get(key: string, options?: GetOptions): Promise<Uint8Array>;
  stat(key: string, options?: CallOptions): Promise<StoredObject>;
  list(prefix: string, options?: ListOptions): AsyncIterable<StoredObject>;
  delete(key: string, options?: CallOptions): Promise<void>;
  deleteMany(keys: readonly string[], options?: CallOptions): Promise<void>;
  replace?(key: string, body: Uint8Array, options?: CallOptions): Promise<void>;
  startUpload?(key: string, options?: UploadOptions): Promise<Upload>;
  inspect?(options?: CallOptions): Promise<StorageFact[]>;
  close(): Promise<void>;
}
