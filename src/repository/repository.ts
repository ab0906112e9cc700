// An open repository: its storage, keys and config, and the reading and writing of its sealed files.
//
// Every file read is compared with the hash that names it, then authenticated, before a byte of it is believed. What
// is written becomes visible in the order pack, index, snapshot, and disappears in the reverse order.

import type { Clock, Random } from "../base/clock.ts";
import type { ErrorCode } from "../base/errors.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { concatBytes, sha256Hex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import type { Storage } from "../storage/storage.ts";
import { releaseMemory } from "../restic/cipher-output.ts";
import { compressZstd, decompressFile } from "../restic/compression.ts";
import type { CompressionMode } from "../restic/compression.ts";
import type { RepositoryConfig } from "../restic/config.ts";
import { NONCE_BYTES, seal, unseal } from "../restic/crypto.ts";
import type { MasterKey } from "../restic/crypto.ts";
import type { Cache } from "./cache.ts";
import type { FileKind, RepositoryFile } from "./layout.ts";
import { keyOf, listFiles } from "./layout.ts";

/** What the layers below need from the machine, passed in. */
export interface Machine {
  clock: Clock;
  random: Random;
  hostname: string;
  username: string;
  uid: number;
  gid: number;
  pid: number;
  /** True when a process of this machine is alive (signal 0). */
  isAlive: (pid: number) => boolean;
}

export interface RepositoryParts {
  storage: Storage;
  machine: Machine;
  config: RepositoryConfig;
  key: MasterKey;
  keyId: Id;
  compression: CompressionMode;
  cache: Cache | undefined;
}

const DAMAGED: Record<FileKind, ErrorCode> = {
  key: "KEY_DAMAGED",
  snapshot: "SNAPSHOT_DAMAGED",
  index: "INDEX_DAMAGED",
  lock: "LOCK_DAMAGED",
  pack: "PACK_DAMAGED",
};

const ZSTD_MARK = Uint8Array.of(2);
const FILE_LEVEL = 3;

export class Repository {
  readonly storage: Storage;
  readonly machine: Machine;
  readonly config: RepositoryConfig;
  readonly key: MasterKey;
  /** The key file that opened it. */
  readonly keyId: Id;
  readonly compression: CompressionMode;
  readonly cache: Cache | undefined;

  constructor(parts: RepositoryParts) {
    this.storage = parts.storage;
    this.machine = parts.machine;
    this.config = parts.config;
    this.key = parts.key;
    this.keyId = parts.keyId;
    this.compression = parts.compression;
    this.cache = parts.cache;
  }

  /** The same repository, read past the cache. */
  withoutCache(): Repository {
    return new Repository({ ...this, cache: undefined });
  }

  /** Files of a kind, strangers left out, in no meaningful order. */
  async list(kind: FileKind, signal?: AbortSignal): Promise<RepositoryFile[]> {
    return await listFiles(this.storage, kind, signal);
  }

  /** The stored bytes of a file, proved to match its name. */
  async loadRaw(kind: FileKind, id: Id, signal?: AbortSignal): Promise<Uint8Array> {
    const cached = await this.cache?.get(kind, id);
    if (cached !== undefined) return cached;
    let bytes = await this.storage.get(keyOf(kind, id), { signal });
    // Once more: a bit may have turned on the way.
    if (sha256Hex(bytes) !== id) bytes = await this.storage.get(keyOf(kind, id), { signal });
    if (sha256Hex(bytes) !== id) {
      throw this.#damaged(kind, id, "its content does not match its name");
    }
    await this.cache?.put(kind, id, bytes);
    return bytes;
  }

  /** The JSON text of a snapshot, index or lock file, opened and authenticated: memory of the caller's own. */
  async load(kind: FileKind, id: Id, signal?: AbortSignal): Promise<Uint8Array> {
    const sealed = await this.loadRaw(kind, id, signal);
    const plain = unseal(this.key, sealed);
    releaseMemory(sealed);
    if (plain === undefined) throw this.#damaged(kind, id, "its authentication code is wrong");
    return this.#unwrap(kind, id, plain);
  }

  /**
   * Seals and stores a JSON text; resolves with its id once it is durable. The text's memory is given back: an index file has
   * megabytes, and is often followed by more.
   */
  async save(kind: FileKind, json: Uint8Array, signal?: AbortSignal): Promise<Id> {
    const plain = this.config.version === 1 ? json : compressFile(json);
    if (plain !== json) releaseMemory(json);
    const sealed = seal(this.key, plain, this.machine.random(NONCE_BYTES));
    const opened = unseal(this.key, sealed);
    const isSound = opened !== undefined && sha256Hex(opened) === sha256Hex(plain);
    releaseMemory(plain);
    if (opened !== undefined) releaseMemory(opened);
    if (!isSound) {
      throw new HoldfastError("BUG", `a ${kind} file just sealed does not open again`, {
        hint: "Nothing damaged was stored. Check this machine's memory, then report this.",
      });
    }
    const id = sha256Hex(sealed);
    await this.storage.put(keyOf(kind, id), sealed, { signal });
    await this.cache?.put(kind, id, sealed);
    releaseMemory(sealed);
    return id;
  }

  /** Deletes a file; absence is success. */
  async remove(kind: FileKind, id: Id, signal?: AbortSignal): Promise<void> {
    await this.cache?.remove(kind, id);
    await this.storage.delete(keyOf(kind, id), { signal });
  }

  /** docs/formats/restic.md#layout: `{` or `[` is JSON as it is, 2 is zstd. */
  #unwrap(kind: FileKind, id: Id, plain: Uint8Array): Uint8Array {
    const mark = plain[0];
    if (mark === 0x7b || mark === 0x5b) return plain;
    if (mark !== 2) throw this.#damaged(kind, id, "its form is unknown");
    try {
      const content = decompressFile(plain.subarray(1));
      releaseMemory(plain);
      return content;
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      throw this.#damaged(kind, id, "its compressed content is damaged");
    }
  }

  #damaged(kind: FileKind, id: Id, why: string): HoldfastError {
    const where = `${kind} ${id} in ${this.storage.location}`;
    const hint =
      kind === "lock"
        ? "When nothing else uses the repository, remove it with `unlock --remove-all`."
        : "Run `holdfast check` for the whole picture before anything else writes here.";
    return new HoldfastError(DAMAGED[kind], `${where} is damaged: ${why}`, { hint });
  }
}

/** The form in which format 2 seals a file. */
function compressFile(json: Uint8Array): Uint8Array {
  const compressed = compressZstd(json, FILE_LEVEL);
  const marked = concatBytes([ZSTD_MARK, compressed]);
  releaseMemory(compressed);
  return marked;
}
