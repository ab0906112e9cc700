// Takes new files in: opened the moment they are seen, read until their content is that of their name, and stored then.
//
// Odoo writes files in place, so most that are seen at once are half-written: they are read again after short pauses, and at
// the next ticks, from the same open file. One that stays as it is, or has been so for long, is corrupt at the source: it is
// reported, looked at again now and then, and never stored.

import type { BigIntStats } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { errnoOf } from "../../base/errors.ts";
import { throwIfCancelled } from "../../base/cancellation.ts";
import type { StoredContent } from "./capture-writer.ts";
import type { Candidate } from "./filestore-source.ts";
import { HeldFile, holdFile } from "./held-file.ts";

/** Files that are open at once: those that were seen first; others are opened when their turn comes. */
const HELD_MAX = 256;
/** Pauses in a tick before half-written files are read again, in milliseconds. */
const PAUSES = [20, 40, 80, 160, 320, 640];
/** A file of wrong content that has not changed for this long is not being written. */
const OLD_MS = 10 * 60_000;
/** Nor is one that did not change during this many ticks. */
const TICKS_MAX = 3;
/** Files larger than this are read once in a tick. */
const LARGE_BYTES = 64n << 20n;
/** Corrupt files that are looked at again in one tick. */
const RECHECKED = 100;

/** A file with the content of its name, which is stored. */
export interface TakenFile extends StoredContent {
  readonly sha1: string;
  readonly folder: string;
  readonly stat: BigIntStats;
}

/** A file whose content is not that of its name, and is not going to be. */
export interface CorruptFile {
  readonly sha1: string;
  readonly folder: string;
  readonly size: number;
  readonly mtime: bigint;
  /** When it was found, in milliseconds since 1970. */
  readonly since: number;
}

interface TornFile {
  readonly held: HeldFile;
  /** Bytes, when it was read last. */
  size: number;
  /** Size and time when it was read last, when it was looked at last, and at the end of the last tick. */
  read: string;
  looked: string;
  aged: string;
  /** Ticks in which it did not change. */
  ticks: number;
}

export interface IntakeOptions {
  readonly folder: string;
  readonly clock: Clock;
  /** Stores the content of an open file; undefined when its SHA-1 is another one. */
  readonly store: (file: HeldFile) => Promise<StoredContent | undefined>;
  /** Takes a file that was stored. */
  readonly onTaken: (file: TakenFile) => Promise<void>;
  /** True when the name is known to be in the pool. */
  readonly isKnown: (sha1: string) => boolean;
  readonly onStranger: (path: string) => void;
  readonly onCorrupt: (file: CorruptFile) => void;
}

export class Intake {
  readonly #options: IntakeOptions;
  readonly #waiting = new Map<string, Candidate | HeldFile>();
  #open = 0;
  /** Taken, and open until the capture that has them is durable: then they can be taken once more if it fails. */
  readonly #taken = new Map<string, HeldFile>();
  readonly #torn = new Map<string, TornFile>();
  readonly #corrupt = new Map<string, CorruptFile>();
  /** Half-written ones beyond those. */
  readonly #later = new Map<string, Candidate>();
  /** Names that may not be read for now. */
  readonly #unreadable = new Map<string, Candidate>();

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** How many files are being written. */
  get torn(): number {
    return this.#torn.size + this.#later.size;
  }

  get corrupt(): ReadonlyMap<string, CorruptFile> {
    return this.#corrupt;
  }

  get unreadable(): ReadonlyMap<string, Candidate> {
    return this.#unreadable;
  }

