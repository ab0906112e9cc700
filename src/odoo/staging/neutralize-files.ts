// The SQL with which Odoo neutralises a database: `data/neutralize.sql` of every installed module, as the user's own addons have
// it. Holdfast ships none of it. A module that is installed and nowhere to be found may have such a file, too, so that is
// told, never passed over.

import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, HoldfastError, messageOf } from "../../base/errors.ts";
import type { Connection } from "../../postgres/connection.ts";

export interface NeutralizeFile {
  readonly module: string;
  readonly path: string;
  readonly sql: string;
}

export interface FoundFiles {
  readonly files: readonly NeutralizeFile[];
  /** Installed modules that are in none of the folders. */
  readonly unknown: readonly string[];
  /** How many modules are installed. */
  readonly installed: number;
}

/** Larger than this is none of them. */
const SQL_BYTES_MAX = 4 << 20;
/** What modules are called; a row may say anything. */
const MODULE = /^[a-zA-Z0-9_]{1,200}$/;

/** Looks for the files of all installed modules, in the folders of addons in the order in which they are given. */
export async function findNeutralizeFiles(
  connection: Connection,
  folders: readonly string[],
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<FoundFiles> {
  // As Odoo asks, which goes through them as they lie in the table.
  const rows = await connection.query(
    `SELECT name FROM public.ir_module_module WHERE state IN ('installed', 'to upgrade', 'to remove')
     ORDER BY (name = 'base') DESC, id`,
    { signal },
  );
  const files: NeutralizeFile[] = [];
  const unknown: string[] = [];
  for (const row of rows) {
    const module = row["name"] ?? "";
    const folder = MODULE.test(module) ? await folderOf(module, folders) : undefined;
    if (folder === undefined) {
      unknown.push(module);
      continue;
    }
    const path = join(folder, "data", "neutralize.sql");
    const sql = await readSql(path);
    if (sql !== undefined) files.push({ module, path, sql });
  }
  return { files, unknown, installed: rows.length };
}

/** The module's folder in the first place that has it. */
async function folderOf(module: string, folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) {
    const path = join(folder, module);
    const stats = await stat(join(path, "__manifest__.py")).catch(() => undefined);
    if (stats?.isFile() === true) return path;
  }
  return undefined;
}

async function readSql(path: string): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    if (size > SQL_BYTES_MAX)
      throw new HoldfastError("USAGE", `${path} is too large: ${size} bytes`);
    return await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    if (errnoOf(error) === undefined) throw error;
    throw new HoldfastError("USAGE", `${path} cannot be read: ${messageOf(error)}`, {
      hint: "Run this as somebody who may read the addons.",
    });
  }
}
