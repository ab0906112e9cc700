// The database's side of a joint point: its position, read before the files are looked at, and the names that its rows refer
// to, which must all be in the pool afterwards, or are missing or corrupt at the source.
//
// All names are compared when that costs little (after a thousand times as long as it took, at the latest after ten minutes), and
// always at the beginning. In between only new rows are: files are listed at every tick whatever rows say, and only that
// something is missing is seen later.

import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../base/clock.ts";
import { quoteLiteral } from "../../postgres/connection.ts";
import type { Connection } from "../../postgres/connection.ts";
import { ATTACHMENTS } from "../attachment-table.ts";
import type { JointPosition } from "../capture-mark.ts";
import { readPosition, readReferences } from "../read-references.ts";
import { pathOf, REFERENCE } from "../references.ts";
import { readStoreName } from "../store-name.ts";
import type { Candidate } from "./filestore-source.ts";

/** It takes a thousandth of the time: 20 ms of 20 s. */
const FACTOR = 1000;
const LATEST_MS = 10 * 60_000;
/** Rows below the greatest number that are looked at again: transactions commit in another order than numbers are given. */
const OVERLAP = 2000;
/** Names that are compared before others get their turn. */
const STRIDE = 50_000;
/** Names in one question. */
const ASKED_MAX = 500;

/** What rows refer to, at one position or a little later. */
export interface AskedNames {
  readonly position: JointPosition;
  /** All names were read, not only those of new rows. */
  readonly isFull: boolean;
  /** Number of names. */
  readonly size: number;
  /** Calls back with each name for which `isKnown` is false. Its size is undefined when rows do not tell it, or not as one. */
  unknown(
    isKnown: (sha1: string, size: number | undefined) => boolean,
    onUnknown: (candidate: Candidate) => void,
  ): Promise<void>;
  /** Whether rows refer to it; undefined when only new rows were read. */
  refers(sha1: string): boolean | undefined;
}

export class Comparison {
  readonly #clock: Clock;
  #begun = 0;
  #due = -Infinity;
  #lastId: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** All names are compared next time. */
  reset(): void {
    this.#due = -Infinity;
  }

  /** Asks for the position, then for names. Throws what the server refused, ODOO_NOT_FOUND, CANCELLED. */
  async ask(connection: Connection, signal?: AbortSignal): Promise<AskedNames> {
    this.#begun = this.#clock.monotonic();
    const isFull = this.#begun >= this.#due || this.#lastId === undefined;
    return isFull ? await this.#askAll(connection, signal) : await this.#askNew(connection, signal);
  }

  /** What was asked for is compared. */
  done({ isFull }: AskedNames): void {
    if (!isFull) return;
    const now = this.#clock.monotonic();
    this.#due = now + Math.min(LATEST_MS, (now - this.#begun) * FACTOR);
  }

  async #askAll(connection: Connection, signal: AbortSignal | undefined): Promise<AskedNames> {
    const lastId = await greatestId(connection, signal);
    const { position, files } = await readReferences(connection, { signal });
    this.#lastId = lastId;
    const { names } = files;
    return {
      position,
      isFull: true,
      size: names.size,
      refers: (sha1) => names.has(sha1),
      async unknown(isKnown, onUnknown) {
        let number = -1;
        for (const sha1 of names) {
          if (++number % STRIDE === 0) await turn();
          const isTold =
            files.sizes[number]! >= 0 && (files.flags[number]! & REFERENCE.contradictory) === 0;
          const size = isTold ? files.sizes[number] : undefined;
          if (!isKnown(sha1, size)) onUnknown({ sha1, folder: folderOf(pathOf(files, sha1)) });
        }
      },
    };
  }

  async #askNew(connection: Connection, signal: AbortSignal | undefined): Promise<AskedNames> {
    const position = await readPosition(connection, { signal });
    const after = this.#lastId! - OVERLAP;
    const rows = await connection.query(
      `SELECT a.id, a.store_fname FROM ${ATTACHMENTS} a WHERE a.id > ${after} AND a.store_fname IS NOT NULL`,
      { signal },
    );
    const found = new Map<string, string>();
    for (const { id, store_fname: text } of rows) {
      this.#lastId = Math.max(this.#lastId!, Number(id));
      const name = readStoreName(text ?? "");
      if (name.kind === "local") found.set(name.sha1, folderOf(name.path));
    }
    return {
      position,
      isFull: false,
      size: found.size,
      refers: (sha1) => (found.has(sha1) ? true : undefined),
      unknown(isKnown, onUnknown) {
        for (const [sha1, folder] of found) {
          if (!isKnown(sha1, undefined)) onUnknown({ sha1, folder });
        }
        return Promise.resolve();
      },
    };
  }
}

/** Which of these names rows refer to now. */
export async function referredNames(
  connection: Connection,
  candidates: Iterable<Candidate>,
  signal?: AbortSignal,
): Promise<Set<string>> {
  const referred = new Set<string>();
  const all = [...candidates];
  for (let at = 0; at < all.length; at += ASKED_MAX) {
    const some = all.slice(at, at + ASKED_MAX);
    const texts = some.flatMap(({ folder, sha1 }) => [`${folder}/${sha1}`, `/${folder}/${sha1}`]);
    const list = texts.map(quoteLiteral).join(",");
    const rows = await connection.query(
      `SELECT DISTINCT a.store_fname FROM ${ATTACHMENTS} a WHERE a.store_fname IN (${list})`,
      { signal },
    );
    for (const { store_fname: text } of rows) {
      const name = readStoreName(text ?? "");
      if (name.kind === "local") referred.add(name.sha1);
    }
  }
  return referred;
}

async function greatestId(
  connection: Connection,
  signal: AbortSignal | undefined,
): Promise<number> {
  const [row] = await connection.query(
    `SELECT coalesce(max(a.id), 0) AS id FROM ${ATTACHMENTS} a`,
    { signal },
  );
  return Number(row?.["id"] ?? 0);
}

function folderOf(path: string): string {
  return path.slice(0, path.indexOf("/"));
}
