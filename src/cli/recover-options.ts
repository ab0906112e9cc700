// The options with which `recover` recovers a moment of a database and its files; without any of them it is restic's.

import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { parseLsn } from "../barman/lsn.ts";
import { requireTarget } from "../barman/recovery-target.ts";
import { HoldfastError } from "../base/errors.ts";
import type { MomentTarget } from "../odoo/recovery-plan.ts";
import { serverAccount } from "../postgres/server-account.ts";
import type { ServerAccount } from "../postgres/server-process.ts";
import { addArchiveOptions, type ArchiveFlags } from "./archive-session.ts";
import { addDatabaseOptions, type DatabaseFlags } from "./database-option.ts";
import type { Context } from "./command.ts";
import { addCapturesOption, namedFilestore, type InstanceFlags } from "./instance-options.ts";
import { readMoment } from "./recovery-target-option.ts";

export interface RecoverFlags extends ArchiveFlags, InstanceFlags, DatabaseFlags {
  at?: string;
  latest?: boolean;
  latestComplete?: boolean;
  restorePoint?: string;
  lsn?: string;
  heal?: boolean;
  yes?: boolean;
  to?: string;
  intoServer?: string;
  newDatabase?: string;
  scratch?: string;
  database?: string;
  backup?: string;
  timeline?: string;
  leavePaused?: boolean;
  owner?: string;
  filesOwner?: string;
  postgresBin?: string;
  superuser: string;
  dryRun?: boolean;
}

/** Adds all of them. */
export function addRecoverOptions(command: Command): void {
  command
    .option("--at <time>", "a moment: 2026-01-31 15:04:05, local or with +00:00")
    .option("--latest", "the end of the archive, with all files that can be had")
    .option("--latest-complete", "the watermark: the newest moment whose files are all captured")
    .option("--restore-point <name>", "a restore point, made with pg_create_restore_point")
    .option("--lsn <position>", "a position in the log: 16/B374D848")
    .option("--to <directory>", "a new directory for pgdata, filestore/DATABASE and the report")
    .option("--into-server <conninfo>", "instead: a running server that gets a new database")
    .option("--new-database <name>", "its name, for --into-server: it does not exist yet")
    .option("--filestore <directory>", "a new folder for the files alone; for --heal: the live one")
    .option("--scratch <directory>", "where --into-server builds what it throws away")
    .option("--database <name>", "Odoo's database (default: the captured one, or the only one)")
    .option("--backup <id>", "begin with this base backup (default: the best for the moment)")
    .option("--timeline <number>", "follow this timeline (default: the one of the moment)")
    .option("--leave-paused", "leave the database in recovery at the moment, read-only")
    .option("--heal", "put missing and damaged files of a live filestore back")
    .option("--yes", "with --heal: do it; without, it is only shown")
    .option("--owner <uid[:gid]>", "who owns pgdata (root only; default: postgres or nobody)")
    .option("--files-owner <uid[:gid]>", "who owns the files (root only; default: the live one's)")
    .option("--postgres-bin <directory>", "folder of PostgreSQL's programs")
    .option("--superuser <name>", "a superuser of the archived database", "postgres")
    .option("-n, --dry-run", "show the plan and write nothing");
  addArchiveOptions(command);
  addCapturesOption(command);
  addDatabaseOptions(command);
}

/** Options that mean nothing without a moment. */
const LONELY: readonly (keyof RecoverFlags)[] = [
  "to",
  "intoServer",
  "newDatabase",
  "filestore",
  "scratch",
  "database",
  "backup",
  "timeline",
  "leavePaused",
  "yes",
  "owner",
  "filesOwner",
  "postgresBin",
  "dryRun",
  "archive",
  "server",
  "captures",
  "dbname",
];

/** True when a moment is to be recovered, or a filestore healed. Throws USAGE for options of that without a moment. */
export function isMomentWanted(flags: RecoverFlags): boolean {
  if (targetsOf(flags).length > 0 || flags.heal === true) return true;
  // Whoever asks for a dry run, or names a place, does not mean the command that writes a snapshot.
  if (LONELY.every((name) => flags[name] === undefined)) return false;
  throw new HoldfastError("USAGE", "no moment is named", {
    hint: "Name one with --at TIME, --latest, --latest-complete, --restore-point NAME or --lsn POSITION; or use --heal.",
  });
}

