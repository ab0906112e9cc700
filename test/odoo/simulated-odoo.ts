// An Odoo at work: people attach, replace, delete and attach again, pictures and asset bundles come and go, transactions are
// given up, and the collector runs, all on a real PostgreSQL server and a real folder. It writes in the order of the version
// that it plays: up to 18 the file before its row, from 19 the row before its file, both before the commit. It knows the truth
// that a recovery is compared with (test/odoo/truth.ts), and which files were lost before anybody could have kept them.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, type ClientConfig } from "pg";
import { seededRandom, type SeededRandom } from "../../bench/data-set/random.ts";
import { storePath } from "../../src/odoo/store-name.ts";
import { createOdooSchema } from "./odoo-schema.ts";
import { bundleOf, documentOf, PICTURE_FIELDS, pictureOf } from "./simulated-content.ts";
import { SimulatedFilestore, type OdooVersion } from "./simulated-filestore.ts";
import {
  insertRow,
  insertWithoutFile,
  updateRow,
  type FileValues,
  type NewRow,
} from "./simulated-rows.ts";
import { commitTimed, Truth } from "./truth.ts";

export interface SimulatedOdooOptions {
  /** How to connect to its database, which exists and is empty or was made by an earlier one. */
  readonly connection: ClientConfig;
  /** The filestore's folder: …/filestore/<database>. Made when it is not there. */
  readonly folder: string;
  /** 19 without. */
  readonly version?: OdooVersion;
  readonly seed?: string;
  /** Attachments a second, while it runs; 40 without. */
  readonly rate?: number;
  /** How many work at once; 3 without. */
  readonly lanes?: number;
  /** Milliseconds between two collections while it runs; 3000 without. */
  readonly collectEvery?: number;
  /** 19.5 spares what was marked in the last milliseconds; 2000 without. */
  readonly grace?: number;
  /** Attachments are not deleted or replaced before they are that many milliseconds old; 0 without. */
  readonly youngest?: number;
}

export interface Counts {
  attached: number;
  replaced: number;
  deleted: number;
  givenUp: number;
  collected: number;
}

interface LiveRow {
  readonly sha1: string;
  readonly since: number;
  readonly kind: "document" | "picture" | "bundle";
}

/** One connection and what it decides by. */
interface Lane {
  readonly client: Client;
  readonly random: SeededRandom;
  /** Files of the transaction that is under way. */
  readonly written: string[];
}

