// The pool: every file that any snapshot or capture holds, found by its SHA-1. Captures come before snapshots and newer ones
// before older ones, but every different content that was ever stored under a name is a candidate: a full snapshot may have
// caught a file half-written, and a capture before it the whole one. Nothing leaves here that does not match its name.

import { createHash, hash } from "node:crypto";
import type { Id } from "../base/bytes.ts";
import { Semaphore } from "../base/concurrency.ts";
import { HoldfastError } from "../base/errors.ts";
import type { Repository } from "../repository/repository.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { Copies, type StoredCopy } from "./pool/copies.ts";
import { readMany } from "./pool/read-many.ts";
import { isDamage, PoolSource, type OnDamage } from "./pool/source.ts";
import { Sha1Set } from "./sha1-set.ts";
import { EMPTY_SHA1 } from "./store-name.ts";

export interface PoolOptions {
  /** Captures are looked at before snapshots, in whatever order they are given. */
  readonly sources: readonly {
    readonly repository: Repository;
    readonly kind: "snapshots" | "captures";
    /** Only these snapshots of it; all of them without. */
    readonly only?: ReadonlySet<Id> | undefined;
  }[];
  /** Only these names matter; snapshots are walked until each of them has a copy. Without it all names of all snapshots. */
  readonly wanted?: Sha1Set | undefined;
  /** Told what could not be read; another copy may make up for it. */
  readonly onDamage: OnDamage;
  /** Told as snapshots are walked. */
  readonly onWalk?: (walked: number, total: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** A copy of a file, which may be good or not. */
export interface PoolCopy {
  readonly content: readonly Id[];
  /** Bytes. */
  readonly size: number;
  /** The newest snapshot that has it, and what kind of repository that is in. */
  readonly snapshot: Id;
  readonly kind: "snapshots" | "captures";
}

/** A copy that was read to its end, and matches its name. */
export interface VerifiedFile {
  readonly status: "found";
  readonly copy: PoolCopy;
  readonly size: number;
  /** Copies that were tried before, and were damaged or of other content. */
  readonly badCopies: number;
  /** The content, in pieces. Every piece is proved again as it is read; throws when what was good is so no more. */
  content(options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<Uint8Array>;
  /** All of the content, when it is small enough to be held: at most `SMALL_BYTES`. */
  readonly bytes: Uint8Array | undefined;
}

export type PoolAnswer =
  | VerifiedFile
  /** No snapshot has it. */
  | { readonly status: "missing" }
  /** Every copy is damaged, or of another content than its name says. */
  | { readonly status: "corrupt"; readonly copies: number; readonly reason: string };

/** Files up to this size are verified in memory; larger ones are read once to verify them, and again for their content. */
export const SMALL_BYTES: number = 8 << 20;

/** Opens a pool. Throws what the storages throw, CANCELLED; damage is told and passed over. */
export async function openPool(options: PoolOptions): Promise<Pool> {
  const { onDamage, signal } = options;
  const ordered = options.sources.toSorted((a, b) => rank(a.kind) - rank(b.kind));
  const sources: PoolSource[] = [];
  for (const source of ordered) {
    sources.push(await PoolSource.open({ ...source, onDamage, signal }));
  }
  const pool = new Pool(sources, options);
  await pool.walk(signal);
  return pool;
}

function rank(kind: "snapshots" | "captures"): number {
  return kind === "captures" ? 0 : 1;
}

export class Pool {
  readonly #sources: readonly PoolSource[];
  readonly #options: PoolOptions;
  readonly #names: Sha1Set;
  readonly #copies = new Copies();
  /** Copies whose blobs no index has, by the number of their name. */
  readonly #lost = new Map<number, number>();
  readonly #walking = new Semaphore(1);
  #walked = 0;
  /** Wanted names with a copy. */
  #found = 0;

  /** Use `openPool`. */
  constructor(sources: readonly PoolSource[], options: PoolOptions) {
    this.#sources = sources;
    this.#options = options;
    this.#names = options.wanted ?? new Sha1Set();
  }

  /** All names that this pool knows of: those that were wanted, or all that there are. */
  get names(): Sha1Set {
    return this.#names;
  }

  /** The repositories of captures, with their captures from the newest to the oldest. */
  get captures(): readonly Pick<PoolSource, "reader" | "snapshots">[] {
    return this.#sources.filter(({ kind }) => kind === "captures");
  }

  /** Snapshots and captures that were walked, and all that there are. */
  get walked(): { readonly walked: number; readonly total: number } {
    return { walked: this.#walked, total: this.#total() };
  }

  /** True when a copy is there. Only reading it tells whether it is good. */
  has(sha1: string): boolean {
    const name = this.#names.indexOf(sha1);
    return name !== -1 && this.#copies.has(name);
  }

  /** The copies that are known by now, in the order in which they are tried. */
  copies(sha1: string): PoolCopy[] {
    const name = this.#names.indexOf(sha1);
    return name === -1 ? [] : this.#copies.of(name).map((copy) => this.#copyOf(copy));
  }

  /** All copies there are; walks every snapshot. */
  async allCopies(
    sha1: string,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<PoolCopy[]> {
    while (!this.#isDone()) await this.#advance(signal);
    return this.copies(sha1);
  }

  /**
   * A verified copy of the file: the first one in order whose content has that SHA-1. Throws what the storages throw, which is
   * never taken for damage, and CANCELLED.
   */
  async read(
    sha1: string,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<PoolAnswer> {
    const name = this.#names.indexOf(sha1);
    if (name === -1) return { status: "missing" };
    let tried = 0;
    let reason = "";
    for (;;) {
      const copies = this.#copies.of(name);
      while (tried < copies.length) {
        const copy = copies[tried]!;
        const answer = await this.#tryCopy(sha1, copy, { badCopies: tried, signal });
        if (typeof answer !== "string") return answer;
        reason = answer;
        tried++;
      }
      if (this.#isDone()) break;
      await this.#advance(signal);
    }
    const lost = this.#lost.get(name) ?? 0;
    if (tried + lost === 0) return { status: "missing" };
    return {
      status: "corrupt",
      copies: tried + lost,
      reason: reason === "" ? "its blobs are in no index" : reason,
    };
  }

  /**
   * Reads many files, in the order in which they lie in the repositories, and gives each answer to `take` once. A few
   * run at once, and what they return is awaited before more is read. Throws what `read` throws, and what `take` does.
   */
  async readMany(
    names: Iterable<string>,
    take: (sha1: string, answer: PoolAnswer) => void | Promise<void>,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    const { signal } = options;
    const other = async (sha1: string): Promise<void> =>
      await take(sha1, await this.read(sha1, { signal }));
    const unknown: string[] = [];
    const numbers = (function* (known: Sha1Set): Generator<number, void> {
      for (const sha1 of names) {
        const number = known.indexOf(sha1);
        if (number === -1) unknown.push(sha1);
        else yield number;
      }
    })(this.#names);
    await readMany({
      sources: this.#sources,
      names: numbers,
      firstCopy: (name) => this.#copies.first(name),
      small: async (name, copy, bytes) => {
        const sha1 = this.#names.at(name);
        if (hash("sha1", bytes, "hex") === sha1) await take(sha1, this.#held(copy, bytes, 0));
        else await other(sha1);
      },
      other: async (name) => await other(this.#names.at(name)),
      smallBytes: SMALL_BYTES,
      signal,
    });
    for (const sha1 of unknown) await other(sha1);
  }

  /** Walks snapshots until every wanted name has a copy, or all of them. Called by `openPool`. */
  async walk(signal: AbortSignal | undefined): Promise<void> {
    const { wanted } = this.#options;
    while (!this.#isDone() && (wanted === undefined || this.#found < wanted.size)) {
      await this.#advance(signal);
    }
  }

  #isDone(): boolean {
    return this.#sources.every((source) => source.isDone);
  }

  #total(): number {
    return this.#sources.reduce((sum, { snapshots }) => sum + snapshots.length, 0);
  }

  /** Walks one more snapshot. */
  async #advance(signal: AbortSignal | undefined): Promise<void> {
    await this.#walking.run(async () => {
      const number = this.#sources.findIndex((source) => !source.isDone);
      if (number === -1) return;
      const source = this.#sources[number]!;
      await source.advance((node, snapshot) => this.#visit(node, { number, snapshot }), signal);
      this.#walked++;
      this.#options.onWalk?.(this.#walked, this.#total());
    }, signal);
  }

  #visit(node: TreeNode, where: { number: number; snapshot: number }): void {
    const { name: sha1, content } = node;
    const isOpen = this.#options.wanted === undefined;
    const name = isOpen ? this.#names.add(sha1) : this.#names.indexOf(sha1);
    if (name === -1) return;
    const entries = this.#sources[where.number]!.entriesOf(content ?? []);
    if (entries === undefined || content === null) {
      this.#lost.set(name, (this.#lost.get(name) ?? 0) + 1);
      return;
    }
    const isFirst = !this.#copies.has(name);
    this.#copies.add(name, { source: where.number, snapshot: where.snapshot, entries });
    if (isFirst) this.#found++;
  }

  #copyOf({ source: number, snapshot, entries }: StoredCopy): PoolCopy {
    const source = this.#sources[number]!;
    return {
      content: entries.map((entry) => source.reader.index.idAt(entry)),
      size: source.sizeOf(entries),
      snapshot: source.snapshots[snapshot]!.id,
      kind: source.kind,
    };
  }

  /** The verified file, or why this copy is none. */
  async #tryCopy(
    sha1: string,
    copy: StoredCopy,
    { badCopies, signal }: { badCopies: number; signal: AbortSignal | undefined },
  ): Promise<VerifiedFile | string> {
    const { kind, snapshot, size } = this.#copyOf(copy);
    const sum = createHash("sha1");
    const isSmall = size <= SMALL_BYTES;
    const kept: Uint8Array[] = [];
    const what = `${sha1} in ${kind === "captures" ? "capture" : "snapshot"} ${snapshot}`;
    try {
      for await (const piece of this.#pieces(copy, signal)) {
        sum.update(piece);
        if (isSmall) kept.push(piece);
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#options.onDamage(what, error);
      return error.message;
    }
    const found = sum.digest("hex");
    if (found !== sha1) {
      const why = found === EMPTY_SHA1 ? "it is empty" : `its content has the SHA-1 ${found}`;
      this.#options.onDamage(what, new HoldfastError("ODOO_FILE_TORN", why));
      return why;
    }
    if (isSmall) {
      const bytes = kept.length === 1 ? kept[0]! : Buffer.concat(kept);
      return this.#held(copy, bytes, badCopies);
    }
    return {
      status: "found",
      copy: this.#copyOf(copy),
      size,
      badCopies,
      bytes: undefined,
      // Blobs are named by their SHA-256: the same ones again are the same content again.
      content: (options = {}) => this.#pieces(copy, options.signal ?? signal),
    };
  }

  #held(copy: StoredCopy, bytes: Uint8Array, badCopies: number): VerifiedFile {
    return {
      status: "found",
      copy: this.#copyOf(copy),
      size: bytes.length,
      badCopies,
      bytes,
      async *content() {
        yield await Promise.resolve(bytes);
      },
    };
  }

  /** The blobs of a copy in order, the next one fetched while one is looked at. */
  async *#pieces(
    { source: number, entries }: StoredCopy,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array, void> {
    const { reader } = this.#sources[number]!;
    const ask = (at: number): Promise<Uint8Array> | undefined => {
      if (at >= entries.length) return undefined;
      const blob = reader.read("data", reader.index.idAt(entries[at]!), signal);
      // Told when its turn comes.
      blob.catch(() => {});
      return blob;
    };
    let next = ask(0);
    for (let at = 0; next !== undefined; at++) {
      const now = next;
      next = ask(at + 1);
      yield await now;
    }
  }
}