  /** Files that are there and could not be taken, because they are being written or cannot be read. */
  get unsettled(): Omit<CorruptFile, "mtime">[] {
    const since = this.#options.clock.now();
    const torn = [...this.#torn.values()].map(({ held: { sha1, folder }, size }) => ({
      sha1,
      folder,
      size,
      since,
    }));
    const others = [...this.#unreadable.values(), ...this.#later.values()];
    return [...torn, ...others.map((one) => ({ ...one, size: 0, since }))];
  }

  /** True when there is no need to offer the name: it waits already, or is known to be corrupt. */
  has(sha1: string): boolean {
    return this.#waiting.has(sha1) || this.#torn.has(sha1) || this.#corrupt.has(sha1);
  }

  /** Takes a name that was seen, and opens it if not too many are open. */
  offer(candidate: Candidate): void {
    const { sha1 } = candidate;
    if (this.has(sha1)) return;
    const held = this.#open < HELD_MAX ? this.#hold(candidate) : candidate;
    if (held !== undefined) this.#waiting.set(sha1, held);
  }

  /** Reads everything that waits. Files that are still half-written wait for the next tick. */
  async run(signal?: AbortSignal): Promise<void> {
    const again = [...this.#unreadable.values(), ...this.#later.values()];
    this.#later.clear();
    for (const candidate of again) this.offer(candidate);
    this.#offerCorrupt();
    await this.#takeWaiting(signal);
    await this.#takeTorn(signal);
  }

  /** Whether a file is there under a name that was not seen: it is taken like any other. False when there is none. */
  offerUnseen(candidate: Candidate): boolean {
    if (this.has(candidate.sha1)) return true;
    const held = this.#hold(candidate);
    if (held !== undefined) this.#waiting.set(candidate.sha1, held);
    return held !== undefined || this.#unreadable.has(candidate.sha1);
  }

  /** Reads what waits, and nothing else. */
  async takeWaiting(signal?: AbortSignal): Promise<void> {
    await this.#takeWaiting(signal);
  }

  /** What was taken is durable. */
  committed(): void {
    for (const held of this.#taken.values()) held.close();
    this.#taken.clear();
  }

  /** What was taken since the last commit is lost: what is still open is taken again, the rest is to be listed again. */
  failed(): void {
    for (const [sha1, held] of this.#taken) {
      this.#open++;
      this.#waiting.set(sha1, held);
    }
    this.#taken.clear();
  }

  /** Closes all files. */
  close(): void {
    this.committed();
    for (const held of this.#waiting.values()) {
      if (held instanceof HeldFile) this.#release(held);
    }
    for (const { held } of this.#torn.values()) this.#release(held);
    this.#waiting.clear();
    this.#torn.clear();
  }

  #hold(candidate: Candidate): HeldFile | undefined {
    const { folder, onStranger } = this.#options;
    let held: ReturnType<typeof holdFile>;
    try {
      held = holdFile(folder, candidate.folder, candidate.sha1);
    } catch {
      // No more files can be open: it is opened when others are closed.
      held = "unreadable";
    }
    if (held instanceof HeldFile) {
      this.#unreadable.delete(candidate.sha1);
      this.#open++;
      return held;
    }
    if (held === "unreadable") this.#unreadable.set(candidate.sha1, candidate);
    else this.#unreadable.delete(candidate.sha1);
    if (held === "stranger") onStranger(`${candidate.folder}/${candidate.sha1}`);
    return undefined;
  }

  #release(held: HeldFile): void {
    held.close();
    this.#open--;
  }

  async #takeWaiting(signal: AbortSignal | undefined): Promise<void> {
    for (const [sha1, waiting] of this.#waiting) {
      throwIfCancelled(signal);
      const held = waiting instanceof HeldFile ? waiting : this.#hold(waiting);
      // Still in the list while it is read, so that a failure leaves it there.
      if (held !== undefined) {
        this.#waiting.set(sha1, held);
        await this.#take(held);
      }
      this.#waiting.delete(sha1);
    }
  }

  async #take(held: HeldFile): Promise<void> {
    const { isKnown, store, onTaken } = this.#options;
    const { sha1, folder } = held;
    if (isKnown(sha1)) {
      this.#forget(held);
      return;
    }
    let before: BigIntStats;
    let stored: StoredContent | undefined;
    let after: BigIntStats;
    try {
      before = held.stat();
      stored = await store(held);
      after = held.stat();
    } catch (error) {
      // An error of the source is one of this file alone.
      if (!["EIO", "ESTALE", "EACCES"].includes(errnoOf(error) ?? "")) throw error;
      this.#forget(held);
      this.#unreadable.set(sha1, { sha1, folder });
      return;
    }
    if (stored === undefined) {
      this.#setTorn(held, before, after);
      return;
    }
    await onTaken({ ...stored, sha1, folder, stat: after });
    this.#torn.delete(sha1);
    this.#corrupt.delete(sha1);
    this.#open--;
    if (this.#taken.size < HELD_MAX) this.#taken.set(sha1, held);
    else held.close();
  }

  #forget(held: HeldFile): void {
    this.#release(held);
    this.#torn.delete(held.sha1);
    this.#corrupt.delete(held.sha1);
  }

  /** `before` and `after` it was read. */
  #setTorn(held: HeldFile, before: BigIntStats, after: BigIntStats): void {
    const { clock } = this.#options;
    const known = this.#torn.get(held.sha1);
    const stamp = stampOf(before);
    const age = clock.now() - Number(before.mtimeNs / 1_000_000n);
    const size = Number(after.size);
    if (known !== undefined) Object.assign(known, { read: stamp, size });
    else if (age > OLD_MS && stamp === stampOf(after)) this.#setCorrupt(held, before);
    else if (this.#torn.size >= HELD_MAX) {
      // Too many to keep open: it is opened again at the next tick.
      this.#release(held);
      this.#later.set(held.sha1, { sha1: held.sha1, folder: held.folder });
    } else {
      const torn = { held, size, read: stamp, looked: stamp, aged: stamp, ticks: 0 };
      this.#torn.set(held.sha1, torn);
    }
  }

  #setCorrupt(held: HeldFile, { size, mtimeNs }: BigIntStats): void {
    const { sha1, folder } = held;
    this.#torn.delete(sha1);
    this.#release(held);
    const known = this.#corrupt.get(sha1);
    const since = known?.since ?? this.#options.clock.now();
    const file = { sha1, folder, size: Number(size), mtime: mtimeNs, since };
    this.#corrupt.set(sha1, file);
    if (known === undefined) this.#options.onCorrupt(file);
  }

  async #takeTorn(signal: AbortSignal | undefined): Promise<void> {
    for (const [number, pause] of PAUSES.entries()) {
      if (this.#torn.size === 0) return;
      await this.#pause(pause, signal);
      const all = [...this.#torn.values()];
      for (const torn of all) {
        throwIfCancelled(signal);
        if (this.#isWorthReading(torn, number === 0)) await this.#take(torn.held);
      }
    }
    const left = [...this.#torn.values()];
    for (const torn of left) this.#age(torn);
  }

  async #pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#options.clock.sleep(milliseconds, signal);
    } catch (error) {
      throwIfCancelled(signal);
      throw error;
    }
  }

  /** A large file that is still growing would be read to no purpose, again and again. */
  #isWorthReading(torn: TornFile, isFirst: boolean): boolean {
    const stat = this.#statTorn(torn);
    if (stat === undefined) return false;
    if (stat.size <= LARGE_BYTES) return true;
    const stamp = stampOf(stat);
    const isQuiet = stamp === torn.looked;
    torn.looked = stamp;
    return isFirst && isQuiet;
  }

  /** A tick is over: has it changed since the last one? */
  #age(torn: TornFile): void {
    const stat = this.#statTorn(torn);
    if (stat === undefined) return;
    const stamp = stampOf(stat);
    torn.ticks = stamp === torn.aged ? torn.ticks + 1 : 0;
    torn.aged = stamp;
    if (torn.ticks >= TICKS_MAX && torn.read === stamp) this.#setCorrupt(torn.held, stat);
  }

  /**
   * Undefined when it has no name any more, and was read since it changed last: given up half-written, or replaced, and then
   * the new one is looked at.
   */
  #statTorn({ held, read }: TornFile): BigIntStats | undefined {
    try {
      const stat = held.stat();
      if (stat.nlink > 0n || stampOf(stat) !== read) return stat;
    } catch {
      // As good as gone.
    }
    this.#forget(held);
    this.offer({ sha1: held.sha1, folder: held.folder });
    return undefined;
  }

  /** Looks at some corrupt files again, those that were not looked at for the longest time first. */
  #offerCorrupt(): void {
    const { folder } = this.#options;
    const some = [...this.#corrupt].slice(0, RECHECKED);
    for (const [sha1, file] of some) {
      this.#corrupt.delete(sha1);
      if (this.#options.isKnown(sha1)) continue;
      const held = holdFile(folder, file.folder, sha1);
      if (held === "unreadable") this.#corrupt.set(sha1, file);
      if (!(held instanceof HeldFile)) continue;
      const { size, mtimeNs } = held.stat();
      if (Number(size) === file.size && mtimeNs === file.mtime) {
        held.close();
        // Behind all others.
        this.#corrupt.set(sha1, file);
        continue;
      }
      this.#open++;
      this.#waiting.set(sha1, held);
    }
  }
}

function stampOf({ size, mtimeNs }: BigIntStats): string {
  return `${size} ${mtimeNs}`;
}
