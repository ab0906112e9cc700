// A window of files being restored: as many as keep the workers busy, few enough to bound memory.
//
// The blobs of all its files are read in the order in which they lie in the packs, neighbours in one request, each blob
// once however many files hold it.

import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { fromHex } from "../base/bytes.ts";
import type { BlobPlace } from "../repository/blob-index.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { keyOf } from "../repository/layout.ts";
import { CHUNK_BYTES_MAX } from "../restic/chunker.ts";
import type { Storage } from "../storage/storage.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import type { RestorePool, Slot, Written } from "./restore-pool.ts";
import {
  completeFile,
  moveIntoPlace,
  permissions,
  removeEntry,
  seconds,
  writePiece,
} from "./restore-target.ts";

export const WINDOW_FILES = 8192;
export const WINDOW_BLOBS = 32_768;
/** Unneeded bytes between two blobs that are read along rather than asked around. */
const GAP_MAX = 256 << 10;

export interface RestoreFile {
  node: TreeNode;
  /** Where it is written; `path` once complete. */
  writePath: string;
  path: string;
}

export interface WindowOptions {
  storage: Storage;
  reader: BlobReader;
  pool: RestorePool;
  slotBytes: number;
  setOwner: boolean;
  onBytes: (bytes: number) => void;
  onComplete: (file: RestoreFile) => void;
  onFailure: (file: RestoreFile, error: HoldfastError) => void;
  signal: AbortSignal | undefined;
}

interface Target {
  file: number;
  offset: number;
}

interface WantedBlob {
  id: Id;
  place: BlobPlace;
  plainLength: number;
  targets: Target[];
}

/** Restores the content and metadata of `files`; each is reported complete or failed. */
export async function restoreWindow(
  files: readonly RestoreFile[],
  options: WindowOptions,
): Promise<void> {
  const window = new Window(files, options);
  await window.run();
}

class Window {
  readonly #files: readonly RestoreFile[];
  readonly #options: WindowOptions;
  /** Blobs that each file still waits for; -1 once it has failed. */
  readonly #waiting: Int32Array;
  readonly #running = new Set<Promise<void>>();
  #failure: unknown;

  constructor(files: readonly RestoreFile[], options: WindowOptions) {
    this.#files = files;
    this.#options = options;
    this.#waiting = new Int32Array(files.length);
  }

