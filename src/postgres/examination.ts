// What a server lets us do, and what would keep a backup, the receiver or a capture from working: each finding with the
// statement or the line that mends it (docs/operations/postgres-roles.md). Looks and changes nothing.

import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import { connect, quoteIdentifier, quoteLiteral } from "./connection.ts";
import type { Connection, ConnectionSettings, Row } from "./connection.ts";

/**
 * `limited`: works, with less than there could be. `unknown`: could not be looked at. `failed`: what needs it does not
 * work.
 */
export type Outcome = "ok" | "limited" | "failed" | "unknown";

export interface Finding {
  /** Stable, for programs: "wal_level". */
  readonly name: string;
  readonly outcome: Outcome;
  /** What was found, for people. */
  readonly value: string;
  /** How to mend it, or what it means. */
  readonly hint?: string | undefined;
}

export interface Examination {
  /** "db1:5432", or the folder of the socket. */
  readonly place: string;
  /** As `SHOW server_version` prints it; undefined when nobody let us in. */
  readonly version: string | undefined;
  readonly role: "primary" | "standby" | undefined;
  readonly systemId: string | undefined;
  readonly findings: readonly Finding[];
}

interface ExamineOptions {
  settings: ConnectionSettings;
  /** A replication slot to look at. */
  slot?: string | undefined;
  signal?: AbortSignal | undefined;
}

const OLDEST = 130_000;

/** Looks at the server over a connection for SQL and one for replication; neither failing hides the other. */
export async function examineServer(options: ExamineOptions): Promise<Examination> {
  const findings: Finding[] = [];
  const sql = await attempt("connection", findings, () =>
    within(options, false, (connection) => examineBySql(connection, options)),
  );
  const replication = await attempt("replication", findings, () =>
    within(options, true, async (connection, signal) => {
      const { systemId } = await connection.identify({ signal });
      return { systemId, place: connection.place };
    }),
  );
  if (replication) {
    findings.push({
      name: "replication",
      outcome: "ok",
      value: "backups and the receiver may connect",
    });
  }
  const place = sql?.place ?? replication?.place ?? options.settings.hosts[0]?.host ?? "";
  return {
    place,
    version: sql?.version,
    role: sql?.role,
    systemId: replication?.systemId,
    findings: [...(sql?.findings ?? []), ...findings],
  };
}

async function attempt<T>(
  name: string,
  findings: Finding[],
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!isHoldfastError(error) || error.code === "CANCELLED" || error.code === "BUG") throw error;
    const hint = [error.message, error.hint].filter((part) => part !== undefined).join(". ");
    findings.push({ name, outcome: "failed", value: "not possible", hint });
    return undefined;
  }
}

async function within<T>(
  { settings, signal }: ExamineOptions,
  replication: boolean,
  work: (connection: Connection, signal: AbortSignal | undefined) => Promise<T>,
): Promise<T> {
  const connection = await connect({ settings, replication, signal });
  try {
    return await work(connection, signal);
  } finally {
    await connection.close();
  }
}

interface BySql {
  readonly place: string;
  readonly version: string;
  readonly role: "primary" | "standby";
  readonly findings: readonly Finding[];
}

/** Everything that SQL tells to a role without any right, in one round trip; settings are told as texts. */
const FACTS = `SELECT current_user AS "user", pg_is_in_recovery() AS standby, current_setting('server_version') AS version,
  current_setting('wal_level') AS wal_level, current_setting('max_wal_senders')::int AS senders,
  (SELECT count(*) FROM pg_stat_replication) AS senders_used,
  current_setting('max_replication_slots')::int AS slots, (SELECT count(*) FROM pg_replication_slots) AS slots_used,
  current_setting('max_slot_wal_keep_size') AS slot_limit, current_setting('full_page_writes') AS full_pages,
  current_setting('data_checksums') AS checksums, current_setting('archive_mode') AS archive_mode,
  current_setting('fsync') AS fsync,
  (SELECT failed_count FROM pg_stat_archiver) AS archive_failures,
  (SELECT last_failed_time > coalesce(last_archived_time, '-infinity') FROM pg_stat_archiver) AS archive_fails,
  (SELECT to_char(last_archived_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') FROM pg_stat_archiver) AS archived_at,
  (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user) AS may_replicate,
  has_function_privilege('pg_switch_wal()', 'EXECUTE') AS may_switch,
  has_function_privilege('pg_create_restore_point(text)', 'EXECUTE') AS may_mark,
  pg_has_role(current_user, 'pg_read_all_settings', 'USAGE') AS may_read_settings,
  to_regclass('public.ir_attachment') IS NOT NULL AS has_attachments,
  coalesce(has_table_privilege(to_regclass('public.ir_attachment'), 'SELECT'), false) AS may_read_attachments,
  current_database() AS database`;

