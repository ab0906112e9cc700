// Writes the needed blobs of some packs into new packs. Each blob is proved against its id as it lies in the old pack, then
// copied as it is: nothing is compressed or encrypted again, unless it should have been compressed and is not.
//
// A copy that is damaged is replaced by a sound one from any other pack. When there is none, the prune ends: nothing has been
// removed at that point.

import { eachLimit } from "../../base/concurrency.ts";
import { HoldfastError } from "../../base/errors.ts";
import { fromHex } from "../../base/bytes.ts";
import { compressZstd } from "../../restic/compression.ts";
import { NONCE_BYTES, SEAL_BYTES, seal } from "../../restic/crypto.ts";
import type { BlobPlace } from "../blob-index.ts";
import { openBlob, readPlace } from "../blob-reader.ts";
import type { CheckLane, CheckPool } from "../check-pool.ts";
import { isPermanent } from "../blob-reader.ts";
import type { EntrySet } from "../entry-set.ts";
import { keyOf } from "../layout.ts";
import { packParts } from "../pack-parts.ts";
import type { PackPart } from "../pack-parts.ts";
import type { PackTable } from "../pack-table.ts";
import type { Repository } from "../repository.ts";
import type { SealedPacks } from "./sealed-packs.ts";

export interface RepackOptions {
  repository: Repository;
  table: PackTable;
  pool: CheckPool;
  target: SealedPacks;
  /** First entries of the blobs to copy; each is taken out when its turn comes. */
  copy: EntrySet;
  firsts: Uint32Array;
  /** Compress file content that is not. Directory listings are always compressed, where the format knows how. */
  compressContent: boolean;
  onPack: () => void;
  signal?: AbortSignal | undefined;
}

const CONTENT_LEVEL = 3;

/** Bytes to read at once beside a large index, if no blob is larger. */
const SMALL_BUFFER_BYTES = 2 << 20;

/** How much of `packs` to read at once: `usual`, or less where memory is short and the blobs are small. */
export function repackBufferBytes(
  packs: readonly number[],
  { table, usual }: { table: PackTable; usual: number },
): number {
  const { index } = table;
  if (!index.isLarge) return usual;
  let bytes = SMALL_BUFFER_BYTES;
  for (const pack of packs) {
    for (const entry of table.entries(pack)) bytes = Math.max(bytes, index.storedLength(entry));
  }
  return Math.min(usual, bytes);
}

/** Copies what `copy` names out of `packs`. BLOB_DAMAGED when a blob opens from no copy. */
export async function repackPacks(packs: readonly number[], options: RepackOptions): Promise<void> {
  const { pool, signal, target, table } = options;
  const repack = new Repack(options);
  const run = async (some: readonly number[]): Promise<void> => {
    const waiting = some.values();
    const work = async (lane: CheckLane, _: number, own: AbortSignal): Promise<void> => {
      for (const pack of waiting) {
        if (own.aborted) return;
        await repack.pack(pack, lane, own);
        options.onPack();
      }
    };
    await eachLimit(pool.lanes, pool.lanes.length, work, { signal });
  };
  const isData = (pack: number): boolean => table.content(pack) === "data";
  try {
    // Directory listings first, so that their open pack takes no memory while content is copied.
    await run(packs.filter((pack) => !isData(pack)));
    target.flush();
    await run(packs.filter(isData));
    await target.finish();
  } finally {
    await target.settle();
  }
}

class Repack {
  readonly #options: RepackOptions;

  constructor(options: RepackOptions) {
    this.#options = options;
  }

  /** Copies what is wanted of one pack. */
  async pack(pack: number, lane: CheckLane, signal: AbortSignal): Promise<void> {
    const { table, copy, firsts, pool } = this.#options;
    const wanted = table.entries(pack).filter((entry) => copy.take(firsts[entry]!));
    for (const part of packParts(wanted, table, pool.bufferBytes)) {
      await this.#part(pack, part, lane, signal);
    }
  }

