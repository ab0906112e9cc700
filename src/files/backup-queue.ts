// The files of a backup that have to be read: collected into batches for the workers, and told apart again when they
// come back.

import type { Id } from "../base/bytes.ts";
import { toHex } from "../base/bytes.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import type { Change, Frame } from "./backup-frame.ts";
import type { BatchResult, FileFailure } from "./backup-messages.ts";
import type { BackupStore } from "./backup-store.ts";

const BATCH_FILES = 64;
const BATCH_BYTES = 4 << 20;
/** No more files are handed over while this many bytes of trees wait to be stored. */
const TREE_BYTES_MAX = 32 << 20;

export interface QueuedFile {
  frame: Frame;
  entry: number;
  change: Change;
  /** Byte string. */
  path: string;
  /** Bytes, as lstat said. */
  size: number;
}

/** What became of a file: its blobs and the bytes read, or why it could not be read. */
export type ReadFile = { content: Id[]; size: number } | { failure: FileFailure };

export class FileQueue {
  readonly #store: BackupStore;
  readonly #onRead: (file: QueuedFile, read: ReadFile) => void;
  readonly #onCurrent: (path: string) => void;
  readonly #batches = new Map<number, QueuedFile[]>();
  #files: QueuedFile[] = [];
  #bytes = 0;
  #batchCount = 0;

  /** `onCurrent` is told the path of a file whose batch is handed over, as text. */
  constructor(
    store: BackupStore,
    onRead: (file: QueuedFile, read: ReadFile) => void,
    onCurrent: (path: string) => void,
  ) {
    this.#store = store;
    this.#onRead = onRead;
    this.#onCurrent = onCurrent;
  }

  /** Takes one more file; waits while the workers have enough. */
  async add(file: QueuedFile): Promise<void> {
    this.#files.push(file);
    this.#bytes += file.size;
    if (this.#files.length >= BATCH_FILES || this.#bytes >= BATCH_BYTES) await this.flush();
  }

  /** Hands the collected files to a worker. */
  async flush(): Promise<void> {
    const files = this.#files;
    if (files.length === 0) return;
    this.#files = [];
    this.#bytes = 0;
    const batch = this.#batchCount++;
    this.#batches.set(batch, files);
    const paths = files.map(({ path }) => path);
    this.#onCurrent(byteStringToText(paths[0]!));
    const store = this.#store;
    await store.readFiles({ type: "files", batch, paths }, (result) => this.#settle(result));
    while (store.waitingTreeBytes > TREE_BYTES_MAX) await store.settleOne();
  }

  #settle(result: BatchResult): void {
    const files = this.#batches.get(result.batch)!;
    this.#batches.delete(result.batch);
    const failures = new Map(result.failures.map((failure) => [failure.file, failure]));
    let at = 0;
    for (const [i, file] of files.entries()) {
      const failure = failures.get(i);
      if (failure !== undefined) {
        this.#onRead(file, { failure });
        continue;
      }
      const content: Id[] = [];
      for (let blob = 0; blob < result.counts[i]!; blob++, at += 32) {
        content.push(toHex(result.ids.subarray(at, at + 32)));
      }
      this.#onRead(file, { content, size: result.sizes[i]! });
    }
  }
}
