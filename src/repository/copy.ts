// Copies snapshots from one repository to another, with other keys, in another place: what `copy` does. Directory listings
// and file content go over as they are, byte for byte, so a copied snapshot has the tree of its original.
//
// Snapshots go in batches: first the listings of each are walked, then every pack of the source that has something for the
// batch is read, once. A snapshot is stored when all it needs is durable and named by an index file.
// The caller holds locks of both repositories. Must never: store a snapshot of which anything is missing.

import { fromHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import { collectGarbage } from "../base/collect-garbage.ts";
import { isHoldfastError } from "../base/errors.ts";
import type { HoldfastError } from "../base/errors.ts";
import { parseTime } from "../restic/go-time.ts";
import { encodeSnapshot } from "../restic/snapshot.ts";
import type { Snapshot } from "../restic/snapshot.ts";
import type { BlobIndex } from "./blob-index.ts";
import { CheckFindings } from "./check-findings.ts";
import { CheckPool, CheckThreads } from "./check-pool.ts";
import { walkTrees } from "./check-trees.ts";
import { WantedBlobs, copyBlobs } from "./copy-blobs.ts";
import { EntrySet, createEntrySetMemory } from "./entry-set.ts";
import { loadIndex } from "./index-loader.ts";
import { PackTable } from "./pack-table.ts";
import type { Repository } from "./repository.ts";
import { hasTags, listSnapshots } from "./snapshots.ts";
import type { FoundSnapshot } from "./snapshots.ts";
import { RepositoryWriter } from "./writer.ts";

export interface CopyEvents {
  /** The target has a copy of it already. */
  skipped?: (snapshot: FoundSnapshot, copy: Id) => void;
  /** The listings of a snapshot are being walked. */
  walking?: (snapshot: FoundSnapshot) => void;
  /** So many blobs of it, and bytes in so many packs, are not in the target yet. */
  walked?: (amount: { blobs: number; bytes: number; packs: number }) => void;
  /** A snapshot that is damaged, and left out. */
  damaged?: (snapshot: FoundSnapshot, why: string) => void;
  /** The packs of a batch are being read. */
  copying?: (packs: number) => void;
  pack?: () => void;
  /** The snapshots of a batch are stored now: so many. */
  saving?: (count: number) => void;
  saved?: (snapshot: FoundSnapshot, copy: Id) => void;
  /** A file of either repository that cannot be read and is done without. */
  unreadable?: (id: Id, error: HoldfastError) => void;
}

export interface CopyOptions {
  source: Repository;
  target: Repository;
  /** The snapshots to copy, in this order. */
  snapshots: readonly FoundSnapshot[];
  packSize: number;
  verify: boolean;
  /** Compress anew what the source has compressed. */
  recompress: boolean;
  workers: number;
  events: CopyEvents;
  signal?: AbortSignal | undefined;
}

export interface CopyResult {
  copied: number;
  skipped: number;
  damaged: number;
  blobs: number;
  /** Stored bytes of the blobs in the target. */
  bytes: number;
}

/** Snapshots are stored when so many packs are full, or when so long ago the last ones were: a run may be interrupted. */
const BATCH_PACKS = 100;
const BATCH_MS = 60_000;
const BUFFER_BYTES = 9 << 20;
/** How long a run that has failed may take to write its last index file: whoever stopped it waits. */
const SALVAGE_MS = 10_000;

/**
 * Copies snapshots that the target does not have. Throws BLOB_DAMAGED or BLOB_MISSING when content of the source cannot be read
 * from any pack; INDEX_DAMAGED for the target's index. What was copied until then is found by the next run.
 */
export async function copySnapshots(options: CopyOptions): Promise<CopyResult> {
  const { target, packSize, verify, snapshots, events, signal } = options;
  const known = await copiesByOriginal(options);
  const missing = snapshots.filter((found) => {
    const copy = known
      .get(originalOf(found))
      ?.find(({ snapshot }) => isSame(snapshot, found.snapshot));
    if (copy !== undefined) events.skipped?.(found, copy.id);
    return copy === undefined;
  });
  const skipped = snapshots.length - missing.length;
  if (missing.length === 0) return { copied: 0, skipped, damaged: 0, blobs: 0, bytes: 0 };
  const writer = new RepositoryWriter({ repository: target, packSize, verify, signal });
  try {
    const run = new Run(options, writer, missing);
    await run.load();
    while (await run.batch());
    return { ...run.result, skipped };
  } catch (error) {
    // Without a lock nothing may be written.
    if (!isHoldfastError(signal?.reason, "LOCK_LOST")) await salvage(writer, target);
    throw error;
  }
}

/** The target's snapshots by their own ids and by those of which they are copies. */
async function copiesByOriginal({
  target,
  events,
  signal,
}: CopyOptions): Promise<Map<Id, FoundSnapshot[]>> {
  const known = new Map<Id, FoundSnapshot[]>();
  const onDamage = (id: Id, error: HoldfastError): void => events.unreadable?.(id, error);
  for (const found of await listSnapshots(target, { onDamage, signal })) {
    for (const id of new Set([found.id, originalOf(found)])) {
      known.set(id, [...(known.get(id) ?? []), found]);
    }
  }
  return known;
}

function originalOf({ id, snapshot }: FoundSnapshot): Id {
  return snapshot.original ?? id;
}

/** restic's rule: the same in everything but the parent, the original and what is only told of its making. */
function isSame(one: Snapshot, other: Snapshot): boolean {
  return (
    parseTime(one.time) === parseTime(other.time) &&
    one.tree === other.tree &&
    one.hostname === other.hostname &&
    one.username === other.username &&
    one.uid === other.uid &&
    one.gid === other.gid &&
    one.paths.length === other.paths.length &&
    other.paths.every((path) => one.paths.includes(path)) &&
    one.tags.length === other.tags.length &&
    hasTags(one.tags, other.tags) &&
    one.excludes.length === other.excludes.length &&
    one.excludes.every((exclude, i) => exclude === other.excludes[i])
  );
}

/** Names what is durable in the index, so that the next run need not store it again. Never throws. */
async function salvage(writer: RepositoryWriter, { machine }: Repository): Promise<void> {
  const [done, late] = [new AbortController(), new AbortController()];
  machine.clock.sleep(SALVAGE_MS, done.signal).then(
    () => late.abort(),
    () => {},
  );
  await writer.salvage(late.signal).catch(() => {});
  done.abort();
}

class Run {
  readonly result = { copied: 0, damaged: 0, blobs: 0, bytes: 0 };
  readonly #options: CopyOptions;
  readonly #writer: RepositoryWriter;
  readonly #waiting: FoundSnapshot[];
  #table!: PackTable;
  #targetIndex!: BlobIndex;
  /** Entries of all that the snapshots walked so far need: no later one has to be asked for them. */
  #used!: SharedArrayBuffer;

  constructor(options: CopyOptions, writer: RepositoryWriter, snapshots: readonly FoundSnapshot[]) {
    this.#options = options;
    this.#writer = writer;
    this.#waiting = [...snapshots];
  }

  async load(): Promise<void> {
    const { source, target, events, signal } = this.#options;
    const onDamage = (id: Id, error: HoldfastError): void => events.unreadable?.(id, error);
    this.#table = new PackTable((await loadIndex(source, { signal, onDamage })).index);
    this.#targetIndex = (await loadIndex(target, { signal })).index;
    this.#writer.useIndex(this.#targetIndex);
    this.#used = createEntrySetMemory(this.#table.index.count);
  }

  /** Copies some snapshots; false when there was none left. */
  async batch(): Promise<boolean> {
    const { target, events, signal } = this.#options;
    const wanted = new WantedBlobs(this.#table);
    const walked = await this.#walk(wanted);
    // Each step has threads of its own, and what they shared would pile up.
    collectGarbage();
    events.copying?.(wanted.packs);
    if (wanted.blobs > 0) {
      const onPack = (): void => events.pack?.();
      const options = { ...this.#options, table: this.#table, writer: this.#writer, onPack };
      this.result.bytes += await copyBlobs(wanted, options);
      collectGarbage();
    }
    await this.#writer.finish();
    this.result.blobs += wanted.blobs;
    events.saving?.(walked.length);
    for (const found of walked) {
      const original = originalOf(found);
      const copy = encodeSnapshot({ ...found.snapshot, parent: null, original });
      const id = await target.save("snapshot", copy, signal);
      events.saved?.(found, id);
      this.result.copied++;
    }
    return this.#waiting.length > 0;
  }

  /** Walks snapshots until there is enough to copy; those that can be copied. */
  async #walk(wanted: WantedBlobs): Promise<FoundSnapshot[]> {
    const { packSize, events, signal, target } = this.#options;
    const { clock } = target.machine;
    const begun = clock.now();
    const walked: FoundSnapshot[] = [];
    await using threads = new CheckThreads();
    await using pool = this.#pool(threads);
    while (this.#waiting.length > 0) {
      if (wanted.bytes >= BATCH_PACKS * packSize || clock.now() - begun >= BATCH_MS) break;
      throwIfCancelled(signal);
      const found = this.#waiting.shift()!;
      events.walking?.(found);
      const why = await this.#walkOne(found, pool, wanted);
      if (why === undefined) walked.push(found);
      else {
        this.result.damaged++;
        events.damaged?.(found, why);
      }
    }
    return walked;
  }

  /** Wants what a snapshot needs and the target has not; or why it cannot be copied. */
  async #walkOne(
    { id, snapshot }: FoundSnapshot,
    pool: CheckPool,
    wanted: WantedBlobs,
  ): Promise<string | undefined> {
    const { source, signal } = this.#options;
    const table = this.#table;
    const used = new EntrySet(this.#used);
    const root = table.index.find("tree", fromHex(snapshot.tree));
    if (root < 0) return `snapshot ${id} needs tree ${snapshot.tree}, which is in no index`;
    // Only now: of an index without any entry there is no memory, and slicing none of it throws.
    const before = this.#used.slice(0);
    if (used.add(root)) {
      const findings = new CheckFindings();
      const { damaged } = await walkTrees([root], {
        repository: source,
        table,
        used,
        pool,
        findings,
        // Whether a pack is there shows when it is read.
        isSound: () => true,
        onTrees: () => {},
        signal,
      });
      if (damaged.size > 0) {
        // Later snapshots that share the damage must meet it again.
        new Uint8Array(this.#used).set(new Uint8Array(before));
        return findings.kept.find(({ severity }) => severity === "error")?.what ?? "it is damaged";
      }
    }
    this.#want(used.addedSince(new EntrySet(before)), wanted);
    return undefined;
  }

  #want(entries: Iterable<number>, wanted: WantedBlobs): void {
    const { index } = this.#table;
    const packs = new Set<number>();
    const { blobs, bytes } = wanted;
    for (const entry of entries) {
      const type = index.isTree(entry) ? "tree" : "data";
      if (this.#targetIndex.has(type, index.idBytes(entry))) continue;
      wanted.add(entry);
      packs.add(this.#table.canonical(index.packNumber(entry)));
    }
    this.#options.events.walked?.({
      blobs: wanted.blobs - blobs,
      bytes: wanted.bytes - bytes,
      packs: packs.size,
    });
  }

  #pool(threads: CheckThreads): CheckPool {
    const { source, workers } = this.#options;
    const { local, connections } = source.storage.traits;
    let largest = 0;
    for (const pack of this.#table.packs) largest = Math.max(largest, this.#table.fileBytes(pack));
    return new CheckPool({
      threads,
      key: source.key,
      index: this.#table.index,
      used: this.#used,
      workers,
      connections: local ? 1 : connections,
      bufferBytes: Math.min(BUFFER_BYTES, largest),
    });
  }
}
