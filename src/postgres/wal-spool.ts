// WAL that was fetched before PostgreSQL asked for it: a private folder on this machine with whole, checked segments of one
// archive and one cluster. It may be deleted at any time. What is in it is looked at again before it is served: a
// spool may be old, or somebody else's.

import { constants } from "node:fs";
import {
  copyFile,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  unlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { hash } from "node:crypto";
import { toHex } from "../base/bytes.ts";
import type { Clock, Random } from "../base/clock.ts";
import { errnoOf, isHoldfastError } from "../base/errors.ts";
import { LONG_HEADER_BYTES, requireSegmentHeader } from "../barman/wal-header.ts";
import { readWalName } from "../barman/wal-name.ts";
import { syncFolder, writeSynced } from "./wal-target.ts";

export interface SpoolOptions {
  /** The folder that spools of all archives lie in. */
  readonly folder: string;
  /** Where the archive is, and its server: as it was named. */
  readonly archive: string;
  readonly server: string | undefined;
  readonly systemId: bigint;
  /** User whose folder it has to be. */
  readonly uid: number | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

/** Who fetches ahead says so at least this often, in milliseconds; later it counts as dead. */
const LEASE_MS = 10_000;
/** How long to wait for a segment that is coming, in milliseconds, and how often to look. */
const WAIT_MS = 20_000;
const LOOK_MS = 10;
const LEASE_FILE = "fetching";
const WANTED_FILE = "wanted";
/** A segment that is on its way. */
const COMING = ".coming";
const ATTEMPTS_MAX = 5;

/** The spool of one archive for one cluster. */
export class WalSpool {
  readonly folder: string;
  readonly #options: SpoolOptions;

  constructor(options: SpoolOptions) {
    const { folder, archive, server = "", systemId } = options;
    const key = hash("sha256", `${archive}\n${server}\n${systemId}`).slice(0, 24);
    this.folder = join(folder, key);
    this.#options = options;
  }

  /** Makes the folder. Throws for one that others could write to. */
  async make(): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    if (!(await this.#isPrivate())) {
      throw new Error(`${this.folder} belongs to somebody else, or others may write to it`);
    }
  }

  /** Moves a segment to `target`, also one that is just coming. Its bytes; undefined when it is not here, or not what it should be. */
  async take(name: string, target: string, signal?: AbortSignal): Promise<number | undefined> {
    const { clock } = this.#options;
    const until = clock.monotonic() + WAIT_MS;
    for (;;) {
      const moved = await this.#move(name, target);
      if (moved !== undefined) return moved;
      const isComing = (await this.look()).coming.has(name) && (await this.isFetching());
      // It may have come between the two looks.
      if (!isComing || clock.monotonic() > until) return await this.#move(name, target);
      await clock.sleep(LOOK_MS, signal);
    }
  }

  async #move(name: string, target: string): Promise<number | undefined> {
    const path = join(this.folder, name);
    const size = (await this.#isPrivate()) ? await this.#sizeOf(path, name) : undefined;
    if (size === undefined) return undefined;
    try {
      await rename(path, target);
    } catch (error) {
      if (errnoOf(error) !== "EXDEV") return undefined;
      await this.#copy(path, target);
    }
    await syncFolder(dirname(target));
    return size;
  }

  /** Stores a segment that was checked. */
  async put(name: string, content: Uint8Array): Promise<void> {
    const temporary = join(this.folder, `${name}.tmp-${toHex(this.#options.random(6))}`);
    try {
      await writeSynced(temporary, content);
      await rename(temporary, join(this.folder, name));
    } finally {
      await unlink(temporary).catch(() => undefined);
    }
  }

  /** Names of the segments that are here, and of those on their way. */
  async look(): Promise<{ here: Set<string>; coming: Set<string> }> {
    const names = await readdir(this.folder).catch(() => []);
    const here = new Set(names.filter((name) => readWalName(name)?.kind === "segment"));
    const coming = names
      .filter((name) => name.endsWith(COMING))
      .map((name) => basename(name, COMING));
    return { here, coming: new Set(coming) };
  }

  /** Runs `work` while the segment counts as being on its way. */
  async announcing(name: string, work: () => Promise<void>): Promise<void> {
    const path = join(this.folder, name + COMING);
    await writeSynced(path, new Uint8Array(0)).catch(() => undefined);
    try {
      await work();
    } finally {
      await unlink(path).catch(() => undefined);
    }
  }

  async drop(name: string): Promise<void> {
    await unlink(join(this.folder, name)).catch(() => undefined);
  }

  /** Tells whoever fetches ahead which segment PostgreSQL was last given. */
  async want(name: string): Promise<void> {
    const temporary = join(this.folder, `${WANTED_FILE}.tmp-${toHex(this.#options.random(6))}`);
    for (let attempt = 1; ; attempt++) {
      try {
        await this.make();
        await writeFile(temporary, name, { flag: "wx", mode: 0o600 });
        await rename(temporary, join(this.folder, WANTED_FILE));
        return;
      } catch (error) {
        // Whoever fetches ahead takes the folder away at its end, which may be in this very moment.
        if (errnoOf(error) !== "ENOENT" || attempt === ATTEMPTS_MAX) throw error;
      }
    }
  }

  /** What `want` was last told; undefined without it, or when the folder is gone. */
  async wanted(): Promise<string | undefined> {
    const text = await readFile(join(this.folder, WANTED_FILE), "latin1").catch(() => "");
    return readWalName(text)?.kind === "segment" ? text : undefined;
  }

  /** True while a process that fetches ahead is alive. */
  async isFetching(): Promise<boolean> {
    try {
      const { mtimeMs } = await lstat(join(this.folder, LEASE_FILE));
      return Math.abs(this.#options.clock.now() - mtimeMs) < LEASE_MS;
    } catch {
      return false;
    }
  }

  /** Takes the right to fetch ahead; undefined when another process has it. */
  async lease(): Promise<Lease | undefined> {
    await this.make();
    const path = join(this.folder, LEASE_FILE);
    const mark = toHex(this.#options.random(8));
    if (!(await this.isFetching())) await this.#tidy();
    try {
      await writeSynced(path, Buffer.from(mark));
    } catch (error) {
      if (errnoOf(error) === "EEXIST") return undefined;
      throw error;
    }
    const { clock } = this.#options;
    return {
      renew: async () => {
        // Another one may have taken it for dead, or the folder is gone with the server.
        const found = await readFile(path, "latin1").catch(() => "");
        if (found !== mark) return false;
        const now = new Date(clock.now());
        await utimes(path, now, now).catch(() => undefined);
        return true;
      },
      end: async () => {
        const found = await readFile(path, "latin1").catch(() => "");
        if (found === mark) await unlink(path).catch(() => undefined);
      },
    };
  }

  /** Removes what a process left that was killed. */
  async #tidy(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (name === LEASE_FILE || name.endsWith(COMING) || name.includes(".tmp-"))
        await unlink(join(this.folder, name)).catch(() => undefined);
    }
  }

  /** Removes everything. */
  async clear(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
    // What other archives have there stays.
    await rmdir(dirname(this.folder)).catch(() => undefined);
  }

  async #isPrivate(): Promise<boolean> {
    const { uid } = this.#options;
    try {
      const stats = await lstat(this.folder);
      const isOurs = uid === undefined || stats.uid === uid;
      return stats.isDirectory() && isOurs && (stats.mode & 0o022) === 0;
    } catch {
      return false;
    }
  }

  /** Bytes of the segment at `path`; undefined for anything but a whole one of that name and this cluster. */
  async #sizeOf(path: string, name: string): Promise<number | undefined> {
    try {
      const file = await open(
        path,
        constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      );
      try {
        const stats = await file.stat();
        const start = Buffer.alloc(LONG_HEADER_BYTES);
        const { bytesRead } = await file.read(start, 0, start.length, 0);
        const { systemId } = this.#options;
        const expected = { name, source: path, systemId };
        const { segmentSize } = requireSegmentHeader(start.subarray(0, bytesRead), expected);
        if (stats.isFile() && stats.size === segmentSize) return segmentSize;
      } finally {
        await file.close();
      }
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      if (errnoOf(error) === undefined && !isHoldfastError(error)) throw error;
    }
    // What is wrong here would be wrong the next time too.
    await unlink(path).catch(() => undefined);
    return undefined;
  }

  async #copy(path: string, target: string): Promise<void> {
    const temporary = `${target}.holdfast-${toHex(this.#options.random(6))}`;
    try {
      await copyFile(path, temporary, constants.COPYFILE_EXCL);
      await rename(temporary, target);
    } finally {
      await unlink(temporary).catch(() => undefined);
    }
    await unlink(path).catch(() => undefined);
  }
}

/** The right to fetch ahead. */
export interface Lease {
  /** False when it is lost. */
  renew(): Promise<boolean>;
  end(): Promise<void>;
}
