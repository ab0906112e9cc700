// What a capture begins with: the newest full snapshot, and everything that was captured since. A new full snapshot begins a
// new period. What was captured before it and is not in it was deleted meanwhile, and stays in the last capture of the old
// period; what may have come while its scan was under way is carried over.

import type { Id } from "../../base/bytes.ts";
import { isHoldfastError, type HoldfastError } from "../../base/errors.ts";
import { findDirectory } from "../../files/find-path.ts";
import { BlobReader } from "../../repository/blob-reader.ts";
import { isListingDamage } from "../../repository/listing-damage.ts";
import type { BlobIndex } from "../../repository/blob-index.ts";
import type { Repository } from "../../repository/repository.ts";
import type { FoundSnapshot } from "../../repository/snapshots.ts";
import { textToByteString } from "../../restic/byte-string.ts";
import { parseTime } from "../../restic/go-time.ts";
import { iterateTree } from "../../restic/tree.ts";
import { readCaptureMark, type CaptureMark } from "../capture-mark.ts";
import { sideFolder } from "../capture-side-files.ts";
import { Sha1Set } from "../sha1-set.ts";
import { isSha1, isStoreFolder } from "../store-name.ts";
import type { EarlierCapture } from "./earlier-captures.ts";
import { fullNames, newestFullSnapshot } from "./full-snapshot.ts";
import type { FullNames, FullSnapshot } from "./full-snapshot.ts";
import { KnownFiles } from "./known-files.ts";
import { SideFiles } from "./side-files.ts";
import { StoreTree } from "./store-tree.ts";

/** Clocks of the machines that write files, and that make snapshots, may differ by this much. */
const SKEW_MS = 10 * 60_000;

export interface PeriodOptions {
  readonly main: Repository;
  readonly captures: Repository;
  /** Everything in the capture repository, oldest first: listed before `index` was loaded, so that it names all their blobs. */
  readonly captured: readonly FoundSnapshot[];
  /** Of the capture repository. */
  readonly index: BlobIndex;
  readonly folder: string;
  readonly database: string;
  readonly onDamage: (error: HoldfastError) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface Period {
  readonly since: FullSnapshot | undefined;
  /** Names whose content is in the full snapshot or in a capture of this period. */
  readonly known: KnownFiles;
  readonly tree: StoreTree;
  readonly side: SideFiles;
  /**
   * Captures of this period, oldest first: the next one has all that they have. Those are not among them that could not be
   * read whole: they stay, as what they hold may be readable again.
   */
  readonly captures: readonly EarlierCapture[];
  /** When the newest capture was made, in nanoseconds since 1970; also of an earlier period. */
  readonly latest: bigint;
  /** That of the newest capture, also of an earlier period. */
  readonly mark: CaptureMark | undefined;
}

interface MarkedSnapshot extends FoundSnapshot {
  readonly mark: CaptureMark;
}

/** Loads it. Throws what the storages throw; damage is told, and what it hides is captured again. */
export async function loadPeriod(options: PeriodOptions): Promise<Period> {
  const { main, database, captured } = options;
  const found = await newestFullSnapshot({ ...options, repository: main });
  const since = found?.snapshot;
  const names: FullNames = found
    ? await fullNames(found.snapshot, found.reader, options)
    : { trusted: new KnownFiles(), doubtful: new Sha1Set() };
  const marked = captured.flatMap((one): MarkedSnapshot[] => {
    const mark = readCaptureMark(one.snapshot.tags);
    return mark?.database === database ? [{ ...one, mark }] : [];
  });
  const own = marked.filter(({ mark }) => mark.since === since?.id);
  const newest = marked.at(-1);
  const loader = new Loader(options, names);
  const whole: MarkedSnapshot[] = [];
  if (own.length > 0) {
    for (const capture of own) if (await loader.load(capture, undefined)) whole.push(capture);
  } else if (newest !== undefined) await loader.load(newest, since);
  const side = new SideFiles();
  if (newest !== undefined) await loader.loadSide(newest, side);
  return {
    since,
    known: loader.known,
    tree: loader.tree,
    side,
    captures: whole.map(({ id, snapshot, mark }) => ({
      id,
      time: Number(parseTime(snapshot.time) / 1_000_000n),
      hasPosition: mark.position !== undefined,
    })),
    latest: newest === undefined ? 0n : parseTime(newest.snapshot.time),
    mark: newest?.mark,
  };
}

class Loader {
  readonly tree = new StoreTree();
  readonly known: KnownFiles;
  readonly #doubtful: Sha1Set;
  readonly #options: PeriodOptions;
  readonly #reader: BlobReader;
  /** Captures of one period have most of their folders in common. */
  readonly #walked = new Set<Id>();

  constructor(options: PeriodOptions, { trusted, doubtful }: FullNames) {
    this.#options = options;
    this.#doubtful = doubtful;
    this.known = trusted;
    this.#reader = new BlobReader(options.captures, options.index);
  }

  /**
   * Takes the files of a capture; with `carry`, only those that may not be in that full snapshot for being too new. False when
   * some of it could not be read.
   */
  async load({ snapshot }: FoundSnapshot, carry: FullSnapshot | undefined): Promise<boolean> {
    const { folder, signal } = this.#options;
    const path = snapshot.paths.find((one) => !one.startsWith("/holdfast/")) ?? folder;
    let isWhole = true;
    const isRead = await this.#tolerant(async () => {
      const root = await findDirectory(this.#reader, snapshot.tree, textToByteString(path), signal);
      for (const node of iterateTree(await this.#reader.read("tree", root, signal))) {
        if (node.subtree === null || !isStoreFolder(node.name)) continue;
        if (this.#walked.has(node.subtree)) continue;
        this.tree.setFolder({ ...node, subtree: null });
        const { name, subtree } = node;
        if (await this.#tolerant(() => this.#loadFolder(name, subtree, carry)))
          this.#walked.add(subtree);
        else isWhole = false;
      }
    });
    return isRead && isWhole;
  }

  /** Takes the files that lie beside the filestore. */
  async loadSide({ snapshot }: FoundSnapshot, side: SideFiles): Promise<void> {
    const { database, signal } = this.#options;
    await this.#tolerant(async () => {
      const root = await findDirectory(
        this.#reader,
        snapshot.tree,
        textToByteString(sideFolder(database)),
        signal,
      );
      await side.load(this.#reader, root, signal);
    });
  }

  async #loadFolder(folder: string, tree: Id, carry: FullSnapshot | undefined): Promise<void> {
    const { signal } = this.#options;
    for (const node of iterateTree(await this.#reader.read("tree", tree, signal))) {
      if (node.type !== "file" || !isSha1(node.name) || this.known.has(node.name)) continue;
      const isCarried =
        carry === undefined ||
        this.#doubtful.has(node.name) ||
        Number(parseTime(node.ctime) / 1_000_000n) >= carry.begin - SKEW_MS;
      if (!isCarried) continue;
      this.known.add(node.name);
      this.tree.add(folder, node);
    }
  }

  /** What is damaged is left out, and captured again if it is still there. False when something was. */
  async #tolerant(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      // A capture without any file has no such folder.
      if (isHoldfastError(error, "PATH_NOT_FOUND")) return true;
      if (!isListingDamage(error)) throw error;
      this.#options.onDamage(error);
      return false;
    }
  }
}
