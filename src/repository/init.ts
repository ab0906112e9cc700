// Making a new repository: first its key, then the config that makes it one (docs/formats/restic.md#config).

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { toHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import type { Storage } from "../storage/storage.ts";
import { encodeConfig } from "../restic/config.ts";
import { NONCE_BYTES, seal } from "../restic/crypto.ts";
import { derivePolynomial } from "../restic/polynomial.ts";
import { addKey, newMasterKey } from "./keys.ts";
import { CONFIG_KEY, keyOf, prefixOf } from "./layout.ts";
import type { Machine } from "./repository.ts";

export interface InitOptions {
  storage: Storage;
  password: string;
  machine: Machine;
  version?: 1 | 2;
  /** Chunk with this polynomial, so that blobs can be shared with the repository it comes from. */
  chunkerPolynomial?: bigint;
  signal?: AbortSignal | undefined;
}

/** Makes a repository; REPO_EXISTS when there is one, or the rest of one whose config was lost. */
export async function initRepository(options: InitOptions): Promise<{ id: Id; version: 1 | 2 }> {
  const { storage, machine, signal } = options;
  await refuseExisting(storage, signal);
  const version = options.version ?? 2;
  const id = toHex(machine.random(32));
  const chunkerPolynomial = options.chunkerPolynomial ?? derivePolynomial(machine.random);
  const master = newMasterKey(machine);
  const key = await addKey({ storage, master, password: options.password, machine, signal });
  const config = encodeConfig({ version, id, chunkerPolynomial, extra: {} });
  try {
    // Last and create-only: of two that make a repository here at once, one wins.
    await storage.put(CONFIG_KEY, seal(master, config, machine.random(NONCE_BYTES)), { signal });
  } catch (error) {
    if (!isHoldfastError(error, "STORAGE_EXISTS")) throw error;
    // Our key opens nothing here, and would only be in the way of those that do.
    await storage.delete(keyOf("key", key), { signal });
    throw alreadyExists(storage);
  }
  return { id, version };
}

function alreadyExists(storage: Storage): HoldfastError {
  return new HoldfastError("REPO_EXISTS", `config file already exists in ${storage.location}`, {
    hint: "There is a repository here already; back up into it, or choose another place.",
  });
}

async function refuseExisting(storage: Storage, signal?: AbortSignal): Promise<void> {
  try {
    await storage.stat(CONFIG_KEY, { signal });
  } catch (error) {
    if (!isHoldfastError(error, "STORAGE_NOT_FOUND")) throw error;
    for (const kind of ["key", "snapshot"] as const) {
      for await (const object of storage.list(prefixOf(kind), { signal })) {
        throw new HoldfastError(
          "REPO_EXISTS",
          `${storage.location} has no config but still holds ${object.key}`,
          {
            hint: "This is what remains of a repository. Bring its config back, or choose another place.",
          },
        );
      }
    }
    return;
  }
  throw alreadyExists(storage);
}
