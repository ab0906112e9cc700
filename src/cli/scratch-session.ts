// From what a person typed to a server on a recovered database that is thrown away again: the archive, the programs, the account,
// the folder.

import { resolve } from "node:path";
import { tmpdir } from "node:os";
import type { Command } from "commander";
import type { ScratchServerOptions } from "../odoo/scratch-database.ts";
import { serverAccount } from "../postgres/server-account.ts";
import { findServerPrograms } from "../postgres/server-programs.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { addArchiveOptions, openNamedArchive, type ArchiveFlags } from "./archive-session.ts";
import type { Context } from "./command.ts";
import { serverVariables, walCommand } from "./wal-command.ts";

export interface ScratchFlags extends ArchiveFlags {
  scratch?: string;
  postgresBin?: string;
  superuser: string;
}

/** What opens the repository, or signs for us: the server fetches WAL, and needs neither. */
const NOT_FOR_SERVERS = /^(?:RESTIC|HOLDFAST)_(?:FROM_)?PASSWORD|^HOLDFAST_DRILL_KEY$/;

/** Adds the options that `openScratch` reads. */
export function addScratchOptions(command: Command): void {
  addArchiveOptions(command);
  command
    .option(
      "--scratch <directory>",
      "where the database is recovered to, to be thrown away (or HOLDFAST_SCRATCH; default: the temporary folder)",
    )
    .option("--postgres-bin <directory>", "folder of PostgreSQL's programs")
    .option("--superuser <name>", "a superuser of the database", "postgres");
}

/** The folder in which scratch places are made. */
export function scratchFolder({ cwd, environment }: Context, { scratch }: ScratchFlags): string {
  const named = scratch || environment["HOLDFAST_SCRATCH"];
  return named ? resolve(byteStringToText(cwd), named) : tmpdir();
}

/** What a scratch server needs. Throws USAGE without an archive. */
export async function openScratch(
  context: Context,
  flags: ScratchFlags,
): Promise<ScratchServerOptions> {
  const { machine, clock, environment, signal } = context;
  const archive = await openNamedArchive(context, flags);
  return {
    archive,
    findPrograms: async (major) =>
      await findServerPrograms({
        major,
        folder: flags.postgresBin,
        path: environment["PATH"],
        signal,
      }),
    restoreCommand: walCommand(context, flags, archive.server).command,
    environment: Object.fromEntries(
      Object.entries(serverVariables(context)).filter(([name]) => !NOT_FOR_SERVERS.test(name)),
    ),
    account: serverAccount(machine.uid),
    superuser: flags.superuser,
    clock,
  };
}
