// Opening a repository: config, then the first key file that the password opens
// (docs/formats/restic.md#config, #keys).

import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { sha256Hex } from "../base/bytes.ts";
import type { Storage } from "../storage/storage.ts";
import type { CompressionMode } from "../restic/compression.ts";
import { decodeConfig } from "../restic/config.ts";
import type { RepositoryConfig } from "../restic/config.ts";
import { unseal } from "../restic/crypto.ts";
import type { MasterKey } from "../restic/crypto.ts";
import { openCache } from "./cache.ts";
import { openKeyFile } from "./keys.ts";
import { CONFIG_KEY, idOfKey, keyOf, prefixOf } from "./layout.ts";
import { Repository } from "./repository.ts";
import type { Machine } from "./repository.ts";

export interface OpenOptions {
  storage: Storage;
  password: string;
  machine: Machine;
  /** Key id (or unique start of one) to try first. */
  keyHint?: string | undefined;
  compression?: CompressionMode;
  /** Folder of all caches; none: no cache. Not used where the storage is local. */
  cacheFolder?: string | undefined;
  /** Called when all that is left is computing: the thread is free for other work from here on. */
  onDerive?: (storage: Storage) => void;
  signal?: AbortSignal | undefined;
}

/** Most key files that are tried, as restic does: each costs half a second. */
const KEYS_MAX = 20;

/** Opens the repository. REPO_NOT_FOUND, WRONG_PASSWORD, REPO_CONFIG_DAMAGED, REPO_UNSUPPORTED or STORAGE_*. */
export async function openRepository(options: OpenOptions): Promise<Repository> {
  const { storage, machine, signal } = options;
  // Neither needs the other, and whoever is far away pays for every question; what is missing is told in this order.
  const listed = keyIds(options);
  const [config, ids] = await Promise.allSettled([loadConfig(storage, signal), listed]);
  if (config.status === "rejected") throw config.reason;
  if (ids.status === "rejected") throw ids.reason;
  const { key, keyId } = await findKey(options, ids.value);
  const opened = openConfig(storage, key, config.value);
  const cacheable = options.cacheFolder !== undefined && !storage.traits.local;
  const now = machine.clock.now();
  const cache = cacheable ? await openCache(options.cacheFolder!, opened.id, now) : undefined;
  const compression = options.compression ?? "auto";
  return new Repository({ storage, machine, config: opened, key, keyId, compression, cache });
}

async function loadConfig(storage: Storage, signal?: AbortSignal): Promise<Uint8Array> {
  try {
    return await storage.get(CONFIG_KEY, { signal });
  } catch (error) {
    if (!isHoldfastError(error, "STORAGE_NOT_FOUND")) throw error;
    throw new HoldfastError("REPO_NOT_FOUND", "unable to open config file: it does not exist", {
      hint: `Is there a repository at the following location?\n${storage.location}`,
      cause: error,
    });
  }
}

function openConfig(storage: Storage, key: MasterKey, sealed: Uint8Array): RepositoryConfig {
  const plain = unseal(key, sealed);
  if (plain === undefined) {
    throw new HoldfastError(
      "REPO_CONFIG_DAMAGED",
      `the config of ${storage.location} is damaged: its authentication code is wrong`,
      {
        hint: "Bring the file `config` back from a copy of the repository; it never changes after init.",
      },
    );
  }
  return decodeConfig(plain);
}

async function findKey(
  options: OpenOptions,
  ids: readonly Id[],
): Promise<{ key: MasterKey; keyId: Id }> {
  const { storage, signal } = options;
  const damaged: string[] = [];
  for (const id of ids.slice(0, KEYS_MAX)) {
    try {
      const bytes = await storage.get(keyOf("key", id), { signal });
      if (sha256Hex(bytes) !== id) throw new HoldfastError("KEY_DAMAGED", "content changed");
      options.onDerive?.(storage);
      const key = await openKeyFile(bytes, options.password);
      if (key !== undefined) return { key, keyId: id };
    } catch (error) {
      if (!isHoldfastError(error, "KEY_DAMAGED", "STORAGE_NOT_FOUND")) throw error;
      damaged.push(`${id.slice(0, 8)} (${messageOf(error)})`);
    }
  }
  throw noKey(storage, ids.length, damaged);
}

/** Ids of the key files, the hinted one first. */
async function keyIds(options: OpenOptions): Promise<Id[]> {
  const ids: Id[] = [];
  for await (const object of options.storage.list(prefixOf("key"), { signal: options.signal })) {
    const id = idOfKey(object);
    if (id !== undefined) ids.push(id);
  }
  const hint = options.keyHint;
  const first = (id: Id): number =>
    hint !== undefined && hint !== "" && id.startsWith(hint) ? 0 : 1;
  return ids.sort((a, b) => first(a) - first(b) || (a < b ? -1 : 1));
}

function noKey(storage: Storage, count: number, damaged: string[]): HoldfastError {
  if (damaged.length > 0) {
    return new HoldfastError(
      damaged.length === count ? "KEY_DAMAGED" : "WRONG_PASSWORD",
      `no key of ${storage.location} opens with this password; damaged key files: ${damaged.join(", ")}`,
      { hint: "Bring the key files back from a copy of the repository's keys/ folder." },
    );
  }
  if (count === 0) {
    return new HoldfastError("WRONG_PASSWORD", `there is no key file in ${storage.location}`, {
      hint: "Bring the key files back from a copy of the repository's keys/ folder.",
    });
  }
  return new HoldfastError("WRONG_PASSWORD", "wrong password or no key found", {
    hint:
      count > KEYS_MAX
        ? `Only ${KEYS_MAX} of ${count} keys were tried: name yours with --key-hint.`
        : "Check the password; `RESTIC_PASSWORD_FILE` and `--password-command` are trimmed of white space.",
  });
}
