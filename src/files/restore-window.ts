// A window of files being restored: as many as keep the workers busy, few enough to bound memory.
//
// The blobs of all its files are read in the order in which they lie in the packs, neighbours in one request, each blob
// once however many files hold it.

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { fromHex } from "../base/bytes.ts";
import type { BlobPlace } from "../repository/blob-index.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { keyOf } from "../repository/layout.ts";
import { CHUNK_BYTES_MAX } from "../restic/chunker.ts";
import type { Storage } from "../storage/storage.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { targetFailure } from "./restore-failure.ts";
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
  /** Where it is written: `path`, or a temporary file beside it. Files of several blobs are there already, empty. */
  writePath: string;
  path: string;
}

export interface WindowOptions {
  storage: Storage;
  reader: BlobReader;
  pool: RestorePool;
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
  /** Bytes of each file: the sum of its blobs, whatever its node says. */
  readonly #lengths: Float64Array;
  readonly #running = new Set<Promise<void>>();
  #failure: unknown;

  constructor(files: readonly RestoreFile[], options: WindowOptions) {
    this.#files = files;
    this.#options = options;
    this.#waiting = new Int32Array(files.length);
    this.#lengths = new Float64Array(files.length);
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
    this.#removeIncomplete();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** The temporary files of what failed, or was still waiting when the restore ended early. */
  #removeIncomplete(): void {
    for (const [file, target] of this.#files.entries()) {
      if (this.#waiting[file] !== 0) removeTemporary(target);
    }
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
      this.#lengths[file] = offset;
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
        !isLarge(group[0]!, this.#options.pool.slotBytes) &&
        !isLarge(blob, this.#options.pool.slotBytes) &&
        first.packNumber === packNumber &&
        offset - end <= GAP_MAX &&
        offset + length - first.offset <= this.#options.pool.slotBytes;
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
    const large = isLarge(group[0]!, this.#options.pool.slotBytes);
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
    const { request, files } = this.#request(group);
    const written = await pool.write(slot, request);
    this.#settle(group, files, written);
    const damaged = written.damaged.map((blob) => group[blob]!);
    if (damaged.length > 0) await this.#readApart(damaged);
  }

  /** What to ask of a worker, and which file each of its numbers means. */
  #request(group: WantedBlob[]): {
    request: Parameters<RestorePool["write"]>[1];
    files: readonly number[];
  } {
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
    const request = {
      blobs,
      ids,
      targets: Float64Array.from(targets),
      paths: files.map((file) => this.#files[file]!.writePath),
      sizes: Float64Array.from(files, (file) => this.#lengths[file]!),
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
    return { request, files };
  }

  /** Counts what a worker wrote. */
  #settle(group: WantedBlob[], files: readonly number[], written: Written): void {
    for (const { file, code, message } of written.failures) {
      const number = files[file]!;
      this.#failToWrite(number, Object.assign(new Error(message), { code }));
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
        const { node, writePath } = this.#files[file]!;
        try {
          writePiece(writePath, offset, content, { create: node.content!.length === 1 });
        } catch (error) {
          this.#failToWrite(file, error);
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
    const { setOwner } = this.#options;
    try {
      if (apart || node.content!.length > 1) {
        completeFile(writePath, node, { length: this.#lengths[file]!, setOwner });
      }
      if (writePath !== path) moveIntoPlace(writePath, path);
    } catch (error) {
      removeEntry(writePath, { recursive: false });
      this.#waiting[file] = 1;
      return this.#failToWrite(file, error);
    }
    this.#options.onComplete(this.#files[file]!);
  }

  #failToWrite(file: number, error: unknown): void {
    this.#fail(file, targetFailure(this.#files[file]!.path, error));
  }

  #fail(file: number, error: HoldfastError): void {
    if (this.#waiting[file]! < 0) return;
    this.#waiting[file] = -1;
    this.#options.onFailure(this.#files[file]!, error);
  }
}

/** Removes what was written of a file so far under another name than its own. */
export function removeTemporary({ path, writePath }: RestoreFile): void {
  if (writePath !== path) removeEntry(writePath, { recursive: false });
}

/** Made by a writer with larger chunks than restic's: too large for a worker's memory. */
function isLarge(blob: WantedBlob, slotBytes: number): boolean {
  return blob.place.length > slotBytes || blob.plainLength > CHUNK_BYTES_MAX;
}
