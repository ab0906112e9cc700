// Reads one file into a worker's memory and cuts it into chunks (docs/formats/restic.md#chunker).
//
// Never follows a link, never waits for a fifo's other end, never reads what is no longer a regular file.

import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { errnoOf } from "../base/errors.ts";
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN } from "../restic/chunker.ts";
import type { Kernels } from "../restic/kernels.ts";
import { nativePath } from "./entry-table.ts";

/** How much is read at once. */
const STEP = 1 << 20;

/** Memory that a FileReader needs. */
export const FILE_READER_BYTES: number = CHUNK_BYTES_MAX + STEP;

const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export type ChunkSink = (at: number, length: number) => void;

export class FileReader {
  readonly #kernels: Kernels;
  readonly #at: number;

  /** `at`: FILE_READER_BYTES of kernel memory; the kernels' chunker is initialised. */
  constructor(kernels: Kernels, at: number) {
    this.#kernels = kernels;
    this.#at = at;
  }

  /**
   * Hands every chunk of the file to `sink` while it lies in memory; the number of bytes read. Throws what the system
   * calls throw.
   */
  read(path: string, sink: ChunkSink, onBytes: (bytes: number) => void): number {
    const descriptor = openFile(path);
    try {
      if (!fstatSync(descriptor).isFile()) {
        throw Object.assign(new Error("it is no longer a regular file"), { code: "EINVAL" });
      }
      return this.readDescriptor(descriptor, sink, onBytes);
    } finally {
      closeSync(descriptor);
    }
  }

  /** As `read`, from an open descriptor, to its end. */
  readDescriptor(descriptor: number, sink: ChunkSink, onBytes: (bytes: number) => void): number {
    const { bytes } = this.#kernels;
    const start = this.#at;
    let total = 0;
    let filled = 0;
    let scanned = 0;
    for (let ended = false; ;) {
      if (!ended) {
        const read = readWaiting(descriptor, bytes, start + filled);
        ended = read === 0;
        filled += read;
        total += read;
        if (read > 0) onBytes(read);
        // A small file: less than asked for is nearly always its end, but only 0 bytes prove it.
        if (!ended && filled < CHUNK_BYTES_MIN) continue;
      }
      // Cut as often as the bytes at hand allow.
      for (;;) {
        const cut = filled < CHUNK_BYTES_MIN ? -1 : this.#kernels.findCut(start, scanned, filled);
        if (cut < 0) break;
        sink(start, cut);
        bytes.copyWithin(start, start + cut, start + filled);
        filled -= cut;
        scanned = 0;
      }
      scanned = filled;
      if (ended) {
        if (filled > 0) sink(start, filled);
        return total;
      }
    }
  }
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));
const PAUSE_MS_MIN = 0.1;
const PAUSE_MS_MAX = 20;

/**
 * Up to STEP bytes, 0 at the end. A pipe may be non-blocking and have nothing yet; waiting for it in small pauses, not in
 * one read, lets the thread be stopped.
 */
function readWaiting(descriptor: number, bytes: Uint8Array, at: number): number {
  for (let pause = PAUSE_MS_MIN; ; pause = Math.min(pause * 2, PAUSE_MS_MAX)) {
    try {
      return readSync(descriptor, bytes, at, STEP, null);
    } catch (error) {
      if (errnoOf(error) !== "EAGAIN") throw error;
    }
    Atomics.wait(PAUSE, 0, 0, pause);
  }
}

/** Without updating the access time where the system lets us: only owners and root may. */
function openFile(path: string): number {
  try {
    return openSync(nativePath(path), FLAGS | constants.O_NOATIME);
  } catch (error) {
    if ((error as { code?: string }).code !== "EPERM") throw error;
    return openSync(nativePath(path), FLAGS);
  }
}
