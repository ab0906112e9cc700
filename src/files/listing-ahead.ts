// Lists directories ahead of a backup's walk in a thread of its own: looking at unchanged files is all that most
// backups do, and two threads do it in little more than half the time.
//
// The thread is started once a walk has proved long. Every second directory is left to the walk itself.

import { Worker } from "node:worker_threads";
import { workerUrl } from "../base/worker-url.ts";
import { EntryTable } from "./entry-table.ts";
import type { ListingReply, ListingRequest } from "./listing-messages.ts";

/** Entries that the walk looks at by itself first: as many as it sees while the key is derived on another core. */
const ENTRIES_FIRST = 32_768;

/** A directory as the thread found it. */
export interface Listing {
  table: EntryTable;
  failures: ListingReply["failures"];
}

export class ListingAhead {
  readonly #withAtime: boolean;
  readonly #pending = new Map<string, Promise<Listing | undefined>>();
  readonly #waiting = new Map<number, (listing: Listing | undefined) => void>();
  #worker: Worker | undefined;
  #failed = false;
  #numbers = 0;
  #entries = 0;

  constructor(withAtime: boolean) {
    this.#withAtime = withAtime;
  }

  /** The walk has looked at so many more entries. */
  seen(entries: number): void {
    this.#entries += entries;
  }

  /** The walk will soon come to the directory at `path`. */
  request(path: string): void {
    if (this.#entries < ENTRIES_FIRST || this.#failed || this.#pending.has(path)) return;
    const worker = (this.#worker ??= this.#start());
    const number = this.#numbers++;
    this.#pending.set(path, new Promise((resolve) => this.#waiting.set(number, resolve)));
    const request: ListingRequest = { number, path };
    worker.postMessage(request);
  }

  /** The listing of a directory that was requested; undefined when the walk has to look itself. */
  take(path: string): Promise<Listing | undefined> {
    const listing = this.#pending.get(path);
    this.#pending.delete(path);
    return listing ?? Promise.resolve(undefined);
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(workerUrl("listing-worker", import.meta.url), {
      workerData: { withAtime: this.#withAtime },
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    });
    worker.on("message", (reply: ListingReply) => {
      this.#waiting.get(reply.number)!(toListing(reply));
      this.#waiting.delete(reply.number);
    });
    // Without the thread the walk is slower, not wrong.
    worker.on("error", () => {
      this.#failed = true;
      for (const resolve of this.#waiting.values()) resolve(undefined);
    });
    return worker;
  }
}

function toListing({ names, packed, failures }: ListingReply): Listing {
  const table = EntryTable.fromPacked(names === "" ? [] : names.split("/"), packed);
  return { table, failures };
}
