// Whether a recovered database can be read: every row of every table, which reads every page that holds one, the tables without
// which there is no Odoo, and every index of order by PostgreSQL's own amcheck. The connection is to a scratch server, where
// an extension can be made.

import { isHoldfastError, messageOf } from "../../base/errors.ts";
import { throwIfCancelled } from "../../base/cancellation.ts";
import { quoteIdentifier, type Connection } from "../../postgres/connection.ts";
import type { DrillCheck } from "./report.ts";

/** What every Odoo has a row in. */
const NEEDED = ["ir_module_module", "res_users", "res_partner", "ir_config_parameter"] as const;
/** How many findings a check tells. */
const TOLD_MAX = 5;

interface CheckOptions {
  readonly onStep?: (what: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Counts the rows of all tables, and looks for those that there must be. */
export async function checkTables(
  connection: Connection,
  { onStep, signal }: CheckOptions,
): Promise<{ check: DrillCheck; tables: number; rows: number }> {
  const tables = await connection.query(
    `SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     ORDER BY 1, 2`,
    { signal },
  );
  const findings: string[] = [];
  const counts = new Map<string, number>();
  let rows = 0;
  for (const table of tables) {
    throwIfCancelled(signal);
    const name = `${table["schema"]}.${table["name"]}`;
    onStep?.(name);
    const place = `${quoteIdentifier(table["schema"]!)}.${quoteIdentifier(table["name"]!)}`;
    try {
      // A sequential scan touches every page; an index alone would not.
      const [row] = await connection.query(
        `SET enable_indexonlyscan = off; SELECT pg_catalog.count(*) AS count FROM ${place}`,
        { signal },
      );
      const count = Number(row?.["count"]);
      rows += count;
      counts.set(name, count);
    } catch (error) {
      if (!isAnswer(error)) throw error;
      findings.push(`${name}: ${messageOf(error)}`);
    }
  }
  for (const name of NEEDED) {
    const count = counts.get(`public.${name}`);
    if (count === undefined && !findings.some((line) => line.startsWith(`public.${name}:`)))
      findings.push(`there is no table ${name}`);
    else if (count === 0) findings.push(`the table ${name} is empty`);
  }
  const check: DrillCheck =
    findings.length === 0
      ? {
          name: "tables",
          result: "ok",
          detail: `${tables.length} tables with ${rows} rows, each of them read`,
        }
      : { name: "tables", result: "failed", detail: told(findings) };
  return { check, tables: tables.length, rows };
}

/** Looks at every B-tree with amcheck, which the server has to bring. */
export async function checkIndexes(
  connection: Connection,
  { onStep, signal }: CheckOptions,
): Promise<DrillCheck> {
  const name = "indexes";
  const [extension] = await connection.query(
    "SELECT 1 AS there FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck'",
    { signal },
  );
  if (extension === undefined)
    return {
      name,
      result: "not checked",
      detail:
        "these server programs have no amcheck; Debian has it in postgresql-NN, others in postgresql-contrib",
    };
  await connection.query("CREATE EXTENSION IF NOT EXISTS amcheck", {
    signal,
  });
  const [place] = await connection.query(
    `SELECT n.nspname AS schema FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
     WHERE e.extname = 'amcheck'`,
    { signal },
  );
  const indexes = await connection.query(
    `SELECT c.oid, n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_index i
       JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
       JOIN pg_catalog.pg_am a ON a.oid = c.relam
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p' AND i.indisready AND i.indisvalid
     ORDER BY 2, 3`,
    { signal },
  );
  const findings: string[] = [];
  for (const index of indexes) {
    throwIfCancelled(signal);
    onStep?.(`${index["schema"]}.${index["name"]}`);
    try {
      await connection.query(
        `SELECT ${quoteIdentifier(place!["schema"]!)}.bt_index_check(${Number(index["oid"])}::regclass)`,
        { signal },
      );
    } catch (error) {
      if (!isAnswer(error)) throw error;
      findings.push(`${index["schema"]}.${index["name"]}: ${messageOf(error)}`);
    }
  }
  return findings.length === 0
    ? { name, result: "ok", detail: `${indexes.length} B-trees are in order, says amcheck` }
    : {
        name,
        result: "failed",
        detail: `${told(findings)}. Where texts are sorted otherwise on this machine than on the server's, that alone is a reason`,
      };
}

/** True for what a server says about a command; a connection that broke is something else. */
function isAnswer(error: unknown): boolean {
  return isHoldfastError(error) && !isHoldfastError(error, "CANCELLED", "POSTGRES_UNREACHABLE");
}

function told(findings: readonly string[]): string {
  const more = findings.length > TOLD_MAX ? `; and ${findings.length - TOLD_MAX} more` : "";
  return `${findings.slice(0, TOLD_MAX).join("; ")}${more}`;
}
