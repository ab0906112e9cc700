// Reads single blobs, from any pack that holds a sound copy (docs/formats/restic.md#packs).

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { sha256Hex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { decompressZstd } from "../restic/compression.ts";
import { unseal } from "../restic/crypto.ts";
import type { BlobIndex, BlobPlace, BlobType } from "./blob-index.ts";
import { keyOf } from "./layout.ts";
import type { Repository } from "./repository.ts";
import { TreePacks } from "./tree-packs.ts";

export class BlobReader {
  readonly #repository: Repository;
  readonly #treePacks: TreePacks;
  readonly index: BlobIndex;

  constructor(repository: Repository, index: BlobIndex) {
    this.#repository = repository;
    this.#treePacks = new TreePacks(repository);
    this.index = index;
  }

  /** The blob's plaintext, proved to match its id. BLOB_MISSING or BLOB_DAMAGED when no copy gives it. */
  async read(type: BlobType, id: Id, signal?: AbortSignal): Promise<Uint8Array> {
    const places = this.index.places(type, id);
    if (places.length === 0) {
      throw new HoldfastError("BLOB_MISSING", `${type} blob ${id} is in no index`, {
        hint: "Run `holdfast check`; a backup of the same files stores the blob again.",
      });
    }
    const failures: HoldfastError[] = [];
    for (const place of places) {
      try {
        return await this.#readPlace(id, place, signal);
      } catch (error) {
        if (!isHoldfastError(error) || error.code === "CANCELLED") throw error;
        failures.push(error);
      }
    }
    // A pack that cannot be reached for now is not damage: say so instead of giving up on the blob.
    const passing = failures.find(({ retryable, code }) => retryable || code === "STORAGE_DENIED");
    if (passing !== undefined) throw passing;
    const what = failures.map(
      ({ message }, i) => `pack ${places[i]!.pack.slice(0, 10)}: ${message}`,
    );
    throw new HoldfastError("BLOB_DAMAGED", `${type} blob ${id}: ${what.join("; ")}`, {
      hint: "Run `holdfast check --read-data`; a backup of the same files stores the blob again.",
    });
  }

  async #readPlace(id: Id, place: BlobPlace, signal?: AbortSignal): Promise<Uint8Array> {
    const repository = this.#repository;
    const { type, pack, offset, length } = place;
    const found = type === "tree" ? await this.#treePacks.find(place, signal) : undefined;
    const get = (): Promise<Uint8Array> =>
      repository.storage.get(keyOf("pack", pack), { offset, length, signal });
    try {
      return openBlob(repository, id, place, found ?? (await get()));
    } catch (error) {
      if (!isHoldfastError(error, "FILE_DAMAGED")) throw error;
      // Once more: a bit may have turned on the way.
      return openBlob(repository, id, place, await get());
    }
  }
}

/** Opens a sealed blob and proves it matches its id; FILE_DAMAGED otherwise. */
export function openBlob(
  repository: Repository,
  id: Id,
  place: { length: number; uncompressedLength: number },
  sealed: Uint8Array,
): Uint8Array {
  const plain = unseal(repository.key, sealed);
  if (plain === undefined)
    throw new HoldfastError("FILE_DAMAGED", "its authentication code is wrong");
  const content =
    place.uncompressedLength === 0 ? plain : decompressZstd(plain, place.uncompressedLength);
  if (sha256Hex(content) !== id) {
    throw new HoldfastError("FILE_DAMAGED", "its content does not match its id");
  }
  return content;
}

/**
 * The blob as it lies at one place, stored and opened, and proved to match its id; undefined when there is no sound copy at
 * that place. Throws what waiting may cure, and CANCELLED.
 */
export async function readPlace(
  repository: Repository,
  id: Id,
  place: BlobPlace,
  signal?: AbortSignal,
): Promise<{ sealed: Uint8Array; plain: Uint8Array } | undefined> {
  const { pack, offset, length } = place;
  try {
    const sealed = await repository.storage.get(keyOf("pack", pack), { offset, length, signal });
    return { sealed, plain: openBlob(repository, id, place, sealed) };
  } catch (error) {
    if (!isPermanent(error) && !isHoldfastError(error, "FILE_DAMAGED")) throw error;
    return undefined;
  }
}

/** True for a storage error that concerns one object and that waiting will not cure. */
export function isPermanent(error: unknown): error is HoldfastError {
  return (
    isHoldfastError(error, "STORAGE_NOT_FOUND", "STORAGE_FAILED", "STORAGE_DENIED") &&
    !error.retryable
  );
}
