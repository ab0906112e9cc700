// Writes index files for packs that are durable (docs/formats/restic.md#index): never for one that is not.

import { toHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { encodeIndexFile } from "../restic/index-file.ts";
import type { IndexPack } from "../restic/index-file.ts";
import { decodePackHeader } from "../restic/pack-header.ts";
import type { Repository } from "./repository.ts";

/** restic's bounds: an index file names up to 50,000 blobs, and what is 10 minutes old is written out. */
const BLOBS_MAX = 50_000;
const AGE_MAX_MS = 10 * 60_000;

export class IndexWriter {
  readonly #repository: Repository;
  #packs: IndexPack[] = [];
  #blobs = 0;
  #since = 0;
  readonly #written: Id[] = [];

  constructor(repository: Repository) {
    this.#repository = repository;
  }

  /** Ids of the index files written. */
  get written(): readonly Id[] {
    return this.#written;
  }

  /** Records a durable pack by its plain header. Resolves once due index files are durable too. */
  async add(pack: Uint8Array, header: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { clock } = this.#repository.machine;
    if (this.#packs.length === 0) this.#since = clock.now();
    const blobs = decodePackHeader(header);
    this.#packs.push({ id: toHex(pack), blobs });
    this.#blobs += blobs.length;
    if (this.#blobs >= BLOBS_MAX || clock.now() - this.#since >= AGE_MAX_MS)
      await this.flush(signal);
  }

  /** Writes what is recorded. */
  async flush(signal?: AbortSignal): Promise<void> {
    if (this.#packs.length === 0) return;
    const packs = this.#packs;
    this.#packs = [];
    this.#blobs = 0;
    this.#written.push(await this.#repository.save("index", encodeIndexFile(packs), signal));
  }
}