  async #part(pack: number, part: PackPart, lane: CheckLane, signal: AbortSignal): Promise<void> {
    const { table, target } = this.#options;
    const { index } = table;
    const memory = await this.#read(pack, part, lane, signal);
    // Not the view: what is posted would take along all that it is a view of.
    const entries = part.entries.slice();
    let failed: Iterable<number> = entries;
    if (memory !== undefined) {
      const { offset, length } = part;
      const damaged = new Set((await lane.checkBlobs({ offset, length, entries })).failed);
      for (const entry of entries) {
        if (damaged.has(entry)) continue;
        const begin = index.offset(entry) - offset;
        const bytes = index.storedLength(entry);
        if (target.isFull(index.isTree(entry), bytes)) await target.room();
        this.#add(entry, memory.subarray(begin, begin + bytes));
      }
      failed = damaged;
    }
    for (const entry of failed) {
      await target.room();
      await this.#copyApart(entry, signal);
    }
  }

  /** Reads a part into the lane's memory; undefined when that cannot be. */
  async #read(
    pack: number,
    { offset, length }: PackPart,
    lane: CheckLane,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const { repository, table, pool } = this.#options;
    if (length > pool.bufferBytes) return undefined;
    try {
      const into = await lane.memory();
      const key = keyOf("pack", table.index.packs[pack]!);
      return await repository.storage.get(key, { offset, length, into, signal });
    } catch (error) {
      if (!isPermanent(error)) throw error;
      return undefined;
    }
  }

  /** The slow way: from every place the blob is at. */
  async #copyApart(entry: number, signal: AbortSignal): Promise<void> {
    const { repository, table } = this.#options;
    const { index } = table;
    const type = index.isTree(entry) ? "tree" : "data";
    const id = index.idAt(entry);
    const places = index.places(type, id);
    for (const place of places) {
      const found = await readPlace(repository, id, place, signal);
      if (found === undefined) continue;
      this.#addPlaced(id, place, found.sealed);
      return;
    }
    const packs = [...new Set(places.map(({ pack }) => pack))].join(", ");
    throw new HoldfastError(
      "BLOB_DAMAGED",
      `${type} blob ${id} is needed and does not open from pack ${packs}; nothing was removed`,
      {
        hint: "Bring the pack back from a copy of the repository, or run `repair packs` with its id.",
      },
    );
  }

  /** Adds a blob that was proved. */
  #add(entry: number, sealed: Uint8Array): void {
    const { target, table } = this.#options;
    const { index } = table;
    const isTree = index.isTree(entry);
    const uncompressedLength = index.uncompressedLength(entry);
    if (this.#isToCompress(isTree, uncompressedLength, sealed.length)) {
      this.#addPlaced(index.idAt(entry), index.place(entry), sealed);
      return;
    }
    const type = isTree ? "tree" : "data";
    target.add({ type, id: index.idBytes(entry), uncompressedLength }, sealed);
  }

  #isToCompress(isTree: boolean, uncompressedLength: number, length: number): boolean {
    const { repository, compressContent } = this.#options;
    if (uncompressedLength !== 0 || length <= SEAL_BYTES) return false;
    return repository.config.version === 2 && (isTree || compressContent);
  }

  #addPlaced(id: string, place: BlobPlace, sealed: Uint8Array): void {
    const { repository, target } = this.#options;
    const { type, uncompressedLength, length } = place;
    const bytes = fromHex(id);
    if (this.#isToCompress(type === "tree", uncompressedLength, length)) {
      const plain = openBlob(repository, id, place, sealed);
      const again = compressAndSeal(repository, id, plain);
      target.add({ type, id: bytes, uncompressedLength: plain.length }, again);
    } else {
      target.add({ type, id: bytes, uncompressedLength }, sealed);
    }
  }
}

/** Seals a blob compressed, whether it gets smaller or not: or else it would be written anew each time. */
function compressAndSeal(repository: Repository, id: string, plain: Uint8Array): Uint8Array {
  const compressed = compressZstd(plain, CONTENT_LEVEL);
  const sealed = seal(repository.key, compressed, repository.machine.random(NONCE_BYTES));
  const place = { length: sealed.length, uncompressedLength: plain.length };
  openBlob(repository, id, place, sealed);
  return sealed;
}
