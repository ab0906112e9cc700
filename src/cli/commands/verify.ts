// `verify`: what a database of Odoo refers to, compared with the files that are there: in a live filestore, in a recovered
// one, in a snapshot, or in everything that is stored. Changes nothing.

import type { Command } from "commander";
import { HoldfastError } from "../../base/errors.ts";
import { Progress } from "../../base/progress.ts";
import { readSizes } from "../../odoo/attachment-sizes.ts";
import { openPool } from "../../odoo/pool.ts";
import { isInconsistent, lostFiles, verifyAttachments } from "../../odoo/verify.ts";
import type { VerifyReport, VerifySource } from "../../odoo/verify.ts";
import { findSnapshot } from "../../repository/snapshots.ts";
import { parseTime } from "../../restic/go-time.ts";
import type { CommandModule, Context } from "../command.ts";
import { consistencyLines, consistencyMessage, plural } from "../consistency-report.ts";
import { addDatabaseOptions, openNamedConnection, type DatabaseFlags } from "../database-option.ts";
import { EXIT } from "../exit-status.ts";
import { formatLocalTime, shortId } from "../format.ts";
import { addCapturesOption, addFilestoreOption, requireFilestore } from "../instance-options.ts";
import type { InstanceFlags } from "../instance-options.ts";
import { openInstance } from "../instance-session.ts";
import { wholeNumber } from "../option-values.ts";
import { ProgressDisplay } from "../progress.ts";
import { backupView } from "../progress-views.ts";

interface VerifyFlags extends DatabaseFlags, InstanceFlags {
  snapshot?: string;
  pool?: boolean;
  namesOnly?: boolean;
  list: number;
  growth: number;
}

function configure(command: Command): void {
  addDatabaseOptions(command);
  addFilestoreOption(command);
  command
    .option("--snapshot <id>", "compare with this snapshot of the repository, or `latest`")
    .option(
      "--pool",
      "compare with all snapshots and captures together: what a recovery could use",
    );
  addCapturesOption(command);
  command
    .option("--names-only", "look at names and sizes, read no content")
    .option("--list <count>", "how many findings are listed", wholeNumber, 20)
    .option("--growth <count>", "how many models and months are listed", wholeNumber, 0)
    .addHelpText(
      "after",
      `
Examples:
  holdfast verify -d 'host=db1 dbname=odoo' --filestore /var/lib/odoo/filestore/odoo
  holdfast verify -d 'host=db1 dbname=odoo' --filestore /srv/recovered/filestore --names-only
  holdfast verify -d 'host=db1 dbname=odoo' --snapshot latest
  holdfast verify -d 'host=db1 dbname=odoo' --pool --json

A live instance may be verified while people work. Files without a row are told, and are no error: Odoo's collector takes
them. A snapshot is older than the database: what was attached since is told apart. The status is 3 when something is
missing or damaged that Odoo does not make again.`,
    );
}

export const verifyCommand: CommandModule = {
  configure,

  async run(context, _, options) {
    const flags = options as unknown as VerifyFlags;
    if (flags.pool === true || flags.snapshot !== undefined) {
      return await verifyStored(context, flags);
    }
    const folder = requireFilestore(context, flags);
    const source: VerifySource = { kind: "folder", folder };
    const { signal } = context;
    return await verify(context, flags, { source, name: `filestore ${folder}`, signal });
  },
};

async function verifyStored(context: Context, flags: VerifyFlags): Promise<number> {
  const { output } = context;
  if (flags.filestore !== undefined || (flags.pool === true && flags.snapshot !== undefined)) {
    throw new HoldfastError("USAGE", "the database can be compared with one thing at a time", {
      hint: "Give one of --filestore, --snapshot and --pool.",
    });
  }
  await using instance = await openInstance(context, flags, { lock: "read" });
  const { repository, captures, signal } = instance;
  const onDamage = (what: string, error: HoldfastError): void =>
    output.warn(`${what}: ${error.message}`);
  let name = "all snapshots and captures";
  let asOf: number | undefined;
  const sources: Parameters<typeof openPool>[0]["sources"][number][] = [];
  if (flags.snapshot === undefined) {
    sources.push({ repository, kind: "snapshots" });
    if (captures) sources.push({ repository: captures, kind: "captures" });
  } else {
    const { id, snapshot } = await findSnapshot(repository, flags.snapshot, {}, signal);
    asOf = Number(parseTime(snapshot.time) / 1_000_000n);
    name = `snapshot ${shortId(id)} of ${formatLocalTime(asOf)}`;
    sources.push({ repository, kind: "snapshots", only: new Set([id]) });
  }
  const pool = await openPool({ sources, onDamage, signal });
  return await verify(context, flags, { source: { kind: "pool", pool, asOf }, name, signal });
}

async function verify(
  context: Context,
  flags: VerifyFlags,
  what: { readonly source: VerifySource; readonly name: string; readonly signal: AbortSignal },
): Promise<number> {
  const { output, clock, settings, cores } = context;
  const { source, name, signal } = what;
  const connection = await openNamedConnection(context, flags);
  const progress = new Progress();
  const display = new ProgressDisplay({
    output,
    counters: progress,
    view: backupView,
    clock,
    framesPerSecond: settings.progressFps,
  });
  let report: VerifyReport;
  try {
    report = await verifyAttachments({
      connection,
      source,
      namesOnly: flags.namesOnly === true,
      threads: cores,
      progress,
      signal,
    });
  } finally {
    display.stop();
  }
  const sizes = await readSizes(connection, { signal });
  const consistency = { report, sizes, place: connection.place, source: name };
  if (output.isJson) output.json(consistencyMessage(consistency));
  else {
    const view = {
      now: clock.now(),
      limit: Math.max(0, flags.list),
      rows: Math.max(0, flags.growth),
    };
    for (const line of consistencyLines(consistency, view)) output.data(line);
  }
  if (!isInconsistent(report)) return EXIT.ok;
  const lost = lostFiles(report).length;
  throw new HoldfastError("ODOO_INCONSISTENT", `${plural(lost, "file")} missing or damaged`, {
    hint:
      source.kind === "folder"
        ? "`holdfast verify --pool` tells which of them a recovery could bring back."
        : "What is not here may be in the live filestore still: capture it before it goes.",
  });
}
