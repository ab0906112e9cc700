// What a copy's main thread and its workers say to each other. Never content: that lies in memory both can see.

import type { MasterKey } from "../restic/crypto.ts";
import type { SharedIndex } from "./blob-index.ts";

/** Given to a worker at its start. */
export interface CopyWorkerData {
  /** The source: what it has, and its key. */
  index: SharedIndex;
  sourceKey: MasterKey;
  /** The target: its key and format, and how its packs are made. */
  key: MasterKey;
  version: 1 | 2;
  /** zstd level of file content, 0 for none. */
  level: number;
  /** Compress anew what the source has compressed. */
  recompress: boolean;
  packSize: number;
  verify: boolean;
  /** Buffers of the worker, each for one request at a time. */
  buffers: number;
  bufferBytes: number;
  /** One Int32 for each pack buffer: 1 while the main thread stores it. */
  packs: SharedArrayBuffer;
}

export type CopyRequest =
  /** Copy the blobs at these entries, from a part of a pack that lies in a buffer; `offset` is that of its first byte. */
  | { type: "part"; buffer: number; offset: number; length: number; entries: Uint32Array }
  /** Finish the open packs. */
  | { type: "flush" };

export interface PartReply {
  type: "part";
  buffer: number;
  /** Blobs that do not open, or are too large for a worker. */
  failed: Uint32Array;
  /** Stored bytes that the others take in the target. */
  stored: number;
}

export type CopyReply =
  | { type: "ready"; memory: SharedArrayBuffer; buffers: number[] }
  | PartReply
  /** A pack is finished; its memory is lent until the main thread has set its state back. */
  | { type: "pack"; pack: number; at: number; length: number; id: Uint8Array; header: Uint8Array }
  | { type: "flushed" }
  /** The worker is of no use any more. */
  | { type: "failed"; code: string; message: string; hint: string | undefined };
