// Saves what can be saved of damaged packs, then removes them: what `repair packs` does. Every blob that still opens goes into
// a new pack, whether the index or only the pack's own header knows it.
//
// The caller holds an exclusive lock. New packs and index files are durable before an old one goes. Must never: give up a blob
// because another one, or the header, is damaged.

import { messageOf } from "../base/errors.ts";
import { isHoldfastError } from "../base/errors.ts";
import { fromHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import type { PackBlob } from "../restic/pack-header.ts";
import { openBlob } from "./blob-reader.ts";
import { isPermanent } from "./blob-reader.ts";
import { loadIndex } from "./index-loader.ts";
import { planIndexRewrite, removeIndexFiles, writeIndexFiles } from "./index-rewrite.ts";
import type { IndexListing } from "./index-rewrite.ts";
import { keyOf } from "./layout.ts";
import { readPackListing } from "./pack-listing.ts";
import { PackTable } from "./pack-table.ts";
import { SealedPacks } from "./prune/sealed-packs.ts";
import type { Repository } from "./repository.ts";

export type RepairPacksStep = "backup" | "salvage" | "index" | "removeIndex" | "removePacks";

export interface RepairPacksEvents {
  step?: (step: RepairPacksStep, total: number) => void;
  done?: (count: number) => void;
  /** Speech for people about one pack or blob. */
  notice?: (message: string) => void;
}

export interface RepairPacksOptions {
  packs: readonly Id[];
  /** Keeps a copy of a pack as it is now, before anything is changed. */
  keepCopy: (id: Id, bytes: Uint8Array) => Promise<void>;
  /** Bytes of new packs. */
  packSize: number;
  events: RepairPacksEvents;
  signal?: AbortSignal | undefined;
}

export interface RepairPacksResult {
  blobsSaved: number;
  /** Blobs of which these packs have no sound copy. */
  blobsLost: number;
}

/** Saves the blobs of `packs` and removes the packs. INDEX_DAMAGED when the index has to be repaired first. */
export async function repairPacks(
  repository: Repository,
  options: RepairPacksOptions,
): Promise<RepairPacksResult> {
  const { events, signal, packSize } = options;
  const packs = [...new Set(options.packs)];
  const listings: IndexListing[] = [];
  const { index } = await loadIndex(repository, {
    signal,
    onFile: (id, { begin, end }) => listings.push({ id, begin, end }),
  });
  const table = new PackTable(index);
  await keepCopies(repository, packs, options);

  events.step?.("salvage", packs.length);
  const target = new SealedPacks({ repository, packSize, signal });
  const salvage = new Salvage(repository, table, target, options);
  try {
    for (const id of packs) {
      await salvage.pack(id);
      events.done?.(1);
    }
    await target.finish();
  } finally {
    await target.settle();
  }

  const gone = new Set(packs.map((id) => table.numberOf(id)).filter((pack) => pack !== undefined));
  const rewrite = planIndexRewrite({ table, listings, gone });
  events.step?.("index", listings.length);
  await writeIndexFiles(repository, table, rewrite.packs, signal);
  events.done?.(listings.length);
  events.step?.("removeIndex", rewrite.obsolete.length);
  const onRemoved = (): void => events.done?.(1);
  await removeIndexFiles(repository, rewrite.obsolete, { onRemoved, signal });
  events.step?.("removePacks", packs.length);
  for (const id of packs) {
    await repository.remove("pack", id, signal);
    events.done?.(1);
  }
  return { blobsSaved: salvage.saved, blobsLost: salvage.lost };
}

async function keepCopies(
  repository: Repository,
  packs: readonly Id[],
  { keepCopy, events, signal }: RepairPacksOptions,
): Promise<void> {
  events.step?.("backup", packs.length);
  for (const id of packs) {
    let bytes: Uint8Array;
    try {
      bytes = await repository.storage.get(keyOf("pack", id), { signal });
    } catch (error) {
      if (!isPermanent(error)) throw error;
      events.notice?.(`will remove pack ${id}, of which nothing can be read: ${messageOf(error)}`);
      continue;
    }
    await keepCopy(id, bytes);
  }
}

class Salvage {
  saved = 0;
  lost = 0;
  readonly #repository: Repository;
  readonly #table: PackTable;
  readonly #target: SealedPacks;
  readonly #options: RepairPacksOptions;

  constructor(
    repository: Repository,
    table: PackTable,
    target: SealedPacks,
    options: RepairPacksOptions,
  ) {
    this.#repository = repository;
    this.#table = table;
    this.#target = target;
    this.#options = options;
  }

  /** Copies every blob of a pack that opens. */
  async pack(id: Id): Promise<void> {
    const { events, signal } = this.#options;
    const bytes = await this.#read(id);
    // A cached copy is whole, or it would not be there.
    const cached = await this.#repository.cache?.get("pack", id);
    const number = this.#table.numberOf(id);
    const indexed = number === undefined ? [] : this.#indexed(number);
    const listed = bytes === undefined ? [] : await this.#listed(id, bytes.length);
    const key = (blob: PackBlob): string => `${blob.type} ${blob.id} ${blob.offset} ${blob.length}`;
    const blobs = new Map([...indexed, ...listed].map((blob) => [key(blob), blob]));
    if (blobs.size === 0) events.notice?.(`no blobs found for pack ${id}`);
    if (listed.length > 0 && indexed.length > 0 && blobs.size > indexed.length) {
      events.notice?.(`the index does not say all of pack ${id}`);
    }
    const saved = new Set<string>();
    const failed = new Map<string, string>();
    for (const blob of blobs.values()) {
      signal?.throwIfAborted();
      const name = `${blob.type} blob ${blob.id}`;
      if (saved.has(name)) continue;
      let why = this.#save(blob, bytes);
      if (why !== undefined && cached !== undefined) why = this.#save(blob, cached);
      if (why === undefined) saved.add(name);
      else failed.set(name, why);
      await this.#target.room();
    }
    for (const [name, why] of failed) {
      if (saved.has(name)) continue;
      this.lost++;
      events.notice?.(`lost from pack ${id}: ${name}: ${why}`);
    }
    this.saved += saved.size;
  }

  async #read(id: Id): Promise<Uint8Array | undefined> {
    const { signal } = this.#options;
    try {
      return await this.#repository.storage.get(keyOf("pack", id), { signal });
    } catch (error) {
      if (!isPermanent(error)) throw error;
      return undefined;
    }
  }

  #indexed(pack: number): PackBlob[] {
    const { index } = this.#table;
    return [...this.#table.entries(pack)].map((entry) => {
      const { type, offset, length, uncompressedLength } = index.place(entry);
      return { type, id: index.idAt(entry), offset, length, uncompressedLength };
    });
  }

  /** What the pack's header says; nothing when it does not open. */
  async #listed(id: Id, size: number): Promise<PackBlob[]> {
    try {
      return await readPackListing(this.#repository, { id, size }, this.#options.signal);
    } catch (error) {
      if (!isHoldfastError(error, "PACK_DAMAGED")) throw error;
      return [];
    }
  }

  /** Copies a blob that opens; or why it does not. */
  #save(blob: PackBlob, bytes: Uint8Array | undefined): string | undefined {
    const { type, id, offset, length, uncompressedLength } = blob;
    if (bytes === undefined) return "the pack cannot be read";
    if (offset + length > bytes.length) return "the pack ends before it";
    const sealed = bytes.subarray(offset, offset + length);
    try {
      openBlob(this.#repository, id, blob, sealed);
    } catch (error) {
      if (!isHoldfastError(error, "FILE_DAMAGED")) throw error;
      return error.message;
    }
    this.#target.add({ type, id: fromHex(id), uncompressedLength }, sealed);
    return undefined;
  }
}
