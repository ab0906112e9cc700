// `pg restore`: a base backup out of an archive into a directory, set up to recover to a moment; with --start, recovered.

import { resolve } from "node:path";
import { tmpdir } from "node:os";
import type { Command } from "commander";
import { HoldfastError } from "../../base/errors.ts";
import { Progress } from "../../base/progress.ts";
import { planRestore, type RestorePlan } from "../../postgres/restore-plan.ts";
import { restoreBackup, type RestoreOptions, type RestoreResult } from "../../postgres/restore.ts";
import { requireArchiveEnd } from "../../postgres/recovery-end.ts";
import { startScratchServer } from "../../postgres/scratch.ts";
import { serverAccount } from "../../postgres/server-account.ts";
import { findServerPrograms, type ServerPrograms } from "../../postgres/server-programs.ts";
import type { ServerAccount } from "../../postgres/server-process.ts";
import { addArchiveOptions, openNamedArchive } from "../archive-session.ts";
import type { ArchiveFlags } from "../archive-session.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { collect } from "../option-values.ts";
import { reportPlan, reportReached, reportRestored } from "../pg-restore-report.ts";
import { ProgressDisplay } from "../progress.ts";
import { bytesView } from "../progress-views.ts";
import { addTargetOptions, recoveryTarget, type TargetFlags } from "../recovery-target-option.ts";
import { serverVariables, walCommand } from "../wal-command.ts";

interface RestoreFlags extends ArchiveFlags, TargetFlags {
  to?: string;
  backup?: string;
  timeline?: string;
  targetAction: string;
  targetExclusive?: boolean;
  tablespaceMap: string[];
  restoreCommand?: string;
  keepArchiving?: boolean;
  owner?: string;
  start?: boolean;
  postgresBin?: string;
  superuser: string;
  dryRun?: boolean;
}

const ACTIONS = ["pause", "promote", "shutdown"] as const;

function configure(command: Command): void {
  addArchiveOptions(command);
  addTargetOptions(command);
  command
    .option("--to <directory>", "where the data directory goes: it is absent or empty")
    .option("--backup <id>", "begin with this base backup (default: the best for the target)")
    .option("--timeline <number>", "follow this timeline (default: the one of the target)")
    .option("--target-exclusive", "end before what the target names, not behind it")
    .option("--target-action <action>", "at the target: pause, promote or shutdown", "pause")
    .option(
      "--tablespace-map <which=directory>",
      "where a tablespace goes, by number or name",
      collect,
      [],
    )
    .option("--restore-command <command>", "how the server fetches WAL (default: this program)")
    .option("--keep-archiving", "let the copy archive as its configuration says")
    .option("--owner <uid[:gid]>", "who owns the files (root only; default: postgres or nobody)")
    .option("--start", "start it on a private socket, wait for the target, and stop it")
    .option("--postgres-bin <directory>", "folder of the server's programs, for --start")
    .option("--superuser <name>", "a superuser of the database, for --start", "postgres")
    .option("-n, --dry-run", "show the plan and write nothing")
    .addHelpText(
      "after",
      `
Examples:
  holdfast pg restore --to /var/lib/postgresql/15/restored --target-time "2026-01-31 15:04:05" --dry-run
  holdfast pg restore --to /var/lib/postgresql/15/restored --target-time "2026-01-31 15:04:05"
  holdfast pg restore --to /restored --target-name odoo:4bba301e --backup 20260131T020000 --start

Without a target, all WAL of the archive is replayed. The plan is shown first; a moment that the archive does not reach is
refused before anything is written. The WAL comes when the server starts, by the restore_command that is set. Archiving
is off in the copy unless --keep-archiving is given. A restore that fails leaves nothing behind.`,
    );
}

export const pgRestoreCommand: CommandModule = {
  configure,

  async run(context, _, options) {
    const flags = options as unknown as RestoreFlags;
    const { output, clock, signal, environment } = context;
    const target = recoveryTarget(flags);
    const folder = targetFolder(context, flags);
    const action = actionOf(flags);
    const tablespaces = tablespaceMap(flags.tablespaceMap);
    const archive = await openNamedArchive(context, flags);
    const plan = await planRestore({
      archive,
      target,
      timeline: timelineOf(flags),
      backup: flags.backup,
      folder,
      tablespaces,
      clock,
      signal,
    });
    const fetching = commandOf(context, flags, archive.server);
    reportPlan(output, plan, { now: clock.now(), restoreCommand: fetching.command });
    // Before anything is written: without a server there is no start.
    const programs =
      flags.start === true
        ? await findServerPrograms({
            major: plan.major,
            folder: flags.postgresBin,
            path: environment["PATH"],
            signal,
          })
        : undefined;
    if (flags.dryRun === true) return EXIT.ok;
    const account = accountOf(context, flags, folder);
    await restored(context, fetching.variables, {
      plan,
      restoreCommand: fetching.command,
      action,
      exclusive: flags.targetExclusive === true,
      keepArchiving: flags.keepArchiving === true,
      account,
    });
    if (programs) await started(context, { flags, plan, programs, account });
    return EXIT.ok;
  },
};

