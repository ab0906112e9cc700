// `export-zip`: a database and its files as Odoo's database manager makes and restores them, of now or of any moment.

import type { Command } from "commander";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { Progress } from "../../base/progress.ts";
import { exportZip, type ExportZipOptions, type ZipReport } from "../../odoo/export-zip.ts";
import { openPool, type Pool } from "../../odoo/pool.ts";
import { chooseDatabase, recoverScratch } from "../../odoo/scratch-database.ts";
import { makeScratchPlace, removeLeftPlaces } from "../../odoo/scratch-place.ts";
import type { Sha1Set } from "../../odoo/sha1-set.ts";
import { findClientProgram } from "../../postgres/client-programs.ts";
import { connect, type ConnectionSettings } from "../../postgres/connection.ts";
import type { CommandModule, Context } from "../command.ts";
import { addDatabaseOptions, namedDatabase, type DatabaseFlags } from "../database-option.ts";
import { StepDisplay } from "../drill-report.ts";
import { EXIT } from "../exit-status.ts";
import {
  addCapturesOption,
  addFilestoreOption,
  requireFilestore,
  type InstanceFlags,
} from "../instance-options.ts";
import { openInstance, type OpenedInstance } from "../instance-session.ts";
import { NewFile } from "../new-file.ts";
import { pathFrom } from "../recover-options.ts";
import { readMoment } from "../recovery-target-option.ts";
import { findRepositorySource } from "../repository-source.ts";
import {
  addScratchOptions,
  openScratch,
  scratchFolder,
  type ScratchFlags,
} from "../scratch-session.ts";
import { quoteUnprintable } from "../terminal-text.ts";
import { reportZip } from "../zip-report.ts";

interface ZipFlags extends DatabaseFlags, InstanceFlags, ScratchFlags {
  to?: string;
  at?: string;
  latest?: boolean;
  database?: string;
  name?: string;
  allowMissing?: boolean;
}

function configure(command: Command): void {
  command.option("--to <file>", "the zip: a new file, or - for standard output");
  addDatabaseOptions(command);
  addFilestoreOption(command);
  addCapturesOption(command);
  command
    .option("--at <time>", "not the live instance: a moment, out of archive and repository")
    .option("--latest", "not the live instance: the end of the archive")
    .option("--database <name>", "Odoo's database, for --at and --latest (default: the only one)")
    .option("--name <name>", "what manifest.json calls the database (default: its name)")
    .option("--allow-missing", "make the zip although files are nowhere to be had");
  addScratchOptions(command);
  command.addHelpText(
    "after",
    `
Examples:
  holdfast export-zip -d "host=db1 dbname=odoo" --filestore /var/lib/odoo/filestore/odoo --to odoo.zip
  holdfast export-zip --at "2026-01-31 15:04:05" --to odoo-january.zip
  holdfast export-zip -d dbname=odoo --filestore /srv/filestore/odoo --to - | ssh other 'cat > odoo.zip'

Nothing but the zip is written. Of the live instance, files that are gone or damaged come out of the repository, if
one is named. A file that nobody has is an error, unless --allow-missing names what the zip may be without.`,
  );
}

export const exportZipCommand: CommandModule = {
  configure,

  async run(context, _, options) {
    const flags = options as unknown as ZipFlags;
    const to = targetOf(context, flags);
    if (flags.at !== undefined && flags.latest === true) {
      throw new HoldfastError("USAGE", "--at and --latest name two moments", {
        hint: "Use one of them, or none for the live instance.",
      });
    }
    const isLive = flags.at === undefined && flags.latest !== true;
    const source = isLive ? exportLive : exportMoment;
    if (to === undefined) {
      const { output } = context;
      await source(context, flags, async (bytes) => {
        output.raw(bytes);
        await output.drained();
      });
      return EXIT.ok;
    }
    const file = await NewFile.create(to, context.random);
    try {
      const started = context.clock.monotonic();
      const report = await source(context, flags, async (bytes) => await file.write(bytes));
      await file.finish();
      reportZip(context.output, report, {
        path: to,
        seconds: (context.clock.monotonic() - started) / 1000,
      });
    } finally {
      await file.discard();
    }
    return EXIT.ok;
  },
};

type Write = ExportZipOptions["write"];

/** The path of the zip; undefined for standard output. Throws USAGE when that is a terminal. */
function targetOf(context: Context, { to }: ZipFlags): string | undefined {
  if (to === undefined || to === "") {
    throw new HoldfastError("USAGE", "the zip has no name", {
      hint: "Name a new file with --to FILE, or - for standard output.",
    });
  }
  if (to !== "-") return pathFrom(context, to);
  if (!context.output.isTerminal && !context.output.isJson) return undefined;
  throw new HoldfastError("USAGE", "a zip is nothing for a terminal, and not for --json", {
    hint: "Redirect standard output, or name a file with --to.",
  });
}

