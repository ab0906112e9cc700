// A worker thread of a restore: opens sealed blobs that lie in its memory, proves each against its id, and writes them
// into files. Nothing unproved is ever written, and no link is ever followed.

import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  ftruncateSync,
  futimesSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { equalBytes, isSha256Of } from "../base/bytes.ts";
import { errnoOf, isHoldfastError, messageOf } from "../base/errors.ts";
import { BlobOpener, OPENER_BYTES } from "../restic/blob-opener.ts";
import { CHUNK_BYTES_MAX } from "../restic/chunker.ts";
import { createKernels } from "../restic/kernels.ts";
import type { Kernels } from "../restic/kernels.ts";
import { Birthmarks } from "./birthmarks.ts";
import { nativePath } from "./entry-table.ts";
import type {
  CompareRequest,
  RestoreReply,
  RestoreRequest,
  RestoreWorkerData,
  WriteRequest,
} from "./restore-messages.ts";

const ALIGNMENT = 4096;
const SPARSE_BLOCK = 64 << 10;
const WRITE = constants.O_WRONLY | constants.O_NOFOLLOW;
const CREATE = constants.O_CREAT | constants.O_EXCL;
const COMPARE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

const port = parentPort!;

function reply(message: RestoreReply): void {
  port.postMessage(message);
}

class RestoreWorker {
  readonly #data: RestoreWorkerData;
  readonly #kernels: Kernels;
  #opener: BlobOpener | undefined;
  readonly #slots: number[];
  readonly #scratch: { at: number; bytes: number };
  readonly #zeros: Buffer;
  readonly #births = new Birthmarks();

