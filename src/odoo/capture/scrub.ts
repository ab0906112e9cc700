// Looks at files that are stored already, a few at every tick: one that was changed in place, as by a program that encrypts
// what it finds, keeps its name, and no folder shows it. Its earlier content is in the pool and stays there; that the source is
// spoiled is told. Only files that changed since they were looked at last are read.

import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { throwIfCancelled } from "../../base/cancellation.ts";
import type { Clock } from "../../base/clock.ts";
import { isSha1 } from "../store-name.ts";
import type { Wrong } from "./findings.ts";
import { HeldFile, holdFile } from "./held-file.ts";

/** Files whose times are looked at in one tick. */
const FILES = 500;
/** Bytes that are read in one tick, about. */
const BYTES = 64 << 20;
/** Clocks of file servers may differ from ours by this much. */
const SKEW_MS = 10 * 60_000;
/** Spoiled files that are looked at again in one tick. */
const RECHECKED = 50;
const STEP = 1 << 20;
const STRIDE = 8;

export interface ScrubOptions {
  /** The filestore. */
  readonly folder: string;
  readonly clock: Clock;
  /** Files that changed before are as they should be: in milliseconds since 1970. */
  readonly from: number;
  /** Where to begin: any number. */
  readonly start: number;
  readonly onSpoiled: (path: string) => void;
}

/** A folder, and names in it that are still to be looked at. */
interface Position {
  readonly folder: string;
  readonly names: string[];
  /** Milliseconds since 1970. */
  readonly began: number;
}

interface Spoiled extends Wrong {
  readonly stamp: string;
}

export class Scrub {
  readonly #options: ScrubOptions;
  readonly #buffer = Buffer.allocUnsafeSlow(STEP);
  #at: Position | undefined;
  #next: number;
  /** When a folder was begun last. */
  readonly #begun = new Map<string, number>();
  readonly #spoiled = new Map<string, Spoiled>();

  constructor(options: ScrubOptions) {
    this.#options = options;
    this.#next = options.start;
  }

  /** Files that are not what their name says, though the pool has what they were. */
  get spoiled(): Iterable<Wrong> {
    return this.#spoiled.values();
  }

  /** Looks at the next files. */
  async step(
    folders: readonly string[],
    isKnown: (sha1: string) => boolean,
    signal?: AbortSignal,
  ): Promise<void> {
    let bytes = await this.#recheck();
    for (let looked = 0; looked < FILES && bytes < BYTES; looked++) {
      throwIfCancelled(signal);
      const at = this.#at ?? this.#begin(folders);
      const sha1 = at?.names.pop();
      if (at === undefined) return;
      if (sha1 === undefined) this.#finish(at);
      else if (isKnown(sha1)) bytes += await this.#look(at.folder, sha1);
    }
  }

  #begin(folders: readonly string[]): Position | undefined {
    const folder = folders[this.#next++ % Math.max(1, folders.length)];
    if (folder === undefined) return undefined;
    try {
      const names = readdirSync(`${this.#options.folder}/${folder}`).filter(isSha1);
      return (this.#at = { folder, names, began: this.#options.clock.now() });
    } catch {
      // The next tick lists it, and tells what is wrong.
      return undefined;
    }
  }

  #finish({ folder, began }: Position): void {
    this.#begun.set(folder, began);
    this.#at = undefined;
  }

  /** Bytes that were read. */
  async #look(folder: string, sha1: string): Promise<number> {
    const { folder: root, from } = this.#options;
    const since = (this.#begun.get(folder) ?? from) - SKEW_MS;
    const stat = lstatSync(`${root}/${folder}/${sha1}`, { throwIfNoEntry: false });
    if (stat === undefined || !stat.isFile() || stat.ctimeMs < since) return 0;
    return await this.#read(folder, sha1);
  }

  async #read(folder: string, sha1: string): Promise<number> {
    const held = holdFile(this.#options.folder, folder, sha1);
    if (!(held instanceof HeldFile)) {
      this.#spoiled.delete(sha1);
      return 0;
    }
    try {
      const stat = held.stat();
      const found = await this.#hash(held.descriptor);
      const before = this.#spoiled.get(sha1);
      this.#spoiled.delete(sha1);
      if (found !== sha1) {
        const since = before?.since ?? this.#options.clock.now();
        const stamp = `${stat.size} ${stat.mtimeNs}`;
        this.#spoiled.set(sha1, { sha1, folder, size: Number(stat.size), since, stamp });
        if (before === undefined) this.#options.onSpoiled(`${folder}/${sha1}`);
      }
      return Number(stat.size);
    } catch {
      // It cannot be read for now, which says nothing about what it is.
      return 0;
    } finally {
      held.close();
    }
  }

  async #hash(descriptor: number): Promise<string> {
    const hash = createHash("sha1");
    for (let position = 0, steps = 0; ;) {
      const read = readSync(descriptor, this.#buffer, 0, STEP, position);
      if (read === 0) return hash.digest("hex");
      hash.update(this.#buffer.subarray(0, read));
      position += read;
      if (++steps % STRIDE === 0) await turn();
    }
  }

  /** Those that changed again, or are gone, those first that were not looked at for the longest time. */
  async #recheck(): Promise<number> {
    let bytes = 0;
    for (const file of [...this.#spoiled.values()].slice(0, RECHECKED)) {
      const { folder, sha1, stamp } = file;
      const path = `${this.#options.folder}/${folder}/${sha1}`;
      const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
      this.#spoiled.delete(sha1);
      if (stat === undefined) continue;
      this.#spoiled.set(sha1, file);
      if (`${stat.size} ${stat.mtimeNs}` !== stamp) bytes += await this.#read(folder, sha1);
    }
    return bytes;
  }
}