async function restored(
  context: Context,
  variables: readonly string[],
  options: Omit<RestoreOptions, "progress" | "signal">,
): Promise<void> {
  const { output, clock, settings, signal } = context;
  const progress = new Progress();
  const display = new ProgressDisplay({
    output,
    counters: progress,
    view: bytesView,
    clock,
    framesPerSecond: settings.progressFps,
  });
  let result: RestoreResult;
  try {
    result = await restoreBackup({ ...options, progress, signal });
  } catch (error) {
    display.stop("failed");
    throw error;
  }
  display.stop("done");
  reportRestored(output, options.plan, { result, seconds: display.seconds, variables });
}

async function started(
  context: Context,
  options: {
    readonly flags: RestoreFlags;
    readonly plan: RestorePlan;
    readonly programs: ServerPrograms;
    readonly account: ServerAccount | undefined;
  },
): Promise<void> {
  const { flags, plan, programs, account } = options;
  const { output, clock, signal } = context;
  let shown = "";
  const server = await startScratchServer({
    programs,
    dataDirectory: plan.folder.path,
    temporary: tmpdir(),
    account,
    environment: serverVariables(context),
    user: flags.superuser,
    until: "recovered",
    clock,
    signal,
    onReplay: (lsn) => {
      if (lsn !== shown) output.verbose(`replayed to ${lsn}`);
      shown = lsn;
    },
    onLine: (line) => output.veryVerbose(line),
  });
  await server.stop();
  requireArchiveEnd(plan, server.state);
  reportReached(output, plan, server.state);
}

function commandOf(
  context: Context,
  flags: RestoreFlags,
  server: string,
): { command: string; variables: readonly string[] } {
  if (flags.restoreCommand !== undefined) return { command: flags.restoreCommand, variables: [] };
  return walCommand(context, flags, server);
}

function targetFolder({ cwd }: Context, { to }: RestoreFlags): string {
  if (to !== undefined && to !== "") return resolve(Buffer.from(cwd, "latin1").toString(), to);
  throw new HoldfastError("USAGE", "no directory to restore into is named", {
    hint: "Name one that is absent or empty with --to.",
  });
}

function actionOf({ targetAction }: RestoreFlags): RestoreOptions["action"] {
  const action = ACTIONS.find((each) => each === targetAction);
  if (action !== undefined) return action;
  throw usage("--target-action", targetAction, `Use ${ACTIONS.join(", ")}.`);
}

function timelineOf({ timeline }: RestoreFlags): number | undefined {
  if (timeline === undefined) return undefined;
  const number = /^\d{1,10}$/.test(timeline) ? Number(timeline) : 0;
  if (number >= 1 && number <= 0xffffffff) return number;
  throw usage("--timeline", timeline, "Timelines are numbered from 1: see `holdfast pg info`.");
}

function tablespaceMap(given: readonly string[]): Map<string, string> {
  const map = new Map<string, string>();
  for (const text of given) {
    const equals = text.indexOf("=");
    const [key, folder] = [text.slice(0, Math.max(equals, 0)), text.slice(equals + 1)];
    if (key === "" || !folder.startsWith("/") || map.has(key))
      throw usage(
        "--tablespace-map",
        text,
        "Use OID=/absolute/folder or NAME=/absolute/folder, once for each.",
      );
    map.set(key, folder);
  }
  return map;
}

function accountOf(
  { machine }: Context,
  { owner }: RestoreFlags,
  folder: string,
): ServerAccount | undefined {
  if (owner === undefined) return serverAccount(machine.uid, folder);
  const [, uid, gid = uid] = /^(\d{1,9})(?::(\d{1,9}))?$/.exec(owner) ?? [];
  if (uid === undefined || machine.uid !== 0 || Number(uid) === 0)
    throw usage(
      "--owner",
      owner,
      "As root, name the number of a user that is not root, as 999 or 999:999.",
    );
  return { uid: Number(uid), gid: Number(gid) };
}

function usage(option: string, value: string, hint: string): HoldfastError {
  return new HoldfastError("USAGE", `${option}: ${JSON.stringify(value)} is not possible`, {
    hint,
  });
}