  constructor(data: RestoreWorkerData) {
    this.#data = data;
    this.#zeros = Buffer.alloc(data.sparse ? SPARSE_BLOCK : 0);
    const opener = align(OPENER_BYTES);
    const kernels = createKernels({
      bytes: opener + CHUNK_BYTES_MAX + data.slots * data.slotBytes,
    });
    this.#kernels = kernels;
    this.#scratch = { at: kernels.base + opener, bytes: CHUNK_BYTES_MAX };
    const first = this.#scratch.at + CHUNK_BYTES_MAX;
    this.#slots = Array.from({ length: data.slots }, (_, i) => first + i * data.slotBytes);
    reply({ type: "ready", memory: kernels.memory.buffer, slots: this.#slots });
  }

  handle(request: RestoreRequest): void {
    if (request.type === "write") this.#write(request);
    else if (request.type === "compare") this.#compare(request);
    else {
      const [kernels, scratch] = [this.#kernels, this.#scratch];
      const { key } = request;
      this.#opener = new BlobOpener({ kernels, key, at: kernels.base, scratch, idSuffices: true });
      reply({ type: "opened" });
    }
  }

  #write(request: WriteRequest): void {
    const damaged: number[] = [];
    const failures = new Map<number, { file: number; code: string; message: string }>();
    const slot = this.#slots[request.slot]!;
    let target = 0;
    for (let blob = 0; blob * 4 < request.blobs.length; blob++) {
      const offset = request.blobs[blob * 4]!;
      const length = request.blobs[blob * 4 + 1]!;
      const uncompressedLength = request.blobs[blob * 4 + 2]!;
      const targets = request.blobs[blob * 4 + 3]!;
      const id = request.ids.subarray(blob * 32, blob * 32 + 32);
      const plain = this.#opener!.open(slot + offset, length, uncompressedLength, id);
      if (plain === undefined) damaged.push(blob);
      for (let i = 0; i < targets; i++, target++) {
        const file = request.targets[target * 2]!;
        if (plain === undefined || failures.has(file)) continue;
        try {
          this.#writeTo(request, file, request.targets[target * 2 + 1]!, plain);
        } catch (error) {
          const code = errnoOf(error);
          if (code === undefined) throw error;
          failures.set(file, { file, code, message: messageOf(error) });
        }
      }
    }
    reply({ type: "written", task: request.task, damaged, failures: [...failures.values()] });
  }

  #writeTo(request: WriteRequest, file: number, offset: number, plain: Uint8Array): void {
    const whole = request.whole[file] === 1;
    const path = nativePath(request.paths[file]!);
    // What is made in one go must not exist yet, and what is put together is there already: a piece that made it anew
    // would pass a hole off as content when somebody removed the file in between.
    if (!whole) {
      const descriptor = openSync(path, WRITE);
      try {
        this.#put(descriptor, offset, plain);
      } finally {
        closeSync(descriptor);
      }
      return;
    }
    const { modes, uids, gids, times } = request.metadata;
    const mode = modes[file]!;
    const owner = this.#data.setOwner ? { uid: uids[file]!, gid: gids[file]! } : undefined;
    const made = this.#births.modeFor(request.paths[file]!, { mode, owner });
    const descriptor = openSync(path, WRITE | CREATE, made);
    try {
      this.#put(descriptor, offset, plain);
      if (this.#data.sparse) ftruncateSync(descriptor, request.sizes[file]!);
      const lacks = this.#births.lacks(request.paths[file]!, descriptor, made, { mode, owner });
      if (lacks.owner) fchownSync(descriptor, owner!.uid, owner!.gid);
      // After the owner: changing it clears setuid and setgid.
      if (lacks.mode || lacks.owner) fchmodSync(descriptor, mode);
      futimesSync(descriptor, times[file * 2]!, times[file * 2 + 1]!);
    } catch (error) {
      unlinkSync(path);
      throw error;
    } finally {
      closeSync(descriptor);
    }
  }

  #put(descriptor: number, offset: number, plain: Uint8Array): void {
    if (!this.#data.sparse) return writeAll(descriptor, offset, plain);
    for (let done = 0; done < plain.length; done += SPARSE_BLOCK) {
      const block = plain.subarray(done, done + SPARSE_BLOCK);
      if (equalBytes(block, this.#zeros.subarray(0, block.length))) continue;
      writeAll(descriptor, offset + done, block);
    }
  }

  #compare(request: CompareRequest): void {
    const equal = new Uint8Array(request.paths.length);
    let first = 0;
    for (const [file, path] of request.paths.entries()) {
      const count = request.counts[file]!;
      equal[file] = this.#isEqual(request, path, first, count) ? 1 : 0;
      first += count;
    }
    reply({ type: "compared", task: request.task, equal });
  }

  #isEqual(request: CompareRequest, path: string, first: number, count: number): boolean {
    let descriptor: number;
    try {
      descriptor = openSync(nativePath(path), COMPARE);
    } catch {
      return false;
    }
    try {
      if (!fstatSync(descriptor).isFile()) return false;
      for (let blob = first; blob < first + count; blob++) {
        const length = request.lengths[blob]!;
        if (length > this.#scratch.bytes || !this.#readExactly(descriptor, length)) return false;
        const { at } = this.#scratch;
        const content = this.#kernels.bytes.subarray(at, at + length);
        if (!isSha256Of(content, request.ids.subarray(blob * 32, blob * 32 + 32))) return false;
      }
      return !this.#readExactly(descriptor, 1);
    } catch {
      return false;
    } finally {
      closeSync(descriptor);
    }
  }

  /** Reads the next `length` bytes into the scratch; false when the file has fewer. */
  #readExactly(descriptor: number, length: number): boolean {
    for (let done = 0; done < length;) {
      const { at } = this.#scratch;
      const read = readSync(descriptor, this.#kernels.bytes, at + done, length - done, null);
      if (read === 0) return false;
      done += read;
    }
    return true;
  }
}

function writeAll(descriptor: number, offset: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(descriptor, bytes, done, bytes.length - done, offset + done);
  }
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function fail(error: unknown): void {
  const code = isHoldfastError(error) ? error.code : "BUG";
  reply({ type: "failed", code, message: `restore worker: ${messageOf(error)}` });
}

try {
  const worker = new RestoreWorker(workerData as RestoreWorkerData);
  port.on("message", (request: RestoreRequest) => {
    try {
      worker.handle(request);
    } catch (error) {
      fail(error);
    }
  });
} catch (error) {
  fail(error);
}
