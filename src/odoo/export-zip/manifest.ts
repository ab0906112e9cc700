// manifest.json of Odoo's database manager: what the dump is of. Odoo's restore does not read it; people and other programs do.

import type { Connection, Row } from "../../postgres/connection.ts";

export interface ZipManifest {
  readonly odoo_dump: "1";
  readonly db_name: string;
  readonly version: string;
  readonly version_info: readonly (string | number)[];
  readonly major_version: string;
  readonly pg_version: string;
  /** Installed modules and the versions that they were installed in. */
  readonly modules: Readonly<Record<string, string>>;
}

/**
 * The manifest of the database of that connection; undefined when it is no database of Odoo. The database knows the series of
 * its Odoo ("19.0") but not the day of the build, so `version` is the series.
 */
export async function readManifest(
  connection: Connection,
  options: { readonly database: string; readonly signal?: AbortSignal | undefined },
): Promise<ZipManifest | undefined> {
  const { database, signal } = options;
  const [found] = await connection.query(
    "SELECT to_regclass('ir_module_module') IS NOT NULL AS there",
    { signal },
  );
  if (found?.["there"] !== "t") return undefined;
  const rows = await connection.query(
    "SELECT name, latest_version FROM ir_module_module WHERE state = 'installed' ORDER BY name",
    { signal },
  );
  return manifestOf({ database, major: connection.major, modules: rows });
}

/** The manifest of a database with these rows of `ir_module_module`. */
export function manifestOf(facts: {
  readonly database: string;
  readonly major: number;
  readonly modules: readonly Row[];
}): ZipManifest {
  const { database, major, modules } = facts;
  const base = modules.find((row) => row["name"] === "base")?.["latest_version"] ?? "";
  // "19.0.1.3" and "saas~18.2.1.0": what a module's own version follows is the series.
  const [, first = "", second = "0"] = /^((?:saas~)?\d+)\.(\d+)/.exec(base) ?? [];
  const series = first === "" ? "" : `${first}.${second}`;
  const named = modules.map((row): [string, string] => [
    row["name"] ?? "",
    row["latest_version"] ?? "",
  ]);
  return {
    odoo_dump: "1",
    db_name: database,
    version: series,
    version_info: [/^\d+$/.test(first) ? Number(first) : first, Number(second), 0, "final", 0, ""],
    major_version: series,
    // As Odoo computes it: the minor version is lost.
    pg_version: `${major}.0`,
    modules: Object.fromEntries(named),
  };
}