async function exportLive(context: Context, flags: ZipFlags, write: Write): Promise<ZipReport> {
  const { signal } = context;
  const folder = requireFilestore(context, flags);
  const settings = await namedDatabase(context, flags);
  const opened: OpenedInstance[] = [];
  const hasRepository = isRepositoryNamed(context);
  try {
    return await exported(context, flags, {
      settings,
      folder,
      openPool: hasRepository
        ? async (wanted) => {
            const instance = opened[0] ?? (await openInstance(context, flags, { lock: "read" }));
            opened[0] = instance;
            return await poolOf(context, instance, wanted);
          }
        : undefined,
      write,
      signal,
    });
  } finally {
    await opened[0]?.close();
  }
}

/** True when options or variables say where a repository is. */
function isRepositoryNamed({ flags, environment }: Context): boolean {
  try {
    findRepositorySource(flags, environment);
    return true;
  } catch (error) {
    if (isHoldfastError(error, "USAGE")) return false;
    throw error;
  }
}

async function exportMoment(context: Context, flags: ZipFlags, write: Write): Promise<ZipReport> {
  const { machine, output } = context;
  const scratch = await openScratch(context, flags);
  const { account } = scratch;
  await using instance = await openInstance(context, flags, { lock: "read" });
  const { signal } = instance;
  const parent = scratchFolder(context, flags);
  await removeLeftPlaces({ parent, machine, account });
  await using place = await makeScratchPlace({ parent, machine, account });
  const progress = new Progress();
  const steps = stepsOf(context, flags);
  steps?.begin("restoring the base backup", progress);
  try {
    await using recovered = await recoverScratch({
      ...scratch,
      place,
      target:
        flags.at === undefined
          ? { kind: "latest" }
          : { kind: "time", micros: readMoment(flags.at, "--at") },
      progress,
      onRestored: () => steps?.begin("replaying the log"),
      onLine: (line) => output.veryVerbose(line),
      signal,
    });
    steps?.end();
    const database = await chooseDatabase(recovered, { named: flags.database, signal });
    return await exported(context, flags, {
      settings: { ...recovered.server.connection, database },
      folder: undefined,
      openPool: async (wanted) => await poolOf(context, instance, wanted),
      write,
      signal,
    });
  } finally {
    steps?.end();
  }
}

async function poolOf(
  { output }: Context,
  { repository, captures, signal }: OpenedInstance,
  wanted: Sha1Set,
): Promise<Pool> {
  return await openPool({
    sources: [
      { repository, kind: "snapshots" },
      ...(captures === undefined ? [] : [{ repository: captures, kind: "captures" as const }]),
    ],
    wanted,
    onDamage: (what, error) => output.warn(`damaged: ${quoteUnprintable(what)}: ${error.message}`),
    signal,
  });
}

interface Exporting {
  readonly settings: ConnectionSettings;
  readonly folder: string | undefined;
  readonly openPool: ExportZipOptions["openPool"];
  readonly write: Write;
  readonly signal: AbortSignal;
}

async function exported(
  context: Context,
  flags: ZipFlags,
  { settings, folder, openPool: open, write, signal }: Exporting,
): Promise<ZipReport> {
  const { clock, cores, environment, output } = context;
  const first = await connect({ settings, signal });
  const { major } = first;
  await first.close();
  const program = await findClientProgram("pg_dump", {
    major,
    folder: flags.postgresBin,
    path: environment["PATH"],
    signal,
  });
  const progress = new Progress();
  const steps = stepsOf(context, flags);
  steps?.begin("writing the zip", progress);
  try {
    const report = await exportZip({
      connect: async () => await connect({ settings, signal }),
      settings,
      program,
      folder,
      openPool: open,
      name: flags.name,
      allowMissing: flags.allowMissing === true,
      write,
      clock,
      cores,
      progress,
      signal,
    });
    for (const { sha1, why, isRegenerable } of report.absent) {
      const note = isRegenerable ? ", a bundle that Odoo makes again when its row is deleted" : "";
      output.warn(`not in the zip: ${sha1} (${why}${note})`);
    }
    return report;
  } finally {
    steps?.end();
  }
}

/** What is done is told, unless standard output is the zip. */
function stepsOf(context: Context, { to }: ZipFlags): StepDisplay | undefined {
  return to === "-" ? undefined : new StepDisplay(context);
}
