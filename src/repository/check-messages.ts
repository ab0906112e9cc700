// What a check's main thread and its workers say to each other. Never content: that lies in memory both can see.

import type { MasterKey } from "../restic/crypto.ts";
import type { SharedIndex } from "./blob-index.ts";
import type { TreeFault } from "./check-tree.ts";

/** Given to a worker at its start. */
export interface CheckWorkerData {
  key: MasterKey;
  index: SharedIndex;
  /** Entries met so far: an EntrySet. */
  used: SharedArrayBuffer;
  /** Tell what each tree refers to. */
  edges: boolean;
  /** Buffers of the worker, each for one request at a time. */
  buffers: number;
  bufferBytes: number;
}

/** Check a whole pack that lies in a buffer. */
export interface PackRequest {
  type: "pack";
  buffer: number;
  length: number;
  /** The pack's name: 32 bytes. */
  id: Uint8Array;
  /** What the index says it holds, by ascending offset. */
  entries: Uint32Array;
}

/** Check trees of a part of a pack that lies in a buffer, and whatever subtrees lie in that part as well. */
export interface TreesRequest {
  type: "trees";
  buffer: number;
  length: number;
  /** Offset in the pack of the first byte. */
  offset: number;
  /** Numbers under which the index lists the pack. */
  packNumbers: number[];
  entries: Uint32Array;
}

/** Prove blobs of a part of a pack that lies in a buffer; they stay as they are. */
export interface BlobsRequest {
  type: "blobs";
  buffer: number;
  length: number;
  /** Offset in the pack of the first byte. */
  offset: number;
  entries: Uint32Array;
}

export type CheckRequest = PackRequest | TreesRequest | BlobsRequest;

export interface PackReply {
  type: "pack";
  buffer: number;
  /** What is wrong; nothing for a sound pack. */
  problems: string[];
}

export interface TreesReply {
  type: "trees";
  buffer: number;
  /** Trees opened and checked. */
  checked: number;
  /** Subtrees met for the first time that lie elsewhere. */
  elsewhere: Uint32Array;
  /** Trees that could not be opened here. */
  failed: Uint32Array;
  faults: TreeFault[];
  /** What the trees refer to, as TreeEdges gives it; empty when nobody asked. */
  edges: Uint32Array;
}

export interface BlobsReply {
  type: "blobs";
  buffer: number;
  /** Blobs that do not open. */
  failed: Uint32Array;
}

export type CheckReply =
  | { type: "ready"; memory: SharedArrayBuffer; buffers: number[] }
  | PackReply
  | TreesReply
  | BlobsReply
  /** A defect: the worker is of no use any more. */
  | { type: "failed"; message: string };