async function examineBySql(connection: Connection, options: ExamineOptions): Promise<BySql> {
  const { signal, slot } = options;
  const { place, version: number } = connection;
  if (number < OLDEST) {
    const message = `PostgreSQL at ${place} is of version ${connection.major}, and 13 is the oldest that is served`;
    throw new HoldfastError("POSTGRES_FAILED", message, { hint: "Upgrade the server." });
  }
  const [facts = {}] = await connection.query(FACTS, { signal });
  const findings = [...settingFindings(facts), ...archiverFindings(facts), ...rightFindings(facts)];
  if (slot !== undefined) findings.push(await slotFinding(connection, slot, signal));
  const role = facts["standby"] === "t" ? "standby" : "primary";
  return { place, version: facts["version"] ?? "", role, findings };
}

function settingFindings(facts: Row): Finding[] {
  const [senders, used] = [Number(facts["senders"]), Number(facts["senders_used"])];
  const [slots, slotsUsed] = [Number(facts["slots"]), Number(facts["slots_used"])];
  const limit = facts["slot_limit"] ?? "";
  const isMinimal = facts["wal_level"] === "minimal";
  return [
    judged("wal_level", facts["wal_level"] ?? "", isMinimal && "failed", {
      hint: "ALTER SYSTEM SET wal_level = 'replica', then restart: without it there is no WAL to archive.",
    }),
    // A backup wants one for the data; its own WAL comes through the archiver or the receiver, which wants another.
    judged(
      "max_wal_senders",
      `${senders}, of which ${used} are seen in use`,
      senders - used < 2 && "failed",
      {
        hint: `ALTER SYSTEM SET max_wal_senders = ${used + 4}, then restart: a backup and the receiver need one each.`,
      },
    ),
    judged(
      "max_replication_slots",
      `${slots}, of which ${slotsUsed} are taken`,
      slots === 0 && "failed",
      {
        hint: "ALTER SYSTEM SET max_replication_slots = 10, then restart: the receiver needs one.",
      },
    ),
    judged(
      "max_slot_wal_keep_size",
      limit === "-1" ? "no limit" : limit,
      limit === "-1" && "limited",
      {
        hint: "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB', then SELECT pg_reload_conf(): without a limit a receiver that stands still fills the server's disk, so none is started.",
      },
    ),
    judged(
      "full_page_writes",
      facts["full_pages"] ?? "",
      facts["full_pages"] !== "on" && "failed",
      {
        hint: "ALTER SYSTEM SET full_page_writes = on: a backup that was taken without it may not come back.",
      },
    ),
    judged("fsync", facts["fsync"] ?? "", facts["fsync"] !== "on" && "limited", {
      hint: "ALTER SYSTEM SET fsync = on: a crash of the machine destroys a cluster that runs without it.",
    }),
    judged("data_checksums", facts["checksums"] ?? "", facts["checksums"] !== "on" && "limited", {
      hint: "Stop the server and run pg_checksums --enable: until then damaged pages go into backups unseen.",
    }),
  ];
}

function archiverFindings(facts: Row): Finding[] {
  const mode = facts["archive_mode"] ?? "";
  if (mode === "off") {
    const value = "off: nothing is archived but what the receiver streams";
    return [{ name: "archive_mode", outcome: "ok", value }];
  }
  const last = facts["archived_at"];
  const told = `${mode}, ${last ? `last success ${last}` : "nothing archived yet"}, ${facts["archive_failures"]} failures`;
  return [
    judged("archive_mode", told, facts["archive_fails"] === "t" && "failed", {
      hint: "The latest attempt to archive failed: read the server's log for what archive_command said. Until it works WAL piles up in pg_wal.",
    }),
  ];
}