function targetsOf(flags: RecoverFlags): (() => MomentTarget)[] {
  const { at, latest, latestComplete, restorePoint, lsn } = flags;
  const targets: (() => MomentTarget)[] = [];
  if (at !== undefined) targets.push(() => ({ kind: "time", micros: readMoment(at, "--at") }));
  if (latest === true) targets.push(() => ({ kind: "latest" }));
  if (latestComplete === true) targets.push(() => ({ kind: "latest-complete" }));
  if (restorePoint !== undefined) targets.push(() => ({ kind: "name", name: restorePoint }));
  if (lsn !== undefined) targets.push(() => ({ kind: "lsn", lsn: parseLsn(lsn, "--lsn") }));
  return targets;
}

/** The one moment that was named. Throws USAGE. */
export function momentTarget(flags: RecoverFlags): MomentTarget {
  const targets = targetsOf(flags);
  if (flags.yes === true) throw misplaced("--yes", "--heal");
  if (flags.newDatabase !== undefined && flags.intoServer === undefined)
    throw misplaced("--new-database", "--into-server");
  if (targets.length !== 1)
    throw new HoldfastError("USAGE", "more than one moment is named", {
      hint: "Use one of --at, --latest, --latest-complete, --restore-point and --lsn.",
    });
  const target = targets[0]!();
  if (target.kind !== "latest-complete") requireTarget(target);
  return target;
}

/** Throws USAGE for a moment beside --heal, which has none. */
export function requireHealAlone(flags: RecoverFlags): void {
  if (targetsOf(flags).length > 0 || flags.to !== undefined || flags.intoServer !== undefined)
    throw new HoldfastError("USAGE", "--heal puts files back as the live database needs them now", {
      hint: "Leave the moment out, or recover it into a new directory without --heal.",
    });
}

function misplaced(option: string, other: string): HoldfastError {
  return new HoldfastError("USAGE", `${option} is for ${other}`, {
    hint: `Leave it out, or add ${other}.`,
  });
}

/** The number that --timeline names. Throws USAGE. */
export function timelineOf({ timeline }: RecoverFlags): number | undefined {
  if (timeline === undefined) return undefined;
  const number = /^\d{1,10}$/.test(timeline) ? Number(timeline) : 0;
  if (number >= 1 && number <= 0xffffffff) return number;
  throw usage("--timeline", timeline, "Timelines are numbered from 1: see `holdfast pg info`.");
}

/** An absolute path. */
export function pathFrom({ cwd }: Context, path: string): string {
  return resolve(Buffer.from(cwd, "latin1").toString(), path);
}

/** Who owns the database, and who the files. Throws USAGE. */
export function accountsOf(
  context: Context,
  flags: RecoverFlags,
): { database: ServerAccount | undefined; files: ServerAccount | undefined } {
  const { uid } = context.machine;
  return {
    database:
      flags.owner === undefined ? serverAccount(uid) : ownerOf("--owner", flags.owner, uid, false),
    files:
      flags.filesOwner === undefined
        ? liveOwner(context)
        : ownerOf("--files-owner", flags.filesOwner, uid, true),
  };
}

/** Whoever owns the live filestore, for root, who can be anybody. */
function liveOwner(context: Context): ServerAccount | undefined {
  if (context.machine.uid !== 0) return undefined;
  const live = namedFilestore(context, {});
  const stats = live === undefined ? undefined : statSync(live, { throwIfNoEntry: false });
  return stats && { uid: stats.uid, gid: stats.gid };
}

function ownerOf(option: string, text: string, uid: number, mayBeRoot: boolean): ServerAccount {
  const [, user, group = user] = /^(\d{1,9})(?::(\d{1,9}))?$/.exec(text) ?? [];
  if (user === undefined || uid !== 0 || (Number(user) === 0 && !mayBeRoot))
    throw usage(option, text, "As root, name the number of a user, as 101 or 101:101.");
  return { uid: Number(user), gid: Number(group) };
}

function usage(option: string, value: string, hint: string): HoldfastError {
  return new HoldfastError("USAGE", `${option}: ${JSON.stringify(value)} is not possible`, {
    hint,
  });
}
