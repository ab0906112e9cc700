// A database and its files as one zip, as Odoo's database manager makes and restores them: `dump.sql` first, by PostgreSQL's own
// pg_dump, then `manifest.json`, then every file that the dump's rows refer to, and no other. Dump and references are of one
// moment; files are read after it, when all of them exist, and each is checked by its SHA-1. Nothing is written but the zip,
// as a stream. A zip with a hole is never made unless it was asked for, and then every hole is named.

import type { Clock } from "../base/clock.ts";
import { HoldfastError } from "../base/errors.ts";
import type { Progress } from "../base/progress.ts";
import { clientOutput, type ClientProgram } from "../postgres/client-programs.ts";
import { quoteLiteral, type Connection, type ConnectionSettings } from "../postgres/connection.ts";
import type { JointPosition } from "./capture-mark.ts";
import { addFiles, lookForAll, wantedFiles, type AbsentFile } from "./export-zip/add-files.ts";
import { folderFiles } from "./export-zip/folder-files.ts";
import { readManifest, type ZipManifest } from "./export-zip/manifest.ts";
import { ZipWriter } from "./export-zip/zip-writer.ts";
import type { Pool } from "./pool.ts";
import { readPosition, readReferences } from "./read-references.ts";
import type { References } from "./references.ts";
import type { Sha1Set } from "./sha1-set.ts";

export type { AbsentFile } from "./export-zip/add-files.ts";

export interface ExportZipOptions {
  /** Opens a connection to the database. Called twice. */
  readonly connect: () => Promise<Connection>;
  /** How pg_dump reaches the same database. */
  readonly settings: ConnectionSettings;
  readonly program: ClientProgram;
  /** The filestore's folder, asked first. */
  readonly folder?: string | undefined;
  /** Opens the pool for files that the folder does not give; called at most twice, and only when there are some. */
  readonly openPool?: ((wanted: Sha1Set) => Promise<Pool>) | undefined;
  /** The name that the manifest gives the database; its own without. */
  readonly name?: string | undefined;
  /** Makes a zip although files are nowhere to be had. */
  readonly allowMissing: boolean;
  /** Takes the zip's bytes in order; resolves when it can take more. It may keep them. */
  readonly write: (bytes: Uint8Array) => Promise<void>;
  readonly clock: Pick<Clock, "now">;
  /** Threads that this machine runs at once. */
  readonly cores: number;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

export interface ZipReport {
  readonly references: References;
  /** The database holds at least everything up to here. */
  readonly position: JointPosition;
  readonly manifest: ZipManifest;
  /** Bytes of `dump.sql` before compression. */
  readonly dumpBytes: number;
  /** Files of the filestore in the zip, and their bytes. */
  readonly files: number;
  readonly fileBytes: number;
  /** How many of them the folder did not give and the pool did. */
  readonly fromPool: number;
  readonly zipBytes: number;
  /** What rows refer to and the zip does not hold; empty unless `allowMissing`. */
  readonly absent: readonly AbsentFile[];
}

/**
 * Writes the zip. Throws ODOO_NOT_FOUND for a database that is none of Odoo's, FILES_MISSING (before anything is written, where
 * a listing tells) with the names, POSTGRES_FAILED when pg_dump failed, SOURCE_UNREADABLE, CANCELLED.
 */
export async function exportZip(options: ExportZipOptions): Promise<ZipReport> {
  const { connect, settings, program, clock, cores, write, progress, signal } = options;
  const { folder, openPool, allowMissing } = options;
  const holder = await connect();
  try {
    const position = await readPosition(holder, { signal });
    // What is exported lives as long as this transaction: pg_dump and the references see the same rows.
    await holder.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", { signal });
    const [row] = await holder.query("SELECT pg_catalog.pg_export_snapshot() AS snapshot", {
      signal,
    });
    const snapshot = row?.["snapshot"] ?? "";
    const references = await readAt(connect, snapshot, signal);
    const manifest = await manifestAt(holder, options.name ?? references.database, signal);
    const files = wantedFiles(references.files);
    const inFolder = folder === undefined ? undefined : folderFiles(folder);
    const found = await lookForAll({ files, inFolder, openPool, signal });
    requireNone(found.absent, { allowMissing, hasPool: openPool !== undefined });

    const bytes = files.reduce((sum, { size }) => sum + Math.max(0, size), 0);
    progress.addTotal({ files: files.length - found.absent.size, bytes });
    progress.totalComplete();
    const writer = new ZipWriter({ write, now: clock.now(), lanes: cores + 1, signal });
    const words = ["--no-owner", `--snapshot=${snapshot}`];
    progress.now("dump.sql");
    const dump = await writer.addStream(
      "dump.sql",
      clientOutput({ program, settings, words, signal }),
      { packed: false },
    );
    // From here on nobody needs the rows, and vacuum may go on.
    await holder.query("COMMIT", { signal });
    await writer.add(await writer.prepare("manifest.json", manifestText(manifest)));
    const told = await addFiles({ writer, files, inFolder, openPool, found, progress, signal });
    requireNone(found.absent, { allowMissing, hasPool: openPool !== undefined });
    await writer.end();
    return {
      references,
      position,
      manifest,
      dumpBytes: dump.size,
      files: told.files,
      fileBytes: told.bytes,
      fromPool: told.fromPool,
      zipBytes: writer.bytes,
      absent: [...found.absent.values()].toSorted((a, b) => (a.sha1 < b.sha1 ? -1 : 1)),
    };
  } finally {
    await holder.close();
  }
}

async function readAt(
  connect: ExportZipOptions["connect"],
  snapshot: string,
  signal: AbortSignal | undefined,
): Promise<References> {
  const reader = await connect();
  try {
    return await readReferences(reader, { snapshot, signal });
  } finally {
    await reader.close();
  }
}

async function manifestAt(
  connection: Connection,
  database: string,
  signal: AbortSignal | undefined,
): Promise<ZipManifest> {
  const manifest = await readManifest(connection, { database, signal });
  if (manifest !== undefined) return manifest;
  throw new HoldfastError(
    "ODOO_NOT_FOUND",
    `the database ${quoteLiteral(database)} has no table ir_module_module`,
    { hint: "Name the database of Odoo with -d dbname=NAME." },
  );
}

/** As Odoo writes it. */
function manifestText(manifest: ZipManifest): Buffer {
  return Buffer.from(JSON.stringify(manifest, undefined, 4));
}

/** How many names an error lists. */
const NAMED = 5;

function requireNone(
  absent: ReadonlyMap<string, AbsentFile>,
  { allowMissing, hasPool }: { readonly allowMissing: boolean; readonly hasPool: boolean },
): void {
  if (allowMissing || absent.size === 0) return;
  const names = [...absent.values()]
    .slice(0, NAMED)
    .map(
      ({ sha1, why, isRegenerable }) =>
        `${sha1} (${why}${isRegenerable ? ", a bundle that Odoo makes again" : ""})`,
    );
  const more = absent.size > NAMED ? ` and ${absent.size - NAMED} more` : "";
  const count = absent.size === 1 ? "1 file" : `${absent.size} files`;
  throw new HoldfastError(
    "FILES_MISSING",
    `${count} that rows refer to cannot be had: ${names.join(", ")}${more}`,
    {
      hint: hasPool
        ? "They are in no backup either. To make the zip without them, say --allow-missing."
        : "Name the repository that has backups of them, or make the zip without them: --allow-missing.",
    },
  );
}