  async run(): Promise<void> {
    const wanted = this.#wantedBlobs();
    wanted.sort(
      (a, b) => a.place.packNumber - b.place.packNumber || a.place.offset - b.place.offset,
    );
    for (const group of this.#groups(wanted)) {
      if (this.#failure !== undefined) break;
      await this.#start(group);
    }
    while (this.#running.size > 0) await Promise.race(this.#running);
    if (this.#failure !== undefined) throw this.#failure;
  }

  #wantedBlobs(): WantedBlob[] {
    const { index } = this.#options.reader;
    const blobs = new Map<Id, WantedBlob>();
    for (const [file, { node }] of this.#files.entries()) {
      let offset = 0;
      for (const id of node.content!) {
        let blob = blobs.get(id);
        if (blob === undefined) {
          const entry = index.find("data", fromHex(id));
          if (entry < 0) {
            this.#fail(file, new HoldfastError("BLOB_MISSING", `data blob ${id} is in no index`));
            break;
          }
          const place = index.place(entry);
          blob = { id, place, plainLength: index.plainLength(entry), targets: [] };
          blobs.set(id, blob);
        }
        blob.targets.push({ file, offset });
        offset += blob.plainLength;
        this.#waiting[file]!++;
      }
    }
    return [...blobs.values()];
  }

  /** Runs of neighbouring blobs that fit a slot; one that is larger than any slot comes alone. */
  *#groups(wanted: readonly WantedBlob[]): Generator<WantedBlob[]> {
    let group: WantedBlob[] = [];
    let end = 0;
    for (const blob of wanted) {
      const { packNumber, offset, length } = blob.place;
      const first = group[0]?.place;
      const fits =
        first !== undefined &&
        !isLarge(group[0]!, this.#options.slotBytes) &&
        !isLarge(blob, this.#options.slotBytes) &&
        first.packNumber === packNumber &&
        offset - end <= GAP_MAX &&
        offset + length - first.offset <= this.#options.slotBytes;
      if (!fits && group.length > 0) {
        yield group;
        group = [];
      }
      group.push(blob);
      end = offset + length;
    }
    if (group.length > 0) yield group;
  }

  async #start(group: WantedBlob[]): Promise<void> {
    const large = isLarge(group[0]!, this.#options.slotBytes);
    const slot = large ? undefined : await this.#options.pool.takeSlot();
    const work = slot === undefined ? this.#readApart(group) : this.#read(group, slot);
    const settled = work.catch((error: unknown) => {
      this.#failure ??= error;
    });
    this.#running.add(settled);
    void settled.then(() => this.#running.delete(settled));
    if (slot === undefined) await settled;
  }

  async #read(group: WantedBlob[], slot: Slot): Promise<void> {
    const { storage, pool, signal } = this.#options;
    const first = group[0]!.place;
    const last = group.at(-1)!.place;
    const length = last.offset + last.length - first.offset;
    try {
      const key = keyOf("pack", first.pack);
      await storage.get(key, { offset: first.offset, length, into: slot.bytes, signal });
    } catch (error) {
      pool.returnSlot(slot);
      // A pack that is gone or cut short: its blobs may be elsewhere.
      if (!isHoldfastError(error, "STORAGE_NOT_FOUND", "STORAGE_FAILED")) throw error;
      return this.#readApart(group);
    }
    const written = await pool.write(slot, this.#request(group));
    this.#settle(group, written);
    const damaged = written.damaged.map((blob) => group[blob]!);
    if (damaged.length > 0) await this.#readApart(damaged);
  }

  #request(group: WantedBlob[]): Parameters<RestorePool["write"]>[1] {
    const start = group[0]!.place.offset;
    const blobs = new Uint32Array(group.length * 4);
    const ids = new Uint8Array(group.length * 32);
    const targets: number[] = [];
    const files: number[] = [];
    const numbers = new Map<number, number>();
    for (const [i, { id, place, targets: wanted }] of group.entries()) {
      ids.set(fromHex(id), i * 32);
      let count = 0;
      for (const { file, offset } of wanted) {
        if (this.#waiting[file]! < 0) continue;
        let number = numbers.get(file);
        if (number === undefined) {
          number = files.push(file) - 1;
          numbers.set(file, number);
        }
        targets.push(number, offset);
        count++;
      }
      blobs.set([place.offset - start, place.length, place.uncompressedLength, count], i * 4);
    }
    const nodes = files.map((file) => this.#files[file]!.node);
    return {
      blobs,
      ids,
      targets: Float64Array.from(targets),
      paths: files.map((file) => this.#files[file]!.writePath),
      sizes: Float64Array.from(nodes, (node) => Number(node.size)),
      whole: Uint8Array.from(nodes, (node) => (node.content!.length === 1 ? 1 : 0)),
      metadata: {
        modes: Uint32Array.from(nodes, permissions),
        uids: Uint32Array.from(nodes, (node) => node.uid),
        gids: Uint32Array.from(nodes, (node) => node.gid),
        times: Float64Array.from(
          nodes.flatMap((node) => {
            const mtime = seconds(node.mtime);
            return [node.atime === node.mtime ? mtime : seconds(node.atime), mtime];
          }),
        ),
      },
    };
  }

  /** Counts what a worker wrote. */
  #settle(group: WantedBlob[], written: Written): void {
    const numbers: number[] = [];
    const seen = new Set<number>();
    for (const { targets } of group) {
      for (const { file } of targets) {
        if (this.#waiting[file]! < 0 || seen.has(file)) continue;
        seen.add(file);
        numbers.push(file);
      }
    }
    for (const { file, code, message } of written.failures) {
      this.#fail(numbers[file]!, targetError(code, message));
    }
    const damaged = new Set(written.damaged);
    for (const [i, blob] of group.entries()) {
      if (damaged.has(i)) continue;
      for (const { file } of blob.targets) this.#wrote(file, blob.plainLength);
    }
  }

  /** Blobs one by one, from any sound copy. */
  async #readApart(blobs: readonly WantedBlob[]): Promise<void> {
    for (const { id, targets, plainLength } of blobs) {
      let content: Uint8Array;
      try {
        content = await this.#options.reader.read("data", id, this.#options.signal);
      } catch (error) {
        if (!isHoldfastError(error, "BLOB_DAMAGED", "BLOB_MISSING")) throw error;
        for (const { file } of targets) this.#fail(file, error);
        continue;
      }
      for (const { file, offset } of targets) {
        if (this.#waiting[file]! < 0) continue;
        try {
          writePiece(this.#files[file]!.writePath, offset, content);
        } catch (error) {
          this.#fail(file, targetError("", messageOf(error)));
          continue;
        }
        this.#wrote(file, plainLength, true);
      }
    }
  }

  #wrote(file: number, bytes: number, apart = false): void {
    if (this.#waiting[file]! < 0) return;
    this.#options.onBytes(bytes);
    if (--this.#waiting[file]! > 0) return;
    const { node, path, writePath } = this.#files[file]!;
    try {
      if (apart || node.content!.length > 1) completeFile(writePath, node, this.#options.setOwner);
      if (writePath !== path) moveIntoPlace(writePath, path);
    } catch (error) {
      this.#waiting[file] = 0;
      return this.#fail(file, targetError("", messageOf(error)));
    }
    this.#options.onComplete(this.#files[file]!);
  }

  /** A file that cannot be completed is removed: never leave a wrong one. */
  #fail(file: number, error: HoldfastError): void {
    if (this.#waiting[file]! < 0) return;
    this.#waiting[file] = -1;
    removeEntry(this.#files[file]!.writePath);
    this.#options.onFailure(this.#files[file]!, error);
  }
}

/** Made by a writer with larger chunks than restic's: too large for a worker's memory. */
function isLarge(blob: WantedBlob, slotBytes: number): boolean {
  return blob.place.length > slotBytes || blob.plainLength > CHUNK_BYTES_MAX;
}

/** ENOSPC and the like concern all files: they end the restore. */
function targetError(code: string, message: string): HoldfastError {
  if (code === "ENOSPC" || message.includes("ENOSPC")) {
    throw new HoldfastError("TARGET_UNWRITABLE", `the restore target is full: ${message}`, {
      hint: "Free some space, then run the same restore again: it continues where this one stopped.",
    });
  }
  return new HoldfastError("TARGET_UNWRITABLE", message);
}
