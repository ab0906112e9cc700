// One segment of WAL on its way to the archive, as a file of the spool: the segment's bytes at their places, and behind
// them a note of how many of them are safe on the disk (docs/decisions/receiver.md#the-spool). What was written but not
// noted does not count after a crash. A file holds WAL of one cluster alone, and is never taken for another's.

import { constants } from "node:fs";
import { open, rename, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { asBuffer, sha256 } from "../../base/bytes.ts";
import { Semaphore } from "../../base/concurrency.ts";
import { errnoOf, HoldfastError, messageOf } from "../../base/errors.ts";
import { segmentName } from "../../barman/wal-name.ts";

/** A segment's place. */
export interface SegmentPlace {
  readonly timeline: number;
  readonly segment: number;
}

/** Whose WAL it is. */
export interface SpoolIdentity {
  /** Decimal. */
  readonly systemId: string;
  /** Bytes of a segment. */
  readonly segmentSize: number;
}

/** What the names of files that are not complete end in. */
export const OPEN_SUFFIX = ".open";

const MAGIC = "HFSPOOL1";
const NOTE_BYTES = 64;
const NOTED_BYTES = 48;
const FILE_MODE = 0o600;
const READ = constants.O_RDONLY | constants.O_NOFOLLOW;
const COMPARED_BYTES = 1 << 20;

/** An open file of the spool. One writer; calls of `write` follow each other. */
export class SpoolFile implements SegmentPlace {
  readonly timeline: number;
  readonly segment: number;
  /** The 24 digits. */
  readonly name: string;
  readonly #identity: SpoolIdentity;
  readonly #folder: string;
  /** Undefined once the segment is complete: many may wait, and files that are open are few. */
  #handle: FileHandle | undefined;
  #written: number;
  #synced: number;
  /** What closes the file waits for what still uses it. */
  readonly #turn = new Semaphore(1);

  constructor(
    place: SegmentPlace,
    file: {
      identity: SpoolIdentity;
      folder: string;
      handle: FileHandle | undefined;
      synced: number;
    },
  ) {
    this.timeline = place.timeline;
    this.segment = place.segment;
    this.name = segmentName(place.timeline, place.segment, file.identity.segmentSize);
    this.#identity = file.identity;
    this.#folder = file.folder;
    this.#handle = file.handle;
    this.#written = file.synced;
    this.#synced = file.synced;
  }

  /** Bytes from the beginning that were written. */
  get written(): number {
    return this.#written;
  }

  /** Bytes from the beginning that survive a crash of the machine. */
  get synced(): number {
    return this.#synced;
  }

  get isComplete(): boolean {
    return this.#handle === undefined;
  }

  /**
   * Adds what is new of `bytes` at `offset`. What is known already is compared: WAL_DIFFERS when the server tells it another
   * way now. Throws BUG for a gap.
   */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    if (offset > this.#written) {
      throw new HoldfastError(
        "BUG",
        `${this.name}: ${this.#written} bytes, then some at ${offset}`,
      );
    }
    const known = Math.min(this.#written - offset, bytes.length);
    if (known > 0) await this.#compare(offset, bytes.subarray(0, known));
    const added = bytes.subarray(known);
    let done = 0;
    while (done < added.length) {
      const at = this.#written + done;
      const { bytesWritten } = await this.#io(() =>
        this.#open.write(added, done, added.length - done, at),
      );
      done += bytesWritten;
    }
    this.#written += added.length;
  }

  /** Makes what was written by now survive a crash. */
  async sync(): Promise<void> {
    await this.#turn.run(() => this.#sync());
  }

  /** Notes, durably, that the whole segment is there. */
  async complete(): Promise<void> {
    if (this.#written !== this.#identity.segmentSize) {
      throw new HoldfastError("BUG", `${this.name} is not complete: it has ${this.#written} bytes`);
    }
    const path = join(this.#folder, this.name);
    await this.#turn.run(async () => {
      await this.#sync();
      await this.#io(() => rename(path + OPEN_SUFFIX, path));
      await this.#io(() => syncFolder(this.#folder));
      await this.#close();
    });
  }

  /** The segment with the first `length` bytes that were written, and zeros behind them. */
  async read(length: number): Promise<Buffer> {
    const memory = Buffer.alloc(this.#identity.segmentSize);
    // With a descriptor of its own: the segment may become complete meanwhile.
    const handle = await this.#io(() => this.#openForReading());
    try {
      await this.#fill(handle, memory.subarray(0, length), 0);
      return memory;
    } finally {
      await handle.close();
    }
  }

  /** Closes it, and leaves the file. */
  async close(): Promise<void> {
    await this.#turn.run(() => this.#close());
  }

  /** Closes it and removes the file. */
  async remove(): Promise<void> {
    const path = join(this.#folder, this.isComplete ? this.name : this.name + OPEN_SUFFIX);
    await this.close();
    await this.#io(() => unlink(path));
  }

  async #sync(): Promise<void> {
    const written = this.#written;
    if (written === this.#synced) return;
    const handle = this.#open;
    const note = formatNote(this.#identity, this, written);
    await this.#io(() => handle.datasync());
    await this.#io(() => handle.write(note, 0, NOTE_BYTES, this.#identity.segmentSize));
    await this.#io(() => handle.datasync());
    this.#synced = written;
  }

  async #close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close().catch(() => undefined);
  }

  get #open(): FileHandle {
    if (this.#handle !== undefined) return this.#handle;
    throw new HoldfastError("BUG", `${this.name} is complete already`);
  }

  async #openForReading(): Promise<FileHandle> {
    const path = join(this.#folder, this.name);
    try {
      return await open(this.isComplete ? path : path + OPEN_SUFFIX, READ);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      return await open(path, READ);
    }
  }

  async #compare(offset: number, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += COMPARED_BYTES) {
      const part = asBuffer(bytes.subarray(at, at + COMPARED_BYTES));
      const known = Buffer.allocUnsafe(part.length);
      await this.#fill(this.#open, known, offset + at);
      if (known.equals(part)) continue;
      throw new HoldfastError(
        "WAL_DIFFERS",
        `the server sends other WAL for ${this.name} than it sent before`,
        {
          hint: "A server that was set back without a new timeline needs an archive of its own: name another --server and --spool.",
        },
      );
    }
  }

  async #fill(handle: FileHandle, memory: Buffer, position: number): Promise<void> {
    for (let done = 0; done < memory.length;) {
      const { bytesRead } = await this.#io(() =>
        handle.read(memory, done, memory.length - done, position + done),
      );
      if (bytesRead === 0) throw spoolError(new Error("it ends too early"), this.name);
      done += bytesRead;
    }
  }

  async #io<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw spoolError(error, join(this.#folder, this.name));
    }
  }
}

