// The replication slot that keeps WAL on the server until we have it: made, looked at and dropped. A slot without a limit
// can fill the server's disk and stop the database, so one is made only where `max_slot_wal_keep_size` bounds it, or where
// somebody insists (docs/decisions/receiver.md#the-slot).

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { readLsn, type Lsn } from "../../barman/lsn.ts";
import { quoteIdentifier, quoteLiteral, sqlStateOf, type Connection } from "../connection.ts";

export interface SlotState {
  readonly name: string;
  /** Undefined where the server does not say. */
  readonly restart: Lsn | undefined;
  /** "reserved", "extended", "unreserved" or "lost"; undefined where the server does not say. */
  readonly walStatus: string | undefined;
  /** Bytes of WAL that may still be written until it is lost; undefined without a limit. */
  readonly safeBytes: number | undefined;
  /** The process of the server that uses it; undefined when nobody does, or where the server does not say. */
  readonly activePid: number | undefined;
}

const NAME = /^[a-z0-9_]{1,63}$/;
const SETTING = "max_slot_wal_keep_size";
const UNDEFINED_OBJECT = "42704";

/** Throws USAGE for what is no name of a slot. */
export function requireSlotName(name: string): void {
  if (NAME.test(name)) return;
  throw new HoldfastError("USAGE", `${JSON.stringify(name)} cannot be the name of a slot`, {
    hint: "Use lower case letters, digits and underscores, at most 63.",
  });
}

interface Connections {
  /** For replication. */
  replication: Connection;
  /** For SQL; undefined where the role may not connect to a database. */
  sql: Connection | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * What the server says of the slot; undefined when there is none. Throws POSTGRES_SETTING for a logical one. Before
 * PostgreSQL 15 it takes SQL: without it the slot is believed to be there.
 */
export async function readSlot(
  name: string,
  connections: Connections,
): Promise<SlotState | undefined> {
  const { replication, sql, signal } = connections;
  const unknown = { walStatus: undefined, safeBytes: undefined, activePid: undefined };
  if (sql !== undefined) {
    const [row] = await sql.query(
      `SELECT slot_type, restart_lsn, wal_status, safe_wal_size, active_pid FROM pg_replication_slots WHERE slot_name = ${quoteLiteral(name)}`,
      { signal },
    );
    if (row === undefined) return undefined;
    requirePhysical(name, row["slot_type"]);
    return {
      name,
      restart: readLsn(row["restart_lsn"] ?? ""),
      walStatus: row["wal_status"] ?? undefined,
      safeBytes: row["safe_wal_size"] == null ? undefined : Number(row["safe_wal_size"]),
      activePid: row["active_pid"] == null ? undefined : Number(row["active_pid"]),
    };
  }
  if (replication.major < 15) return { name, restart: undefined, ...unknown };
  const [row] = await replication.query(`READ_REPLICATION_SLOT ${quoteIdentifier(name)}`, {
    signal,
  });
  if (row?.["slot_type"] == null) return undefined;
  requirePhysical(name, row["slot_type"]);
  return { name, restart: readLsn(row["restart_lsn"] ?? ""), ...unknown };
}

function requirePhysical(name: string, type: string | null | undefined): void {
  if (type === "physical") return;
  throw new HoldfastError(
    "POSTGRES_SETTING",
    `the replication slot ${name} is not a physical one`,
    {
      hint: "Name another one with --slot, and make it with --create-slot.",
    },
  );
}

/** Makes the slot, which keeps WAL from now on. Throws POSTGRES_SETTING where it would have no limit, unless `unlimited`. */
export async function createSlot(
  name: string,
  options: Connections & { readonly unlimited: boolean },
): Promise<void> {
  const { replication, unlimited, signal } = options;
  const limit = await replication.setting(SETTING, { signal });
  if (limit === "-1" && !unlimited) {
    throw new HoldfastError(
      "POSTGRES_SETTING",
      `${SETTING} of the server is -1: if this receiver stays away, the slot ${name} would keep WAL until the server's disk is full`,
      {
        hint: `Set ${SETTING} to what the disk can spare and reload the server, or insist with --unlimited-slot.`,
      },
    );
  }
  await replication.query(`CREATE_REPLICATION_SLOT ${quoteIdentifier(name)} PHYSICAL RESERVE_WAL`, {
    signal,
  });
}

/** Drops the slot; false when there was none. Throws POSTGRES_SETTING while somebody uses it. */
export async function dropSlot(
  name: string,
  {
    replication,
    signal,
  }: { readonly replication: Connection; readonly signal?: AbortSignal | undefined },
): Promise<boolean> {
  try {
    await replication.query(`DROP_REPLICATION_SLOT ${quoteIdentifier(name)}`, { signal });
    return true;
  } catch (error) {
    if (isHoldfastError(error) && sqlStateOf(error) === UNDEFINED_OBJECT) return false;
    throw error;
  }
}

/** The error about a slot that is not there. */
export function slotMissing(name: string): HoldfastError {
  return new HoldfastError("POSTGRES_SETTING", `the server has no replication slot ${name}`, {
    hint: "Say --create-slot to make it, or name the one there is with --slot.",
  });
}

/** The error about a slot whose WAL the server has removed. */
export function slotLost(name: string, first: string): HoldfastError {
  return new HoldfastError(
    "WAL_MISSING",
    `the server has given up the replication slot ${name}: it kept more WAL than ${SETTING} allows, and WAL from ${first} on may be lost`,
    {
      hint: `Say --create-slot to make it anew and go on from what the server has, then make a base backup; raise ${SETTING} for the future.`,
    },
  );
}

/** How much of the limit a slot uses, from 0 to 1; undefined without a limit. */
export function slotUse(state: SlotState, limitBytes: number | undefined): number | undefined {
  if (state.safeBytes === undefined || limitBytes === undefined || limitBytes <= 0)
    return undefined;
  return Math.min(1, Math.max(0, 1 - state.safeBytes / limitBytes));
}

/** Bytes of max_slot_wal_keep_size; undefined when it has no limit. */
export async function slotLimit(
  sql: Connection,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const [row] = await sql.query(`SELECT setting FROM pg_settings WHERE name = '${SETTING}'`, {
    signal,
  });
  const megabytes = Number(row?.["setting"] ?? "-1");
  return megabytes < 0 ? undefined : megabytes * 2 ** 20;
}
