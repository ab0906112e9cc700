// Which database of a recovered cluster is Odoo's: the one that was named, the one that captures are of, or the only one with
// attachments in it. Never guesses between two.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { findAttachmentTable } from "../attachment-table.ts";
import type { RecoveredDatabase } from "../recover-database.ts";

export interface DatabaseChoice {
  /** The one that a person named: no other will do. */
  readonly named?: string | undefined;
  /** The one that captures are of. It may have been renamed since, or not have been called so then. */
  readonly captured?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The name of Odoo's database. Throws ODOO_NOT_FOUND without any, USAGE when there are several to choose from. */
export async function chooseDatabase(
  recovered: Pick<RecoveredDatabase, "databases" | "connect">,
  { named, captured, signal }: DatabaseChoice,
): Promise<string> {
  const all = await recovered.databases();
  if (named !== undefined) {
    if (all.includes(named)) return named;
    throw notFound(`the cluster had no database ${JSON.stringify(named)} then`, all);
  }
  if (captured !== undefined && all.includes(captured)) return captured;
  const found: string[] = [];
  for (const name of all) if (await isOdoo(recovered, name, signal)) found.push(name);
  const [only, ...more] = found;
  if (only === undefined) throw notFound("no database of the cluster is Odoo's", all);
  if (more.length === 0) return only;
  throw new HoldfastError("USAGE", `several databases are Odoo's: ${found.join(", ")}`, {
    hint: "Choose one with --database.",
  });
}

async function isOdoo(
  recovered: Pick<RecoveredDatabase, "connect">,
  name: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const connection = await recovered.connect(name);
  try {
    await findAttachmentTable(connection, signal);
    return true;
  } catch (error) {
    if (isHoldfastError(error, "ODOO_NOT_FOUND")) return false;
    throw error;
  } finally {
    await connection.close();
  }
}

function notFound(what: string, all: readonly string[]): HoldfastError {
  return new HoldfastError("ODOO_NOT_FOUND", what, {
    hint: `Its databases were: ${all.join(", ") || "none"}. Choose one with --database.`,
  });
}