export class SimulatedOdoo {
  readonly truth: Truth = new Truth();
  readonly filestore: SimulatedFilestore;
  readonly counts: Counts = { attached: 0, replaced: 0, deleted: 0, givenUp: 0, collected: 0 };
  /** Files that were not there any more when the row that refers to them was committed: Odoo's own losses. */
  readonly lostAtSource: Set<string> = new Set();
  readonly #options: Required<SimulatedOdooOptions>;
  readonly #live = new Map<number, LiveRow>();
  /** Numbers of documents whose rows are gone, for those that come back. */
  readonly #deleted: number[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #lanes: Lane[] = [];
  #tracksTime = false;
  #next = 1;
  #stop: AbortController | undefined;
  #collecting: Promise<unknown> = Promise.resolve();
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: SimulatedOdooOptions) {
    this.#options = {
      version: "19",
      seed: "odoo",
      rate: 40,
      lanes: 3,
      collectEvery: 3000,
      grace: 2000,
      youngest: 0,
      ...options,
    };
    const { folder, version, grace } = this.#options;
    this.filestore = new SimulatedFilestore(folder, version, grace);
  }

  /** Connects, and makes the tables unless they are there. */
  async open(): Promise<void> {
    const { connection, lanes, seed } = this.#options;
    for (let number = 0; number < lanes + 2; number++) {
      const client = new Client(connection);
      client.on("error", () => {});
      await client.connect();
      this.#lanes.push({ client, random: seededRandom(`${seed} lane ${number}`), written: [] });
    }
    const { client } = this.#lanes[0]!;
    const { rows } = await client.query<{ there: boolean; tracks: boolean }>(
      `SELECT to_regclass('ir_attachment') IS NOT NULL AS there,
         current_setting('track_commit_timestamp') = 'on' AS tracks`,
    );
    if (!rows[0]!.there) await createOdooSchema(client);
    this.#tracksTime = rows[0]!.tracks;
  }

  /** Files that rows refer to now, as far as this Odoo made them. */
  get referenced(): Set<string> {
    return new Set([...this.#live.values()].map(({ sha1 }) => sha1));
  }

  /** Attaches at least that many files, as fast as it goes. */
  async populate(count: number): Promise<void> {
    const lanes = this.#workers;
    const before = this.counts.attached;
    await Promise.all(
      lanes.map(async (lane) => {
        while (this.counts.attached - before < count) await this.#attach(lane);
      }),
    );
  }

  /** Does that many random things, as fast as it goes. */
  async work(actions: number): Promise<void> {
    const lanes = this.#workers;
    let left = actions;
    await Promise.all(
      lanes.map(async (lane) => {
        while (left-- > 0) await this.#act(lane);
      }),
    );
  }

  /** Collects once, as the daily action does; files that went. One at a time: they share a connection and its transaction. */
  async collect(): Promise<number> {
    const collection = this.#collecting.then(async () => {
      const removed = (await this.filestore.collect(this.#lanes[0]!.client)) ?? 0;
      this.counts.collected += removed;
      return removed;
    });
    this.#collecting = collection.catch(() => {});
    return collection;
  }

  /**
   * Somebody's mistake: that part of all documents, of those that were there at `time` (milliseconds since 1970), is deleted in
   * one transaction. How many those were.
   */
  async deleteDocuments(share: number, time: number): Promise<number> {
    const lane = this.#lanes.at(-1)!;
    const count = Math.ceil(this.#live.size * share);
    const chosen = this.#claim(lane, "document", count, time);
    if (chosen.length === 0) return 0;
    await this.#commit(lane, async () => {
      await this.#unlink(lane, chosen);
      return () => {};
    });
    return chosen.length;
  }

  /** Begins to work at its rate, until it is stopped. */
  start(): void {
    assert.equal(this.#stop, undefined, "it works already");
    const stop = (this.#stop = new AbortController());
    const lanes = this.#workers;
    const { rate, collectEvery } = this.#options;
    const pace = async (lane: Lane): Promise<void> => {
      let due = performance.now();
      while (!stop.signal.aborted) {
        due += (Math.max(1, await this.#act(lane)) * lanes.length * 1000) / rate;
        await pause(due - performance.now(), stop.signal);
      }
    };
    const collecting = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        await pause(collectEvery, stop.signal);
        if (!stop.signal.aborted) await this.collect();
      }
    };
    // One that fails ends the others; `stop` throws what it was.
    const all = [...lanes.map(pace), collecting()];
    for (const work of all) work.catch(() => stop.abort());
    this.#running = Promise.all(all);
    this.#running.catch(() => {});
  }

  /** Lets everybody finish what they are at. Throws what ended one of them early. */
  async stop(): Promise<void> {
    this.#stop?.abort();
    await this.#running;
    this.#stop = undefined;
  }

  async close(): Promise<void> {
    try {
      await this.stop();
    } finally {
      for (const { client } of this.#lanes.splice(0)) await client.end().catch(() => {});
    }
  }

  /** The first connection is the collector's, the last one that of whoever makes mistakes. */
  get #workers(): Lane[] {
    return this.#lanes.slice(1, -1);
  }

  /** One thing that somebody does; how many attachments it wrote. */
  async #act(lane: Lane): Promise<number> {
    const before = this.counts.attached;
    const roll = lane.random.unit();
    if (roll < 0.4) await this.#attach(lane);
    else if (roll < 0.48) await this.#attachAgain(lane, "live");
    else if (roll < 0.54) await this.#attachAgain(lane, "deleted");
    else if (roll < 0.64) await this.#replace(lane);
    else if (roll < 0.82) await this.#delete(lane);
    else if (roll < 0.87) await this.#giveUp(lane);
    else if (roll < 0.9) await this.#replaceBundle(lane);
    else if (roll < 0.97) await this.#attachPicture(lane);
    else await this.#attachWithoutFile(lane);
    return this.counts.attached - before;
  }

  async #attach(lane: Lane): Promise<void> {
    await this.#attachDocument(lane, this.#next++);
  }

  /** Content that is there already, under another row, or that was there once. */
  async #attachAgain(lane: Lane, which: "live" | "deleted"): Promise<void> {
    const numbers = which === "deleted" ? this.#deleted : [...this.#numbers.values()];
    const number = numbers[lane.random.between(0, numbers.length)];
    await this.#attachDocument(lane, number ?? this.#next++);
  }

  async #attachDocument(lane: Lane, number: number): Promise<void> {
    const document = documentOf(this.#options.seed, number);
    const record = lane.random.between(1, 400);
    await this.#commit(lane, async () => {
      const [id, sha1] = await this.#insert(lane, { ...document, model: "account.move", record });
      this.#numbers.set(sha1, number);
      return () => this.#live.set(id, { sha1, since: Date.now(), kind: "document" });
    });
  }

  async #attachPicture(lane: Lane): Promise<void> {
    const pictures = pictureOf(this.#options.seed, this.#next++);
    const record = lane.random.between(1, 200);
    await this.#commit(lane, async () => {
      const made: [number, string][] = [];
      for (const [at, picture] of pictures.entries()) {
        const field = PICTURE_FIELDS[at]![0];
        const row = { ...picture, model: "res.partner", record, field };
        made.push(await this.#insert(lane, row));
      }
      return () => {
        for (const [id, sha1] of made)
          this.#live.set(id, { sha1, since: Date.now(), kind: "picture" });
      };
    });
  }

  /** Another content on the same row. */
  async #replace(lane: Lane): Promise<void> {
    const [chosen] = this.#claim(lane, "document", 1);
    if (!chosen) return await this.#attach(lane);
    const [id, { sha1: old }] = chosen;
    const { content, mimetype, name } = documentOf(this.#options.seed, this.#next++);
    await this.#commit(lane, async () => {
      const sha1 = await this.#store(lane, content, async (values) => {
        await updateRow(lane.client, id, { name, mimetype }, values);
      });
      this.filestore.mark(old);
      this.counts.replaced++;
      return () => this.#live.set(id, { sha1, since: Date.now(), kind: "document" });
    });
  }

  async #delete(lane: Lane): Promise<void> {
    const chosen = this.#claim(lane, "document", lane.random.between(1, 3));
    if (chosen.length === 0) return await this.#attach(lane);
    await this.#commit(lane, async () => {
      await this.#unlink(lane, chosen);
      return () => {
        for (const [, { sha1 }] of chosen) {
          const number = this.#numbers.get(sha1);
          if (number !== undefined) this.#deleted.push(number);
        }
      };
    });
  }

  /** A new bundle, whose row replaces that of the one before. */
  async #replaceBundle(lane: Lane): Promise<void> {
    const old = this.#claim(lane, "bundle", 1);
    const number = this.#next++;
    const bundle = bundleOf(this.#options.seed, number);
    const url = `/web/assets/${number.toString(16).padStart(7, "0")}/${bundle.name}`;
    await this.#commit(lane, async () => {
      const row = { ...bundle, model: "ir.ui.view", record: 0, url };
      const [id, sha1] = await this.#insert(lane, row);
      if (old.length > 0) await this.#unlink(lane, old);
      return () => this.#live.set(id, { sha1, since: Date.now(), kind: "bundle" });
    });
  }

  /** An upload that ends in an error after its file was written. */
  async #giveUp(lane: Lane): Promise<void> {
    const document = documentOf(this.#options.seed, this.#next++);
    await lane.client.query("BEGIN");
    await this.#insert(lane, { ...document, model: "account.move", record: 1 });
    await lane.client.query("ROLLBACK");
    this.counts.givenUp++;
    this.counts.attached--;
  }

  /** Rows that refer to no file: an address, content in the database, nothing at all. */
  async #attachWithoutFile(lane: Lane): Promise<void> {
    const number = this.#next++;
    await this.#commit(lane, async () => {
      await insertWithoutFile(lane.client, number);
      return () => {};
    });
  }

  /** Rows for whoever wants to change them, old enough; nobody else gets them before they are back in `#live`. */
  #claim(
    lane: Lane,
    kind: LiveRow["kind"],
    count: number,
    newest: number = Date.now() - this.#options.youngest,
  ): [id: number, row: LiveRow][] {
    const fit = [...this.#live].filter(([, row]) => row.kind === kind && row.since <= newest);
    const claimed: [number, LiveRow][] = [];
    while (claimed.length < count && fit.length > 0) {
      const [chosen] = fit.splice(lane.random.between(0, fit.length), 1);
      this.#live.delete(chosen![0]);
      claimed.push(chosen!);
    }
    return claimed;
  }

  async #unlink({ client }: Lane, rows: readonly [number, LiveRow][]): Promise<void> {
    await client.query("DELETE FROM ir_attachment WHERE id = ANY($1)", [rows.map(([id]) => id)]);
    for (const [, { sha1 }] of rows) this.filestore.mark(sha1);
    this.counts.deleted += rows.length;
  }

  /** Inserts a row and stores its file, in the order of the version. */
  async #insert(lane: Lane, row: NewRow): Promise<[id: number, sha1: string]> {
    let id = 0;
    const sha1 = await this.#store(lane, row.content, async (values) => {
      id = await insertRow(lane.client, row, values);
    });
    this.counts.attached++;
    return [id, sha1];
  }

  /** Writes a file and its row's values (store_fname, checksum, size), in the order of the version. */
  async #store(
    lane: Lane,
    content: Uint8Array,
    write: (values: FileValues) => Promise<void>,
  ): Promise<string> {
    const sha1 = createHash("sha1").update(content).digest("hex");
    const isFileFirst = this.#options.version === "18";
    if (isFileFirst) await this.filestore.write(content);
    await write([storePath(sha1), sha1, content.length]);
    if (!isFileFirst) await this.filestore.write(content);
    lane.written.push(sha1);
    return sha1;
  }

  /** Runs a transaction; `work` gives what is to be remembered when it is committed. */
  async #commit({ client, written }: Lane, work: () => Promise<() => void>): Promise<void> {
    written.length = 0;
    await client.query("BEGIN");
    const remember = await work();
    const commit = await commitTimed(client, this.#tracksTime);
    for (const sha1 of written) if (!this.filestore.has(sha1)) this.lostAtSource.add(sha1);
    this.truth.record(commit);
    remember();
  }
}

/** Waits that long, or until it is cancelled. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (milliseconds > 0) await sleep(milliseconds, undefined, { signal }).catch(() => {});
}
