// Objects as files below a directory of this machine, in restic's local layout: the key is the path.
// A put writes `<name>-tmp-<random>` beside the final name, syncs it, links it into place and syncs the directory
// (docs/decisions/storage.md). It never replaces a file and never follows a key out of the root by its name.

import { constants } from "node:fs";
import { open, rename, stat, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { toHex } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import { systemClock, systemRandom } from "../base/clock.ts";
import type { Random } from "../base/clock.ts";
import { eachLimit } from "../base/concurrency.ts";
import { errnoOf, HoldfastError, isHoldfastError } from "../base/errors.ts";
import { checkKey, isKey, normalPrefix } from "./keys.ts";
import { DirectoryMaker } from "./local/directories.ts";
import { isAbsent, storageError } from "./local/errno.ts";
import { isStored, placeFile, refuseTaken } from "./local/place.ts";
import { QuickCalls } from "./local/quick-calls.ts";
import { uploadToFile } from "./local/upload.ts";
import { assertRoot, walkFiles } from "./local/walk.ts";
import { fillFile, syncDirectory, syncFile, takesDirectWrites } from "./local/write.ts";
import { lengthWithin, rangeOf } from "./ranges.ts";
import type {
  CallOptions,
  GetOptions,
  ListOptions,
  Storage,
  StorageTraits,
  StoredObject,
  Upload,
} from "./storage.ts";

export interface LocalStorageOptions {
  /** The directory; a relative path is resolved when the storage is opened. */
  root: string;
  /** Make the directory (and its parents) when it is missing; otherwise that is STORAGE_NOT_FOUND. */
  create?: boolean;
  /** Names the temporary files; the machine's random source by default. */
  random?: Random;
}

/** A read of unknown memory need not be trusted beyond this before the file's size is known. */
const UNCHECKED_BYTES_MAX = 1024 * 1024;

/** One call reads at most this much, so that an abort does not wait for the whole of a large object. */
const PIECE_BYTES = 64 * 1024 * 1024;

/** How reading tells that the name is that of a directory, a pipe or a socket. */
const NO_FILE = new Set(["EISDIR", "ESPIPE", "ENXIO"]);

/** Read-only for the owner, as restic leaves its files; the group too where it may read the repository. */
const FILE_MODE = 0o400;
const DIRECTORY_MODE = 0o700;

/** Opens the directory `root` as a storage. */
export async function openLocalStorage(options: LocalStorageOptions): Promise<Storage> {
  const root = resolve(options.root);
  if (options.create) {
    try {
      await new DirectoryMaker("", DIRECTORY_MODE).make(root);
    } catch (error) {
      throw storageError(error, "create", root);
    }
  }
  await assertRoot(root);
  try {
    const shared = await isGroupReadable(root);
    const direct = await takesDirectWrites(root);
    return new LocalStorage({ root, shared, direct, random: options.random ?? systemRandom });
  } catch (error) {
    throw storageError(error, "open", root);
  }
}

/** As restic: a repository whose config the group may read is shared with that group. */
async function isGroupReadable(root: string): Promise<boolean> {
  try {
    return ((await stat(join(root, "config"))).mode & 0o040) !== 0;
  } catch {
    return false;
  }
}

interface LocalFacts {
  root: string;
  /** The group may read and write. */
  shared: boolean;
  /** The file system takes direct writes. */
  direct: boolean;
  random: Random;
}

class LocalStorage implements Storage {
  readonly location: string;
  // Four threads serve all file calls of a process; more requests at once would only wait.
  readonly traits: StorageTraits = { local: true, strongLists: true, connections: 4 };
  readonly #root: string;
  readonly #fileMode: number;
  readonly #directories: DirectoryMaker;
  readonly #random: Random;
  readonly #quick = new QuickCalls(systemClock);
  // Both turn false for good when the file system refuses once.
  #direct: boolean;
  #links = true;

  constructor(facts: LocalFacts) {
    this.location = facts.root;
    this.#root = facts.root;
    this.#fileMode = facts.shared ? FILE_MODE | 0o040 : FILE_MODE;
    this.#directories = new DirectoryMaker(facts.root, facts.shared ? 0o770 : DIRECTORY_MODE);
    this.#direct = facts.direct;
    this.#random = facts.random;
  }

  async put(key: string, body: Uint8Array, options: CallOptions = {}): Promise<void> {
    checkKey(key);
    throwIfCancelled(options.signal);
    const path = join(this.#root, key);
    try {
      // Looking first spares the writing, and lets a put be repeated on a disk that is full by now.
      const stored = await isStored(path, body, key);
      if (!stored) await this.#store(key, path, body, options.signal);
      await syncDirectory(dirname(path));
      await this.#directories.settled(dirname(path));
    } catch (error) {
      throw putError(error, key);
    }
  }

  async replace(key: string, body: Uint8Array, options: CallOptions = {}): Promise<void> {
    checkKey(key);
    throwIfCancelled(options.signal);
    const path = join(this.#root, key);
    const temporary = this.#temporaryFor(path);
    try {
      const handle = await this.#createFile(temporary);
      try {
        await this.#write(handle, temporary, body, options.signal);
        await rename(temporary, path);
      } catch (error) {
        await unlink(temporary).catch(() => undefined);
        throw error;
      }
      await syncDirectory(dirname(path));
      await this.#directories.settled(dirname(path));
    } catch (error) {
      throw putError(error, key);
    }
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkKey(key);
    const range = rangeOf(key, options);
    throwIfCancelled(options.signal);
    if (options.into === undefined) {
      const found = this.#quick.read(join(this.#root, key), range.offset, range.length);
      await this.#quick.rest();
      throwIfCancelled(options.signal);
      if (found !== undefined) return found;
    }
    let handle: FileHandle | undefined;
    try {
      // O_NONBLOCK: a pipe of that name must not hold the process up.
      const flags = constants.O_RDONLY | constants.O_NONBLOCK;
      handle = await open(join(this.#root, key), flags);
      let { length } = range;
      if (length === undefined || (options.into === undefined && length > UNCHECKED_BYTES_MAX)) {
        length = lengthWithin(key, range, await sizeOf(handle, key));
      }
      const memory = options.into?.subarray(0, length) ?? Buffer.allocUnsafeSlow(length);
      const read = await readInto(handle, memory, range.offset, options.signal);
      // Zero bytes say nothing about where the file ends or whether it is one.
      if (read < length || length === 0) lengthWithin(key, range, await sizeOf(handle, key));
      if (read < length) {
        throw new HoldfastError("STORAGE_FAILED", `${key} ended while it was read`);
      }
      return memory;
    } catch (error) {
      const errno = errnoOf(error) ?? "";
      throw NO_FILE.has(errno) ? notFound(key) : storageError(error, "read", key);
    } finally {
      await handle?.close().catch(() => undefined);
    }
  }

  async stat(key: string, options: CallOptions = {}): Promise<StoredObject> {
    checkKey(key);
    throwIfCancelled(options.signal);
    try {
      const stats = await stat(join(this.#root, key));
      if (!stats.isFile()) throw notFound(key);
      return { key, size: stats.size };
    } catch (error) {
      throw storageError(error, "look up", key);
    }
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<StoredObject> {
    const { after = "" } = options;
    const wanted = (key: string): boolean => key > after && isKey(key);
    const walk = { wanted, signal: options.signal, quick: this.#quick };
    for await (const { key, stats } of walkFiles(this.#root, normalPrefix(prefix), walk)) {
      yield { key, size: stats.size, modified: stats.mtimeMs };
    }
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    checkKey(key);
    throwIfCancelled(options.signal);
    const path = join(this.#root, key);
    try {
      await unlink(path);
    } catch (error) {
      // A directory of that name is no object; POSIX systems tell it as EPERM, Linux as EISDIR.
      if (isAbsent(error) || errnoOf(error) === "EISDIR") return;
      if (errnoOf(error) === "EPERM" && (await isDirectory(path))) return;
      throw storageError(error, "delete", key);
    }
  }

  async deleteMany(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    await eachLimit(
      keys,
      this.traits.connections,
      (key, _, signal) => this.delete(key, { signal }),
      options,
    );
  }

  async startUpload(key: string, options: CallOptions = {}): Promise<Upload> {
    checkKey(key);
    throwIfCancelled(options.signal);
    const path = join(this.#root, key);
    try {
      await refuseTaken(path, key);
      const temporary = this.#temporaryFor(path);
      const handle = await this.#createFile(temporary);
      return uploadToFile({
        key,
        handle,
        complete: async () => {
          await protect(handle, this.#fileMode);
          await syncFile(handle);
        },
        place: async () => {
          const links = await placeFile(temporary, path, undefined, { key, links: this.#links });
          if (!links) this.#links = false;
          await syncDirectory(dirname(path));
          await this.#directories.settled(dirname(path));
        },
        discard: () => unlink(temporary).catch(() => undefined),
      });
    } catch (error) {
      throw putError(error, key);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #temporaryFor(path: string): string {
    return `${path}-tmp-${toHex(this.#random(8))}`;
  }

  async #store(
    key: string,
    path: string,
    body: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const temporary = this.#temporaryFor(path);
    const handle = await this.#createFile(temporary);
    try {
      await this.#write(handle, temporary, body, signal);
      const links = await placeFile(temporary, path, body, { key, links: this.#links });
      if (!links) this.#links = false;
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  }

  /** A new file for writing; the directories on the way are made when they are missing. */
  async #createFile(path: string): Promise<FileHandle> {
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY;
    const mode = this.#fileMode | 0o200;
    try {
      return await open(path, flags, mode);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      await this.#directories.make(dirname(path));
      return await open(path, flags, mode);
    }
  }

  /** Writes, protects, syncs and closes; a failing close counts, because network mounts report errors there. */
  async #write(
    handle: FileHandle,
    path: string,
    body: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    try {
      const direct = await fillFile(handle, path, body, { direct: this.#direct, signal });
      if (!direct) this.#direct = false;
      await protect(handle, this.#fileMode);
      await syncFile(handle);
    } catch (error) {
      await handle.close().catch(() => undefined);
      throw error;
    }
    await handle.close();
    throwIfCancelled(signal);
  }
}

/** Makes the file read-only; where modes cannot be set (exFAT, some network mounts) it stays as it is. */
async function protect(handle: FileHandle, mode: number): Promise<void> {
  try {
    await handle.chmod(mode);
  } catch (error) {
    const errno = errnoOf(error) ?? "";
    if (!["EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(errno)) throw error;
  }
}

async function readInto(
  handle: FileHandle,
  memory: Uint8Array,
  position: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  let done = 0;
  while (done < memory.length) {
    const length = Math.min(PIECE_BYTES, memory.length - done);
    const { bytesRead } = await handle.read(memory, done, length, position + done);
    throwIfCancelled(signal);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

async function sizeOf(handle: FileHandle, key: string): Promise<number> {
  const stats = await handle.stat();
  if (!stats.isFile()) throw notFound(key);
  return stats.size;
}

async function isDirectory(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  return stats?.isDirectory() ?? false;
}

function notFound(key: string): HoldfastError {
  return new HoldfastError("STORAGE_NOT_FOUND", `cannot read ${key}: it is not a file`);
}

/** A put that finds something missing has lost its root, or a file stands where a directory should. */
function putError(error: unknown, key: string): HoldfastError {
  const told = storageError(error, "write", key);
  if (!isHoldfastError(told, "STORAGE_NOT_FOUND")) return told;
  return new HoldfastError("STORAGE_FAILED", told.message, {
    hint: "check that the repository directory is still there and its volume mounted",
    cause: error,
  });
}
