// What a restore's main thread and its workers say to each other. Sealed content reaches a worker in a slot of its own
// memory, which the main thread fills; plaintext never leaves the worker.

import type { MasterKey } from "../restic/crypto.ts";

export interface RestoreWorkerData {
  /** Memory slots for sealed content, and the bytes of each. */
  slots: number;
  slotBytes: number;
  sparse: boolean;
  /** Set owners (only root can). */
  setOwner: boolean;
}

/** The repository's key: the first message, and not part of the data, because workers start before it is known. */
export interface KeyRequest {
  type: "key";
  key: MasterKey;
}

/** Metadata of files, one element of each array per file. */
export interface FileMetadata {
  /** Permission bits with setuid, setgid and sticky. */
  modes: Uint32Array;
  uids: Uint32Array;
  gids: Uint32Array;
  /** Seconds since 1970: access and modification time. */
  times: Float64Array;
}

/** Sealed blobs that lie in a slot, and where their content goes. */
export interface WriteRequest {
  type: "write";
  task: number;
  slot: number;
  /** For each blob: offset in the slot, stored length, plain length when compressed or 0, number of targets. */
  blobs: Uint32Array;
  /** 32 bytes for each blob. */
  ids: Uint8Array;
  /** For each target in order: number of the file in `paths`, offset in the file. */
  targets: Float64Array;
  /** Byte strings. */
  paths: string[];
  /** Size of each file. */
  sizes: Float64Array;
  /** 1 where this one blob is the whole file: it is made, written and given its metadata in one go. */
  whole: Uint8Array;
  metadata: FileMetadata;
}

/** Files to compare with their blobs: the plain lengths and ids of all blobs of all files, in order. */
export interface CompareRequest {
  type: "compare";
  task: number;
  paths: string[];
  counts: Uint32Array;
  lengths: Uint32Array;
  ids: Uint8Array;
}

export type RestoreRequest = KeyRequest | WriteRequest | CompareRequest;

export type RestoreReply =
  | { type: "ready"; memory: SharedArrayBuffer; slots: number[] }
  /** The key has come, and blobs can be opened. */
  | { type: "opened" }
  | {
      type: "written";
      task: number;
      /** Numbers of blobs that are damaged in this copy. */
      damaged: number[];
      /** Files that could not be written. */
      failures: { file: number; code: string; message: string }[];
    }
  | { type: "compared"; task: number; equal: Uint8Array }
  | { type: "failed"; code: string; message: string };
