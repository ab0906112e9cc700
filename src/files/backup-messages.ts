// What the backup's main thread and its workers say to each other. Never content: paths, ids, lengths and the places
// of finished packs in shared memory.

import type { MasterKey } from "../restic/crypto.ts";
import type { SharedIndex } from "../repository/blob-index.ts";
import type { SharedBlobSetMemory } from "../repository/shared-blob-set.ts";

/** Given to a worker at its start. */
export interface BackupWorkerData {
  key: MasterKey;
  version: 1 | 2;
  /** zstd level of data blobs, 0 for none. */
  level: number;
  packSize: number;
  polynomial: bigint;
  verify: boolean;
  index: SharedIndex;
  claims: SharedBlobSetMemory;
  /** One Int32 for each pack buffer: 1 while the main thread stores it. */
  buffers: SharedArrayBuffer;
}

export type BackupRequest =
  /** Read these files (byte-string paths; "" with `descriptor` reads an open descriptor). */
  { type: "files"; batch: number; paths: string[]; descriptor?: number } | { type: "flush" };

/** Why a file could not be read. */
export interface FileFailure {
  /** Position in the batch. */
  file: number;
  /** errno name. */
  code: string;
  message: string;
}

export interface BatchResult {
  type: "files";
  batch: number;
  /** Number of blobs of each file, in order. */
  counts: Uint32Array;
  /** Bytes read of each file. */
  sizes: Float64Array;
  /** The ids of all blobs of all files, 32 bytes each. */
  ids: Uint8Array;
  failures: FileFailure[];
  /** New blobs stored for this batch, their plain and stored bytes. */
  newBlobs: number;
  added: number;
  addedPacked: number;
}

export type BackupReply =
  | { type: "ready"; memory: SharedArrayBuffer }
  | BatchResult
  /** A finished pack at `at` in the worker's memory, in pack buffer number `buffer`. */
  | { type: "pack"; buffer: number; at: number; length: number; id: Uint8Array; header: Uint8Array }
  /** Bytes of a large file read so far in this batch. */
  | { type: "bytes"; bytes: number }
  | { type: "flushed" }
  | { type: "failed"; code: string; message: string; hint: string | undefined };
