// Walks every directory listing that the snapshots reach, each once, and checks it. Trees of one pack are read together:
// a whole pack of trees by one request, and what a worker finds there refers to in the same pack it follows by itself.
//
// What waits is a list of index entries for each pack, what was met is one bit for each entry, so a repository of millions
// of trees needs little memory.

import { eachLimit } from "../base/concurrency.ts";
import { isPermanent, readPlace } from "./blob-reader.ts";
import type { BlobIndex } from "./blob-index.ts";
import type { CheckFindings } from "./check-findings.ts";
import type { CheckLane, CheckPool } from "./check-pool.ts";
import { TreeCheck } from "./check-tree.ts";
import type { TreeFault } from "./check-tree.ts";
import type { EntrySet } from "./entry-set.ts";
import { keyOf } from "./layout.ts";
import type { PackTable } from "./pack-table.ts";
import type { Repository } from "./repository.ts";
import { TreeEdges } from "./tree-graph.ts";
import type { TreeGraph } from "./tree-graph.ts";

/** Trees in a pack of other things are read together when no more than this lies between them. */
const GAP_MAX = 1 << 20;

export interface TreeWalkOptions {
  repository: Repository;
  table: PackTable;
  used: EntrySet;
  pool: CheckPool;
  findings: CheckFindings;
  /** Packs that are there and have the size they should. */
  isSound: (pack: number) => boolean;
  onTrees: (count: number) => void;
  /** Takes what each tree refers to; the pool must have been told to collect it. */
  graph?: TreeGraph | undefined;
  signal?: AbortSignal | undefined;
}

/** A part of a pack to read, and the trees wanted from it. */
interface Part {
  pack: number;
  offset: number;
  length: number;
  entries: number[];
}

export interface TreeWalkResult {
  /** Trees that could be checked. */
  checked: number;
  /** Trees in which something is wrong, or that cannot be read, by index entry. */
  damaged: ReadonlySet<number>;
}

/** Checks the trees at `roots` and everything below. */
export async function walkTrees(
  roots: readonly number[],
  options: TreeWalkOptions,
): Promise<TreeWalkResult> {
  const walk = new TreeWalk(options);
  walk.add(roots);
  const { lanes } = options.pool;
  await eachLimit(lanes, lanes.length, (lane, _, signal) => walk.run(lane, signal), {
    signal: options.signal,
  });
  return { checked: walk.checked, damaged: walk.damaged };
}

class TreeWalk {
  checked = 0;
  readonly damaged: Set<number> = new Set();
  readonly #options: TreeWalkOptions;
  readonly #index: BlobIndex;
  readonly #trees: TreeCheck;
  readonly #edges: TreeEdges | undefined;
  /** Trees to check, by pack. */
  readonly #waiting = new Map<number, number[]>();
  readonly #busy = new Set<number>();
  #running = 0;
  #change = Promise.withResolvers<void>();

  constructor(options: TreeWalkOptions) {
    this.#options = options;
    this.#index = options.table.index;
    this.#edges = options.graph && new TreeEdges();
    this.#trees = new TreeCheck(this.#index, options.used, { edges: this.#edges });
  }

  add(entries: Iterable<number>): void {
    for (const entry of entries) {
      const pack = this.#options.table.canonical(this.#index.packNumber(entry));
      const waiting = this.#waiting.get(pack);
      if (waiting === undefined) this.#waiting.set(pack, [entry]);
      else waiting.push(entry);
    }
  }

  /** Takes work until there is none left anywhere. */
  async run(lane: CheckLane, signal: AbortSignal): Promise<void> {
    const onAbort = (): void => this.#changed();
    signal.addEventListener("abort", onAbort);
    try {
      while (!signal.aborted) {
        const part = this.#next();
        if (part === undefined && this.#running === 0) return;
        if (part === undefined) await this.#change.promise;
        else await this.#check(part, lane, signal);
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#changed();
    }
  }

  #changed(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  async #check(part: Part, lane: CheckLane, signal: AbortSignal): Promise<void> {
    this.#running++;
    this.#busy.add(part.pack);
    try {
      await this.#checkPart(part, lane, signal);
    } finally {
      this.#running--;
      this.#busy.delete(part.pack);
      this.#changed();
    }
  }

  /** The part with the most to do, of a pack that nobody reads at present if there is one. */
  #next(): Part | undefined {
    let best: number | undefined;
    let most = -1;
    for (const [pack, { length }] of this.#waiting) {
      const score = this.#busy.has(pack) ? 0 : length;
      if (score > most) [best, most] = [pack, score];
    }
    if (best === undefined) return undefined;
    const entries = this.#waiting.get(best)!;
    this.#waiting.delete(best);
    return this.#part(best, entries);
  }

