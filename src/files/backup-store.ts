// What a walk needs of the repository: earlier trees, the workers that read files, and a place for new trees.
//
// The repository opens while the walk already runs (deriving the key takes as long as looking at 50,000 files). The index
// is loaded, and workers are started, only when something has to be read or written: an unchanged source needs neither.

import type { Id } from "../base/bytes.ts";
import { isHoldfastError } from "../base/errors.ts";
import type { BlobIndex } from "../repository/blob-index.ts";
import { BlobReader } from "../repository/blob-reader.ts";
import { loadIndex } from "../repository/index-loader.ts";
import type { RepositoryFile } from "../repository/layout.ts";
import type { Repository } from "../repository/repository.ts";
import type { WriterCounts } from "../repository/writer.ts";
import { RepositoryWriter } from "../repository/writer.ts";
import type { Snapshot } from "../restic/snapshot.ts";
import type { BackupRequest, BatchResult } from "./backup-messages.ts";
import { BackupPool } from "./backup-pool.ts";
import type { ScanCache } from "./scan-cache.ts";

/** An opened and locked repository. */
export interface BackupSession {
  repository: Repository;
  /** Aborts when the lock is lost. */
  signal: AbortSignal;
  parent: { id: Id; snapshot: Snapshot } | undefined;
  indexFiles: RepositoryFile[];
}

export interface BackupStoreOptions {
  session: Promise<BackupSession>;
  workers: number;
  packSize: number;
  verify: boolean;
  dryRun: boolean;
  /** The scan cache that the walk relies on. */
  cache: ScanCache | undefined;
  onBytes: (bytes: number) => void;
}

/** How long a run that has failed may take to write its last index file: whoever stopped it waits. */
const SALVAGE_MS = 10_000;

/** Thrown to start the walk again without the scan cache: the repository is not the one it was made with. */
export class StaleScanCache extends Error {}

interface Opened {
  session: BackupSession;
  writer: RepositoryWriter;
  index: BlobIndex;
  reader: BlobReader;
  pool: BackupPool;
}

export class BackupStore {
  readonly #options: BackupStoreOptions;
  readonly #results = new Map<number, (result: BatchResult) => void>();
  #opening: Promise<Opened> | undefined;
  #opened: Opened | undefined;
  #failure: unknown;

  constructor(options: BackupStoreOptions) {
    this.#options = options;
    // A failed or stale session ends the walk at its next step.
    this.session().catch((error: unknown) => (this.#failure ??= error));
  }

  /** The session, once it is known that the scan cache holds for it. */
  async session(): Promise<BackupSession> {
    const session = await this.#options.session;
    const present = new Set(session.indexFiles.map(({ id }) => id));
    const { cache } = this.#options;
    if (cache !== undefined && !cache.holdsFor(session.repository.config.id, present)) {
      throw new StaleScanCache();
    }
    return session;
  }

  async parentTree(): Promise<Id | undefined> {
    return (await this.session()).parent?.snapshot.tree;
  }

  async readTree(id: Id): Promise<Uint8Array> {
    const { reader, session } = await this.#open();
    return reader.read("tree", id, session.signal);
  }

  /** True when the blob is in the index; only after readTree gave a tree that names it. */
  hasData(id: Uint8Array): boolean {
    return this.#opened?.index.has("data", id) ?? false;
  }

  /** Hands a batch to a worker as soon as one has room. */
  async readFiles(
    request: BackupRequest & { type: "files" },
    onResult: (result: BatchResult) => void,
  ): Promise<void> {
    const { pool } = await this.#open();
    this.#results.set(request.batch, onResult);
    await pool.room();
    pool.submit(request);
  }

  async addTree(json: Uint8Array): Promise<Id> {
    return (await this.#open()).writer.addTree(json);
  }

  get waitingTreeBytes(): number {
    return this.#opened?.writer.waitingTreeBytes ?? 0;
  }

  /** Waits for one store under way. */
  async settleOne(): Promise<void> {
    await this.#opened?.writer.settleOne();
  }

  /** Waits until all files handed over are read. */
  async finishFiles(): Promise<void> {
    await this.#opened?.pool.finish();
    this.check();
  }

  /** Makes everything durable; index files written, and what was added. */
  async settle(): Promise<{ indexFiles: readonly Id[]; counts: WriterCounts }> {
    await this.session();
    const none = { dataBlobs: 0, treeBlobs: 0, added: 0, addedPacked: 0 };
    if (this.#opened === undefined) return { indexFiles: [], counts: none };
    const { writer, pool } = this.#opened;
    // Whoever calls this: no pack may still be on its way when the index is written.
    await pool.finish();
    await writer.finish();
    return { indexFiles: writer.indexFiles, counts: writer.counts };
  }

  /** Lets the walk end with this failure. */
  abort(error: unknown): void {
    this.#failure ??= error;
  }

  /** Throws a failure that happened beside the walk. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
    this.#opened?.writer.check();
  }

  /** Stops the workers. Resolves to what was opened, if anything. */
  async close(): Promise<Opened | undefined> {
    const opened = this.#opened ?? (await this.#opening?.catch(() => undefined));
    await opened?.pool.terminate();
    return opened;
  }

  /** After a failure: stops the workers and lets the next run find what this one stored. Never throws. */
  async salvage(): Promise<void> {
    const opened = await this.close();
    // Without a lock nothing may be written.
    if (opened === undefined || isHoldfastError(opened.session.signal.reason, "LOCK_LOST")) return;
    const { clock } = opened.session.repository.machine;
    const done = new AbortController();
    const late = new AbortController();
    clock.sleep(SALVAGE_MS, done.signal).then(
      () => late.abort(),
      () => {},
    );
    await opened.writer.salvage(late.signal).catch(() => {});
    done.abort();
  }

  #open(): Promise<Opened> {
    this.#opening ??= this.#load();
    return this.#opening;
  }

  async #load(): Promise<Opened> {
    const session = await this.session();
    const { repository, signal } = session;
    const { workers, packSize, verify, dryRun, onBytes } = this.#options;
    const writer = new RepositoryWriter({ repository, packSize, verify, dryRun, signal });
    const { index } = await loadIndex(repository, { signal, files: session.indexFiles });
    writer.useIndex(index);
    const onResult = (batch: number, result: BatchResult): void => {
      writer.counts.dataBlobs += result.newBlobs;
      writer.counts.added += result.added;
      writer.counts.addedPacked += result.addedPacked;
      this.#results.get(batch)!(result);
      this.#results.delete(batch);
    };
    const pool = new BackupPool({
      repository,
      index,
      writer,
      workers,
      packSize,
      verify,
      onBytes,
      onResult,
    });
    this.#opened = { session, writer, index, reader: new BlobReader(repository, index), pool };
    return this.#opened;
  }
}
