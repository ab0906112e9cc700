// The folder that a filestore is recovered into: new, or what an earlier recovery of ours left unfinished, which a mark in it
// tells. A file appears under its name only when all of it is written. Follows no links; never writes into a folder that
// somebody else filled.

import {
  chmodSync,
  chownSync,
  closeSync,
  fchmodSync,
  fchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { eachLimit } from "../../base/concurrency.ts";
import { toHex } from "../../base/bytes.ts";
import type { Random } from "../../base/clock.ts";
import { errnoOf, HoldfastError, messageOf } from "../../base/errors.ts";
import type { ServerAccount } from "../../postgres/server-process.ts";
import { isSha1, isStoreFolder } from "../store-name.ts";

/** Stands in the folder until the recovery is complete and durable. */
export const STORE_MARK = ".holdfast-recovery-is-incomplete";
const TEMPORARY = /^\.holdfast-[0-9a-f]{16}-\d+$/;
const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;
const SYNCS_AT_ONCE = 16;
const PIECE_BYTES = 1 << 20;

export interface StoreFolderOptions {
  /** Absolute. */
  readonly path: string;
  /** Who owns what is written; undefined is whoever we are. */
  readonly account: ServerAccount | undefined;
  readonly random: Random;
}

/** A folder that is ours to fill. */
export class StoreFolder {
  readonly path: string;
  /** True when an earlier recovery left files in it. */
  readonly isResumed: boolean;
  readonly #account: ServerAccount | undefined;
  readonly #token: string;
  /** Folders of files that are there, by their names. */
  readonly #folders = new Set<string>();
  readonly #written: string[] = [];
  #temporaries = 0;

  private constructor(options: StoreFolderOptions, state: { isResumed: boolean; token: string }) {
    this.path = options.path;
    this.isResumed = state.isResumed;
    this.#account = options.account;
    this.#token = state.token;
  }

  /**
   * Throws TARGET_UNWRITABLE when a recovery into the folder must not begin: it is no folder, a link, or not empty. Writes
   * nothing.
   */
  static look(path: string): "absent" | "empty" | "left" {
    try {
      if (!lstatSync(path).isDirectory()) throw unwritable(path, "it is not a directory");
      const names = readdirSync(path);
      if (names.length === 0) return "empty";
      if (names.includes(STORE_MARK)) return "left";
      throw unwritable(path, `it is not empty: it has ${JSON.stringify(names[0])}`);
    } catch (error) {
      if (error instanceof HoldfastError) throw error;
      if (errnoOf(error) === "ENOENT") return "absent";
      throw unwritable(path, messageOf(error), error);
    }
  }

  /** Makes the folder, or takes over what is left there. Throws TARGET_UNWRITABLE. */
  static claim(options: StoreFolderOptions): StoreFolder {
    const { path, account, random } = options;
    const state = StoreFolder.look(path);
    const token = toHex(random(8));
    try {
      if (state === "absent") {
        mkdirSync(dirname(path), { recursive: true });
        mkdirSync(path, { mode: FOLDER_MODE });
      }
      chmodSync(path, FOLDER_MODE);
      if (account) chownSync(path, account.uid, account.gid);
      const mark = join(path, STORE_MARK);
      if (state !== "left") writeFileSync(mark, token, { flag: "wx", mode: 0o600 });
      else {
        const next = join(path, `.holdfast-${token}-0`);
        writeFileSync(next, token, { flag: "wx", mode: 0o600 });
        renameSync(next, mark);
      }
    } catch (error) {
      throw unwritable(path, messageOf(error), error);
    }
    return new StoreFolder(options, { isResumed: state === "left", token });
  }

  /**
   * What an earlier recovery left: good files of `isWanted` stay and are given to `keep` with their size; everything else that is
   * ours is removed. Throws TARGET_UNWRITABLE for what no recovery writes.
   */
  sweep(isWanted: (path: string) => boolean, keep: (sha1: string, bytes: number) => void): void {
    for (const name of readdirSync(this.path)) {
      const path = join(this.path, name);
      if (name === STORE_MARK) continue;
      if (TEMPORARY.test(name)) rmSync(path);
      else if (!isStoreFolder(name) || !lstatSync(path).isDirectory())
        throw unwritable(this.path, `it has ${JSON.stringify(name)}, which no recovery wrote`);
      else {
        this.#folders.add(name);
        this.#sweepFolder(name, isWanted, keep);
      }
    }
  }

  #sweepFolder(
    folder: string,
    isWanted: (path: string) => boolean,
    keep: (sha1: string, bytes: number) => void,
  ): void {
    for (const name of readdirSync(join(this.path, folder))) {
      const relative = `${folder}/${name}`;
      const path = join(this.path, relative);
      const stats = lstatSync(path);
      if (!stats.isFile() || !(isSha1(name) || TEMPORARY.test(name)))
        throw unwritable(this.path, `it has ${JSON.stringify(relative)}, which no recovery wrote`);
      if (isSha1(name) && isWanted(relative) && sha1OfFile(path) === name) {
        this.#written.push(relative);
        keep(name, stats.size);
      } else unlinkSync(path);
    }
  }

  /**
   * Writes one file below the folder, "ab/ab01…", from its pieces; it is there under its name when this returns. What
   * `pieces` throws is thrown, and nothing is left. Throws TARGET_UNWRITABLE.
   */
  async write(
    relative: string,
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const folder = relative.slice(0, relative.indexOf("/"));
    if (!isStoreFolder(folder) || !isSha1(relative.slice(folder.length + 1)))
      throw new HoldfastError("BUG", `${JSON.stringify(relative)} is no path of a filestore`);
    const temporary = join(
      this.path,
      folder,
      `.holdfast-${this.#token}-${(this.#temporaries += 1)}`,
    );
    let descriptor: number | undefined;
    try {
      this.#makeFolder(folder);
      descriptor = openSync(temporary, "wx", FILE_MODE);
      for await (const piece of pieces) writeWhole(descriptor, piece);
      fchmodSync(descriptor, FILE_MODE);
      if (this.#account) fchownSync(descriptor, this.#account.uid, this.#account.gid);
      closeSync(descriptor);
      descriptor = undefined;
      renameSync(temporary, join(this.path, relative));
    } catch (error) {
      if (descriptor !== undefined) closeSync(descriptor);
      rmSync(temporary, { force: true });
      if (error instanceof HoldfastError) throw error;
      throw unwritable(this.path, messageOf(error), error);
    }
    this.#written.push(relative);
  }

  #makeFolder(name: string): void {
    if (this.#folders.has(name)) return;
    const path = join(this.path, name);
    mkdirSync(path, { recursive: true, mode: FOLDER_MODE });
    chmodSync(path, FOLDER_MODE);
    if (this.#account) chownSync(path, this.#account.uid, this.#account.gid);
    this.#folders.add(name);
  }

  /** Makes all of it durable (unless told not to), and takes the mark away. Throws TARGET_UNWRITABLE. */
  async complete({
    durable,
    signal,
  }: {
    readonly durable: boolean;
    readonly signal?: AbortSignal | undefined;
  }): Promise<void> {
    try {
      if (durable) {
        // All written first: most of it is on its way to the disk already when it is asked for.
        const paths = this.#written.map((relative) => join(this.path, relative));
        await eachLimit(paths, SYNCS_AT_ONCE, syncPath, { signal });
        const folders = [...this.#folders].map((name) => join(this.path, name));
        await eachLimit([...folders, this.path], SYNCS_AT_ONCE, syncPath, { signal });
      }
      this.requireOurs();
      unlinkSync(join(this.path, STORE_MARK));
      if (durable) for (const path of [this.path, dirname(this.path)]) await syncPath(path);
    } catch (error) {
      if (error instanceof HoldfastError) throw error;
      throw unwritable(this.path, messageOf(error), error);
    }
  }

  /** Throws TARGET_UNWRITABLE when another recovery has taken the folder over. */
  requireOurs(): void {
    let token = "";
    try {
      token = readFileSync(join(this.path, STORE_MARK), "latin1");
    } catch {
      // Told below.
    }
    if (token === this.#token) return;
    throw unwritable(this.path, "another recovery into it has begun meanwhile");
  }
}

function writeWhole(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at);
}

function sha1OfFile(path: string): string {
  const sum = createHash("sha1");
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  const descriptor = openSync(path, "r");
  try {
    for (let read = -1; read !== 0;) {
      read = readSync(descriptor, piece);
      sum.update(piece.subarray(0, read));
    }
  } finally {
    closeSync(descriptor);
  }
  return sum.digest("hex");
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function unwritable(path: string, what: string, cause?: unknown): HoldfastError {
  return new HoldfastError("TARGET_UNWRITABLE", `cannot recover files into ${path}: ${what}`, {
    hint: "Name a folder that is absent or empty, on a disk with room. Files are never recovered over others.",
    cause,
  });
}