  #part(pack: number, entries: number[]): Part {
    const { table, pool } = this.#options;
    const index = this.#index;
    const size = table.fileBytes(pack);
    const treeBytes = table
      .entries(pack)
      .reduce((sum, entry) => sum + (index.isTree(entry) ? index.storedLength(entry) : 0), 0);
    if (size <= pool.bufferBytes && 2 * treeBytes >= size) {
      return { pack, offset: 0, length: size, entries };
    }
    entries.sort((a, b) => index.offset(a) - index.offset(b));
    const offset = index.offset(entries[0]!);
    const end = (i: number): number => index.offset(entries[i]!) + index.storedLength(entries[i]!);
    let last = 0;
    for (let i = 1; i < entries.length; i++) {
      if (index.offset(entries[i]!) > end(last) + GAP_MAX) break;
      if (end(i) - offset > pool.bufferBytes) break;
      last = i;
    }
    const rest = entries.slice(last + 1);
    if (rest.length > 0) this.add(rest);
    return { pack, offset, length: end(last) - offset, entries: entries.slice(0, last + 1) };
  }

  async #checkPart(part: Part, lane: CheckLane, signal: AbortSignal): Promise<void> {
    const { table } = this.#options;
    if (!(await this.#read(part, lane, signal))) return this.#checkApart(part, false, signal);
    const { pack, offset, length, entries } = part;
    const packNumbers = table.listings(pack);
    const wanted = Uint32Array.from(entries);
    const reply = await lane.checkTrees({ offset, length, packNumbers, entries: wanted });
    this.#count(reply.checked);
    this.#options.graph?.add(reply.edges);
    this.add(reply.elsewhere);
    this.#report(reply.faults);
    if (reply.failed.length > 0) {
      await this.#checkApart({ ...part, entries: [...reply.failed] }, true, signal);
    }
  }

  /** Reads a part into the lane's buffer; false when that cannot be. */
  async #read(part: Part, lane: CheckLane, signal: AbortSignal): Promise<boolean> {
    const { repository, pool, isSound } = this.#options;
    const { pack, offset, length } = part;
    if (!isSound(pack) || length > pool.bufferBytes) return false;
    try {
      const into = await lane.memory();
      const id = this.#index.packs[pack]!;
      const cached = await repository.cache?.get("pack", id);
      if (cached !== undefined && offset + length <= cached.length) {
        into.set(cached.subarray(offset, offset + length));
      } else {
        await repository.storage.get(keyOf("pack", id), { offset, length, into, signal });
      }
      return true;
    } catch (error) {
      if (!isPermanent(error)) throw error;
      return false;
    }
  }

  /** The slow way for trees that failed: one by one, from every copy. `wasRead`: a worker has tried them once. */
  async #checkApart(part: Part, wasRead: boolean, signal: AbortSignal): Promise<void> {
    for (const entry of part.entries) {
      const plain = await this.#readCopies(entry, wasRead, signal);
      if (plain === undefined) {
        this.damaged.add(entry);
        continue;
      }
      this.#count(1);
      const faults = this.#trees.check(entry, plain, (subtree) => this.add([subtree]));
      if (this.#edges) this.#options.graph?.add(this.#edges.take());
      this.#report(faults);
    }
  }

  async #readCopies(
    entry: number,
    wasRead: boolean,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const { findings } = this.#options;
    const id = this.#index.idAt(entry);
    const bad: string[] = [];
    for (const place of this.#index.places("tree", id)) {
      const found = await readPlace(this.#options.repository, id, place, signal);
      if (found === undefined) {
        bad.push(place.pack);
        continue;
      }
      if (bad.length > 0) {
        const from = bad.map((pack) => pack.slice(0, 10)).join(", ");
        const what = `tree ${id} does not open from pack ${from}; another pack has a sound copy`;
        findings.add("BLOB_DAMAGED", what, { packs: bad });
      } else if (wasRead) {
        const what = `tree ${id} in pack ${place.pack} did not open when it was read first`;
        findings.add("READ_UNSTABLE", what);
      }
      return found.plain;
    }
    const from = bad.length > 1 ? `any of ${bad.length} packs` : `pack ${bad[0]}`;
    findings.add("BLOB_DAMAGED", `tree ${id} does not open from ${from}`, { packs: bad });
    return undefined;
  }

  #count(trees: number): void {
    this.checked += trees;
    this.#options.onTrees(trees);
  }

  #report(faults: readonly TreeFault[]): void {
    for (const { code, tree, details, count } of faults) {
      this.damaged.add(tree);
      const what = `tree ${this.#index.idAt(tree)}: ${details[0]}`;
      const more = details.length > 1 ? { details } : {};
      this.#options.findings.add(code, what, { count, ...more });
    }
  }
}