function rightFindings(facts: Row): Finding[] {
  const user = quoteIdentifier(facts["user"] ?? "");
  const database = quoteIdentifier(facts["database"] ?? "");
  const may = (right: string): boolean => facts[right] === "t";
  const isStandby = may("standby");
  const findings = [
    judged(
      "role replication",
      may("may_replicate") ? "yes" : "no",
      !may("may_replicate") && "failed",
      {
        hint: `ALTER ROLE ${user} REPLICATION, as a superuser: needed by base backups and the receiver.`,
      },
    ),
    judged(
      "pg_switch_wal",
      allowed(may("may_switch")),
      !may("may_switch") && !isStandby && "limited",
      {
        hint: `GRANT EXECUTE ON FUNCTION pg_switch_wal() TO ${user} in the database you connect to. Without it the backup of a quiet database waits for archive_timeout, or for the receiver.`,
      },
    ),
    judged(
      "pg_create_restore_point",
      allowed(may("may_mark")),
      !may("may_mark") && !isStandby && "limited",
      {
        hint: `GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO ${user}. Without it moments have times, and no names.`,
      },
    ),
    judged(
      "pg_read_all_settings",
      allowed(may("may_read_settings")),
      !may("may_read_settings") && "limited",
      {
        hint: `GRANT pg_read_all_settings TO ${user}. Without it a backup does not record where the server's data and configuration lie.`,
      },
    ),
  ];
  if (!may("has_attachments")) {
    const value = `there is no table ir_attachment in ${database}`;
    const hint = "Name the database of Odoo with --dbname to have its attachments looked at.";
    return [...findings, { name: "ir_attachment", outcome: "unknown", value, hint }];
  }
  return [
    ...findings,
    judged(
      "ir_attachment",
      may("may_read_attachments") ? "readable" : "not readable",
      !may("may_read_attachments") && "limited",
      {
        hint: `GRANT USAGE ON SCHEMA public TO ${user}; GRANT SELECT ON public.ir_attachment TO ${user}, in ${database}. Without it nobody can tell which files a moment of the database refers to.`,
      },
    ),
  ];
}

async function slotFinding(
  connection: Connection,
  slot: string,
  signal: AbortSignal | undefined,
): Promise<Finding> {
  const name = `slot ${slot}`;
  try {
    const [row] = await connection.query(
      `SELECT slot_type, active, wal_status, pg_size_pretty(safe_wal_size) AS safe
        FROM pg_replication_slots WHERE slot_name = ${quoteLiteral(slot)}`,
      { signal },
    );
    if (row === undefined) {
      const hint = "Start the receiver with --create-slot.";
      return { name, outcome: "limited", value: "does not exist", hint };
    }
    const status = row["wal_status"] ?? "lost";
    const safe = row["safe"] === null || row["safe"] === undefined ? "" : `, ${row["safe"]} to go`;
    const value = `${row["slot_type"]}, ${row["active"] === "t" ? "in use" : "not in use"}, ${status}${safe}`;
    if (row["slot_type"] !== "physical") {
      const hint = "Give the receiver a slot of another name: it needs a physical one.";
      return { name, outcome: "failed", value, hint };
    }
    return judged(
      name,
      value,
      status === "lost" ? "failed" : status === "unreserved" && "limited",
      {
        hint: "The receiver is too far behind what max_slot_wal_keep_size allows. Let it catch up; when the slot is lost, drop it, make it anew and take a base backup.",
      },
    );
  } catch (error) {
    if (isHoldfastError(error, "CANCELLED")) throw error;
    return { name, outcome: "unknown", value: messageOf(error) };
  }
}

/** The hint stands only beside what is not as it should be. */
function judged(
  name: string,
  value: string,
  trouble: Outcome | false,
  { hint }: { readonly hint: string },
): Finding {
  return trouble === false
    ? { name, outcome: "ok", value }
    : { name, outcome: trouble, value, hint };
}

function allowed(may: boolean): string {
  return may ? "allowed" : "not allowed";
}
