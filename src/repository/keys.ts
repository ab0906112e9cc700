// Key files: one for each password, each holding the same master key (docs/formats/restic.md#keys).

import { availableParallelism } from "node:os";
import { HoldfastError } from "../base/errors.ts";
import { concatBytes, sha256Hex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { formatTime } from "../restic/go-time.ts";
import { NONCE_BYTES, deriveKey, seal, splitKey, unseal } from "../restic/crypto.ts";
import type { MasterKey, ScryptParameters } from "../restic/crypto.ts";
import { decodeKeyFile, encodeKeyFile } from "../restic/key-file.ts";
import type { Storage } from "../storage/storage.ts";
import { isHoldfastError } from "../base/errors.ts";
import { deriveKeyInThreads } from "./derive-key.ts";
import { keyOf } from "./layout.ts";
import type { Machine, Repository } from "./repository.ts";

/** Cost of a new key: 64 MiB and about 0.2 s, the memory bound restic uses as well. */
const NEW_KEY = { N: 65536, r: 8, p: 1 } as const;
const SALT_BYTES = 64;

export interface KeyInfo {
  id: Id;
  current: boolean;
  username: string;
  hostname: string;
  /** RFC 3339, "" when the writer did not say. */
  created: string;
}

/** The master key, or undefined when the password is not this key's. KEY_DAMAGED when it is no key file. */
export async function openKeyFile(
  bytes: Uint8Array,
  password: string,
): Promise<MasterKey | undefined> {
  const file = decodeKeyFile(bytes);
  const derived = await deriveKeyInThreads(password, file, availableParallelism());
  const plain = unseal(derived, file.data);
  return plain === undefined ? undefined : decodeMasterKey(plain);
}

/** Stores a key file that opens `master` with `password`; its id. */
export async function addKey(options: {
  storage: Storage;
  master: MasterKey;
  password: string;
  machine: Machine;
  username?: string;
  hostname?: string;
  signal?: AbortSignal | undefined;
}): Promise<Id> {
  const { storage, master, machine } = options;
  const parameters: ScryptParameters = { ...NEW_KEY, salt: machine.random(SALT_BYTES) };
  const derived = await deriveKey(options.password, parameters);
  const file = encodeKeyFile({
    created: formatTime(machine.clock.nowNanoseconds()),
    username: options.username ?? machine.username,
    hostname: options.hostname ?? machine.hostname,
    ...parameters,
    data: seal(derived, encodeMasterKey(master), machine.random(NONCE_BYTES)),
  });
  if ((await openKeyFile(file, options.password)) === undefined) {
    throw new HoldfastError("BUG", "a key file just made does not open again");
  }
  const id = sha256Hex(file);
  await storage.put(keyOf("key", id), file, { signal: options.signal });
  return id;
}

/** All key files that can be read; damaged ones are left out here and reported by check. */
export async function listKeys(repository: Repository, signal?: AbortSignal): Promise<KeyInfo[]> {
  const keys: KeyInfo[] = [];
  for (const { id } of await repository.list("key", signal)) {
    try {
      const file = decodeKeyFile(await repository.storage.get(keyOf("key", id), { signal }));
      const { username, hostname, created } = file;
      keys.push({ id, current: id === repository.keyId, username, hostname, created });
    } catch (error) {
      if (!isHoldfastError(error, "KEY_DAMAGED", "STORAGE_NOT_FOUND")) throw error;
    }
  }
  return keys.sort((a, b) => (a.created < b.created ? -1 : 1));
}

/** Deletes a key, never the one in use: a repository must not lose its last way in. */
export async function removeKey(
  repository: Repository,
  id: Id,
  signal?: AbortSignal,
): Promise<void> {
  if (id === repository.keyId) {
    throw new HoldfastError("USAGE", "refusing to remove the key that opened this repository", {
      hint: "Open it with another password to remove this one.",
    });
  }
  await repository.remove("key", id, signal);
}

/** A new random master key. */
export function newMasterKey(machine: Machine): MasterKey {
  return splitKey(concatBytes([machine.random(32), machine.random(16), machine.random(16)]));
}

function encodeMasterKey(key: MasterKey): Buffer {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  return Buffer.from(
    JSON.stringify({
      mac: { k: base64(key.macK), r: base64(key.macR) },
      encrypt: base64(key.encrypt),
    }),
  );
}

function decodeMasterKey(plain: Uint8Array): MasterKey {
  try {
    const value = JSON.parse(Buffer.from(plain).toString()) as {
      mac: { k: string; r: string };
      encrypt: string;
    };
    const key = {
      encrypt: Buffer.from(value.encrypt, "base64"),
      macK: Buffer.from(value.mac.k, "base64"),
      macR: Buffer.from(value.mac.r, "base64"),
    };
    const sound = key.encrypt.length === 32 && key.macK.length === 16 && key.macR.length === 16;
    if (sound) return key;
  } catch {
    // Falls through to the one error below.
  }
  throw new HoldfastError("KEY_DAMAGED", "the key file holds no valid master key");
}
