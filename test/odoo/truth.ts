// What is true of a database at a moment, known from outside of any backup: when each transaction was committed, and between
// which positions of the WAL. A database recovered to that moment must have exactly these transactions; what they did
// stands in its own history of attachments, and must be that of the live one.

import assert from "node:assert/strict";
import type { Client } from "pg";
import { readLsn, type Lsn } from "../../src/barman/lsn.ts";

export interface Commit {
  readonly xid: string;
  /** Microseconds since 1970, as the WAL has it; undefined on a server that does not track them. */
  readonly time: bigint | undefined;
  /** The commit's record lies between these. */
  readonly before: Lsn;
  readonly after: Lsn;
}

/** Runs a query; rows of texts. */
export type Ask = (text: string) => Promise<Readonly<Record<string, string | null>>[]>;

/** A moment to recover to: a time (microseconds since 1970) or a position. */
export type Moment = { readonly time: bigint } | { readonly lsn: Lsn };

export class Truth {
  readonly #commits: Commit[] = [];

  get commits(): readonly Commit[] {
    return this.#commits;
  }

  record(commit: Commit): void {
    this.#commits.push(commit);
  }

  /**
   * The transactions that a recovery to `moment`, inclusive, must have (`certain`) and may have (`possible`). PostgreSQL
   * ends a recovery to a time at the first commit after it, and commits may stand in the WAL in another order than their times.
   */
  at(moment: Moment): { readonly certain: Set<string>; readonly possible: Set<string> } {
    const certain = new Set<string>();
    const possible = new Set<string>();
    if ("lsn" in moment) {
      for (const { xid, before, after } of this.#commits) {
        if (after <= moment.lsn) certain.add(xid);
        else if (before <= moment.lsn) possible.add(xid);
      }
      return { certain, possible };
    }
    const timed = this.#commits.map((commit) => {
      assert.notEqual(commit.time, undefined, "the server must have track_commit_timestamp on");
      return { ...commit, time: commit.time! };
    });
    const later = timed.filter(({ time }) => time > moment.time);
    for (const { xid, time, after } of timed) {
      if (time > moment.time) continue;
      if (later.some(({ before }) => before < after)) possible.add(xid);
      else certain.add(xid);
    }
    return { certain, possible };
  }
}

/** A change of an attachment. */
export interface Step {
  readonly xid: string;
  readonly id: string;
  readonly name: string | null;
  readonly image: string | null;
  readonly gone: boolean;
}

/** The whole history of a database's attachments, by the numbers of its steps. */
export async function readHistory(ask: Ask): Promise<Map<string, Step>> {
  const rows = await ask(
    "SELECT step::text, xid, id::text, store_fname, image, gone::int::text AS gone FROM attachment_history ORDER BY attachment_history.step",
  );
  return new Map(
    rows.map(({ step, xid, id, store_fname: name, image, gone }) => [
      step!,
      { xid: xid!, id: id!, name: name!, image: image!, gone: gone === "1" },
    ]),
  );
}

/** The attachments after all steps of `history`: image of the row, and name of its file, by id. */
export function attachmentsAfter(
  history: Iterable<Step>,
): Map<string, { readonly image: string | null; readonly name: string | null }> {
  const rows = new Map<string, { image: string | null; name: string | null }>();
  for (const { id, image, name, gone } of history) {
    if (gone) rows.delete(id);
    else rows.set(id, { image, name });
  }
  return rows;
}

export interface StateOptions {
  readonly ask: Ask;
  readonly truth: Truth;
  readonly moment: Moment;
  /** Of the live database, read after the moment. */
  readonly liveHistory: ReadonlyMap<string, Step>;
}

/** Asserts that a recovered database is in the state of the moment; SHA-1s of the files that it refers to. */
export async function assertStateAt(options: StateOptions): Promise<Set<string>> {
  const { ask, truth, moment, liveHistory } = options;
  const history = await readHistory(ask);
  for (const [step, entry] of history) assert.deepEqual(entry, liveHistory.get(step));

  const there = new Set([...history.values()].map(({ xid }) => xid));
  const { certain, possible } = truth.at(moment);
  const lost = [...certain].filter((xid) => !there.has(xid));
  assert.deepEqual(lost, [], "transactions that were committed by then are not there");
  const early = [...there].filter((xid) => !certain.has(xid) && !possible.has(xid));
  assert.deepEqual(early, [], "transactions that were committed later are there");
  // A transaction is there with all that it did.
  for (const [step, { xid }] of liveHistory)
    if (there.has(xid)) assert.ok(history.has(step), `step ${step} of transaction ${xid}`);

  const expected = attachmentsAfter(history.values());
  const rows = await ask(
    "SELECT id::text, md5(ir_attachment::text) AS image, store_fname AS name FROM ir_attachment",
  );
  assert.deepEqual(new Map(rows.map(({ id, image, name }) => [id, { image, name }])), expected);
  const names = rows.map(({ name }) => name).filter((name) => name !== null && name !== undefined);
  return new Set(names.map((name) => name.slice(name.lastIndexOf("/") + 1)));
}

/** Commits the transaction that is open on `client`; what is true of it then. */
export async function commitTimed(client: Client, tracksTime: boolean): Promise<Commit> {
  const ask = async (text: string): Promise<Record<string, string | null>> =>
    (await client.query<Record<string, string | null>>(text)).rows[0]!;
  const { xid, lsn: before } = await ask(
    "SELECT pg_current_xact_id()::text AS xid, pg_current_wal_insert_lsn()::text AS lsn",
  );
  await client.query("COMMIT");
  const time = tracksTime
    ? `(extract(epoch FROM pg_xact_commit_timestamp('${xid}'::xid)) * 1000000)::bigint::text`
    : "NULL::text";
  const { at, lsn: after } = await ask(
    `SELECT ${time} AS at, pg_current_wal_insert_lsn()::text AS lsn`,
  );
  return {
    xid: xid!,
    time: typeof at === "string" ? BigInt(at) : undefined,
    before: position(before!),
    after: position(after!),
  };
}

/** A position as the server writes it. */
export function position(text: string): Lsn {
  const lsn = readLsn(text);
  assert.notEqual(lsn, undefined, text);
  return lsn!;
}
