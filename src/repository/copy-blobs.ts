// Copies blobs from one repository to another: each pack of the source is read once, in as few requests as its wanted blobs
// allow, and what it gives is sealed anew in worker threads.
//
// A blob that does not open where it lies is taken from any other copy; when there is none, the copy ends. Everything that
// was stored until then is found by the next one.

import { eachLimit } from "../base/concurrency.ts";
import { fromHex } from "../base/bytes.ts";
import { sealSingleBlobPack } from "../restic/single-blob-pack.ts";
import { BlobReader, isPermanent } from "./blob-reader.ts";
import { CopyPool } from "./copy-pool.ts";
import type { CopyLane } from "./copy-pool.ts";
import { EntrySet, createEntrySetMemory } from "./entry-set.ts";
import { keyOf } from "./layout.ts";
import { packParts } from "./pack-parts.ts";
import type { PackPart } from "./pack-parts.ts";
import type { PackTable } from "./pack-table.ts";
import type { Repository } from "./repository.ts";
import type { RepositoryWriter } from "./writer.ts";

/** Blobs of the source that are to be copied. */
export class WantedBlobs {
  blobs = 0;
  /** Stored bytes in the source. */
  bytes = 0;
  readonly trees: Set<number> = new Set();
  readonly content: Set<number> = new Set();
  readonly #table: PackTable;
  readonly #entries: EntrySet;

  constructor(table: PackTable) {
    this.#table = table;
    this.#entries = new EntrySet(createEntrySetMemory(table.index.count));
  }

  /** Packs that have to be read. */
  get packs(): number {
    return new Set([...this.trees, ...this.content]).size;
  }

  /** Wants the blob of a first entry. */
  add(entry: number): void {
    if (!this.#entries.add(entry)) return;
    const { index } = this.#table;
    const pack = this.#table.canonical(index.packNumber(entry));
    (index.isTree(entry) ? this.trees : this.content).add(pack);
    this.blobs++;
    this.bytes += index.storedLength(entry);
  }

  /** The wanted blobs of one kind that lie in a pack, by ascending offset; nobody gets them again. */
  take(pack: number, isTree: boolean): Uint32Array {
    const { index } = this.#table;
    return this.#table
      .entries(pack)
      .filter(
        (entry) =>
          index.isTree(entry) === isTree && this.#entries.take(firstOf(this.#table, entry)),
      );
  }
}

/** The entry by which a blob is known: that of its first place. */
function firstOf({ index }: PackTable, entry: number): number {
  const isAlone = entry === 0 || !index.sameId(entry - 1, entry);
  return isAlone ? entry : index.find(index.isTree(entry) ? "tree" : "data", index.idBytes(entry));
}

export interface CopyBlobsOptions {
  source: Repository;
  table: PackTable;
  target: Repository;
  writer: RepositoryWriter;
  packSize: number;
  verify: boolean;
  /** Compress anew what the source has compressed. */
  recompress: boolean;
  workers: number;
  /** A pack of the source has given what it was to give. */
  onPack: () => void;
  signal?: AbortSignal | undefined;
}

/** A buffer takes any chunk of a file, and a few small blobs beside it. */
const BUFFER_BYTES = 9 << 20;

/** Copies what is wanted; stored bytes it takes. The writer has all packs then, and still has to be finished. BLOB_DAMAGED, BLOB_MISSING. */
export async function copyBlobs(wanted: WantedBlobs, options: CopyBlobsOptions): Promise<number> {
  const { table, packSize, workers, onPack, signal } = options;
  let largest = 0;
  for (const pack of table.packs) largest = Math.max(largest, table.fileBytes(pack));
  await using pool = new CopyPool({
    ...options,
    index: table.index,
    // A thread more would leave one more pack half full.
    workers: Math.max(1, Math.min(workers, Math.ceil(wanted.bytes / packSize))),
    bufferBytes: Math.min(BUFFER_BYTES, largest),
  });
  const copy = new Copy(wanted, pool, options);
  const run = async (packs: ReadonlySet<number>, isTree: boolean): Promise<void> => {
    const waiting = packs.values();
    const work = async (lane: CopyLane, _: number, own: AbortSignal): Promise<void> => {
      for (const pack of waiting) {
        if (own.aborted) return;
        await copy.pack(pack, isTree, lane, own);
        if (!isTree || !wanted.content.has(pack)) onPack();
      }
    };
    await eachLimit(pool.lanes, pool.lanes.length, work, { signal });
    await pool.flush();
  };
  await run(wanted.trees, true);
  await run(wanted.content, false);
  return copy.stored;
}

class Copy {
  stored = 0;
  readonly #wanted: WantedBlobs;
  readonly #pool: CopyPool;
  readonly #options: CopyBlobsOptions;
  readonly #reader: BlobReader;

  constructor(wanted: WantedBlobs, pool: CopyPool, options: CopyBlobsOptions) {
    this.#wanted = wanted;
    this.#pool = pool;
    this.#options = options;
    this.#reader = new BlobReader(options.source, options.table.index);
  }

  async pack(pack: number, isTree: boolean, lane: CopyLane, signal: AbortSignal): Promise<void> {
    const { table, writer } = this.#options;
    const entries = this.#wanted.take(pack, isTree);
    for (const part of packParts(entries, table, this.#pool.bufferBytes)) {
      writer.check();
      await this.#part(pack, part, lane, signal);
    }
  }

  async #part(pack: number, part: PackPart, lane: CopyLane, signal: AbortSignal): Promise<void> {
    const { offset, length } = part;
    // Not the view: what is posted would take along all that it is a view of.
    const entries = part.entries.slice();
    let failed: Iterable<number> = entries;
    if (await this.#read(pack, part, lane, signal)) {
      const reply = await lane.copy({ offset, length, entries });
      this.stored += reply.stored;
      failed = reply.failed;
    }
    for (const entry of failed) await this.#copyApart(entry, signal);
  }

  /** Reads a part into the lane's memory; false when that cannot be. */
  async #read(
    pack: number,
    { offset, length }: PackPart,
    lane: CopyLane,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { source, table } = this.#options;
    if (length > this.#pool.bufferBytes) return false;
    try {
      const into = await lane.memory();
      const id = table.index.packs[pack]!;
      await source.storage.get(keyOf("pack", id), { offset, length, into, signal });
      return true;
    } catch (error) {
      if (!isPermanent(error)) throw error;
      return false;
    }
  }

  /** The slow way, for blobs that are damaged where they lie, and for huge ones: from any copy, into a pack of its own. */
  async #copyApart(entry: number, signal: AbortSignal): Promise<void> {
    const { table, target, writer } = this.#options;
    const { index } = table;
    const id = index.idAt(entry);
    const type = index.isTree(entry) ? "tree" : "data";
    const plain = await this.#reader.read(type, id, signal);
    const pack = sealSingleBlobPack({
      key: target.key,
      random: target.machine.random,
      version: target.config.version,
      type,
      id: fromHex(id),
      plain,
    });
    this.stored += pack.blobLength;
    writer.storePack(pack, () => {});
    await writer.settleOne();
  }
}