/** Makes the file of a segment that begins to arrive; one that is left of an earlier time is dropped. */
export async function createSpoolFile(
  folder: string,
  identity: SpoolIdentity,
  place: SegmentPlace,
): Promise<SpoolFile> {
  const path = join(folder, segmentName(place.timeline, place.segment, identity.segmentSize));
  try {
    const flags = constants.O_CREAT | constants.O_TRUNC | constants.O_RDWR | constants.O_NOFOLLOW;
    const handle = await open(path + OPEN_SUFFIX, flags, FILE_MODE);
    await syncFolder(folder);
    return new SpoolFile(place, { identity, folder, handle, synced: 0 });
  } catch (error) {
    throw spoolError(error, path);
  }
}

/**
 * Opens a file that an earlier run left: what it noted counts, the rest does not. Undefined for one that holds nothing
 * certain. Throws ARCHIVE_FOREIGN for WAL of another cluster.
 */
export async function openSpoolFile(
  folder: string,
  identity: SpoolIdentity,
  file: SegmentPlace & { readonly isComplete: boolean },
): Promise<SpoolFile | undefined> {
  const { segmentSize } = identity;
  const name = segmentName(file.timeline, file.segment, segmentSize);
  const path = join(folder, file.isComplete ? name : name + OPEN_SUFFIX);
  let handle: FileHandle;
  try {
    handle = await open(path, file.isComplete ? READ : constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    throw spoolError(error, path);
  }
  try {
    const note = Buffer.alloc(NOTE_BYTES);
    const { bytesRead } = await handle.read(note, 0, NOTE_BYTES, segmentSize);
    const synced =
      bytesRead === NOTE_BYTES ? readNote(note, identity, { ...file, path }) : undefined;
    if (synced === undefined || (file.isComplete && synced !== segmentSize)) {
      await handle.close();
      return undefined;
    }
    if (!file.isComplete) return new SpoolFile(file, { identity, folder, handle, synced });
    await handle.close();
    return new SpoolFile(file, { identity, folder, handle: undefined, synced });
  } catch (error) {
    await handle.close().catch(() => undefined);
    throw error instanceof HoldfastError ? error : spoolError(error, path);
  }
}

/** Makes the names in `folder` survive a crash. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The error of a file of the spool. A full disk may have room later. */
export function spoolError(error: unknown, path: string): HoldfastError {
  if (error instanceof HoldfastError) return error;
  const isFull = ["ENOSPC", "EDQUOT"].includes(errnoOf(error) ?? "");
  return new HoldfastError(
    isFull ? "STORAGE_FULL" : "STORAGE_FAILED",
    `the spool file ${path}: ${messageOf(error)}`,
    {
      hint: isFull
        ? "Free space there, or give --spool a folder on a larger disk."
        : "Check the folder that --spool names.",
      retryable: isFull,
      cause: error,
    },
  );
}

function formatNote(identity: SpoolIdentity, place: SegmentPlace, synced: number): Buffer {
  const note = Buffer.alloc(NOTE_BYTES);
  note.write(MAGIC, 0, "latin1");
  note.writeBigUInt64LE(BigInt(identity.systemId), 8);
  note.writeBigUInt64LE(BigInt(place.segment), 16);
  note.writeUInt32LE(place.timeline, 24);
  note.writeUInt32LE(identity.segmentSize, 28);
  note.writeUInt32LE(synced, 32);
  sha256(note.subarray(0, NOTED_BYTES)).copy(note, NOTED_BYTES, 0, NOTE_BYTES - NOTED_BYTES);
  return note;
}

/** How many bytes a note vouches for; undefined when it is none of this segment. */
function readNote(
  note: Buffer,
  identity: SpoolIdentity,
  file: SegmentPlace & { readonly path: string },
): number | undefined {
  const digest = sha256(note.subarray(0, NOTED_BYTES)).subarray(0, NOTE_BYTES - NOTED_BYTES);
  if (note.toString("latin1", 0, 8) !== MAGIC || !note.subarray(NOTED_BYTES).equals(digest))
    return undefined;
  const systemId = note.readBigUInt64LE(8).toString();
  if (systemId !== identity.systemId) {
    throw new HoldfastError(
      "ARCHIVE_FOREIGN",
      `${file.path} holds WAL of the cluster ${systemId}, not of ${identity.systemId}`,
      { hint: "Give each receiver a --spool folder of its own." },
    );
  }
  const synced = note.readUInt32LE(32);
  const isThis =
    note.readBigUInt64LE(16) === BigInt(file.segment) &&
    note.readUInt32LE(24) === file.timeline &&
    note.readUInt32LE(28) === identity.segmentSize &&
    synced > 0 &&
    synced <= identity.segmentSize;
  return isThis ? synced : undefined;
}
