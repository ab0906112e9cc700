// Writes index files for packs that are durable (docs/formats/restic.md#index): never for one that is not.

import type { Id } from "../base/bytes.ts";
import { IndexFileBuilder } from "../restic/index-file-builder.ts";
import type { Repository } from "./repository.ts";

/** restic's bounds: an index file names up to 50,000 blobs, and what is 10 minutes old is written out. */
const BLOBS_MAX = 50_000;
const AGE_MAX_MS = 10 * 60_000;
/**
 * The first file is written sooner, and the time to the next grows by half: a run that is killed loses a third of its
 * work at most, and a long one leaves hardly more files than restic does.
 */
const AGE_FIRST_MS = 15_000;
const AGE_GROWTH = 1.5;

export class IndexWriter {
  readonly #repository: Repository;
  #builder: IndexFileBuilder | undefined;
  #since = 0;
  #ageMax = AGE_FIRST_MS;
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
    if (this.#builder === undefined) {
      this.#builder = new IndexFileBuilder();
      this.#since = clock.now();
    }
    this.#builder.addPack(pack, header);
    const isOld = clock.now() - this.#since >= this.#ageMax;
    if (isOld) this.#ageMax = Math.min(this.#ageMax * AGE_GROWTH, AGE_MAX_MS);
    if (this.#builder.blobs >= BLOBS_MAX || isOld) await this.flush(signal);
  }

  /** Writes what is recorded. */
  async flush(signal?: AbortSignal): Promise<void> {
    const builder = this.#builder;
    if (builder === undefined) return;
    this.#builder = undefined;
    this.#written.push(await this.#repository.save("index", builder.finish(), signal));
  }
}
