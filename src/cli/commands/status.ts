// `status`: from when to when database and files can come back together. Looks at what is there with a viewer's rights: no
// lock, no write, also where other programs made all of it.

import { resolve } from "node:path";
import { parseDuration } from "../../base/duration.ts";
import { HoldfastError, isHoldfastError, messageOf, type ErrorCode } from "../../base/errors.ts";
import {
  joinSurvey,
  surveyArchive,
  surveyFilestores,
  type Filestore,
  type SurveyedArchive,
} from "../../odoo/survey.ts";
import { surveyLive, type LiveSurvey } from "../../odoo/survey-live.ts";
import { latestRuns, readJournal, type JournalEntry } from "../../plan/journal.ts";
import { byteStringToText } from "../../restic/byte-string.ts";
import { addArchiveOptions, openNamedArchive, type ArchiveFlags } from "../archive-session.ts";
import type { CommandModule, Context } from "../command.ts";
import { addDatabaseOptions, openNamedConnection, type DatabaseFlags } from "../database-option.ts";
import { EXIT } from "../exit-status.ts";
import {
  addCapturesOption,
  addFilestoreOption,
  namedFilestore,
  type InstanceFlags,
} from "../instance-options.ts";
import { collect } from "../option-values.ts";
import { openInstance } from "../instance-session.ts";
import { findRepositorySource } from "../repository-source.ts";
import { statusMessage } from "../status-message.ts";
import { jointTime, viewStatus, type Status } from "../status-report.ts";

interface StatusFlags extends ArchiveFlags, DatabaseFlags, InstanceFlags {
  maxLag?: string;
  state?: string;
  host: string[];
  path: string[];
}

export const statusCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    addArchiveOptions(command);
    addCapturesOption(command);
    addDatabaseOptions(command);
    addFilestoreOption(command);
    command
      .option("-H, --host <name>", "only snapshots of this host", collect, [])
      .option("--path <path>", "only snapshots of this path", collect, [])
      .option("--state <folder>", "tell what the runner there did last (or HOLDFAST_STATE)")
      .option("--max-lag <duration>", "fail when database and files are further behind: 5m, 26h")
      .addHelpText(
        "after",
        `
Examples:
  holdfast --from-secret secret.enc.yaml status --archive gs://company-backups/base --server odoo-db
  holdfast status --archive /backups/base -d "host=db1 user=odoo dbname=production" --filestore /srv/filestore/production
  holdfast status --max-lag 5m --json

Needs the repository or the archive, and says more with both. The database is asked only where it is named here, the
filestore only beside it. Nothing is locked or written. The status is 3 when something could not be read.`,
      );
  },

  async run(context, _, options) {
    const flags = options as unknown as StatusFlags;
    const { output, signal } = context;
    const maxLag =
      flags.maxLag === undefined ? undefined : parseDuration(flags.maxLag, "--max-lag");
    const hasRepository = isNamed(() => findRepositorySource(context.flags, context.environment));
    const hasArchive = Boolean(flags.archive || context.environment["HOLDFAST_ARCHIVE"]);
    if (!hasRepository && !hasArchive) {
      throw new HoldfastError("USAGE", "neither a repository nor an archive is named", {
        hint: "Use --repo or RESTIC_REPOSITORY, and --archive or HOLDFAST_ARCHIVE.",
      });
    }
    const problems: string[] = [];
    const [archive, filestores, live] = await Promise.all([
      hasArchive ? tolerant(problems, () => readArchive(context, flags)) : undefined,
      hasRepository ? tolerant(problems, () => readFilestores(context, flags, problems)) : [],
      tolerant(problems, () => readLive(context, flags)),
    ]);
    const runs = await readRuns(context, flags, problems);
    signal.throwIfAborted();
    const status: Status = {
      now: context.clock.now(),
      ...joinSurvey(filestores ?? [], archive),
      repository: !hasRepository ? "none" : filestores === undefined ? "failed" : "read",
      live,
      runs,
      problems: problems.concat(
        archive?.inventory.catalogue.problems.map((one) => one.message) ?? [],
      ),
    };
    if (output.isJson) output.json(statusMessage(status));
    else for (const line of viewStatus(status, { columns: output.columns })) output.data(line);
    if (maxLag !== undefined) requireNear(status, maxLag);
    return status.problems.length === 0 ? EXIT.ok : EXIT.incomplete;
  },
};

function isNamed(find: () => unknown): boolean {
  try {
    find();
    return true;
  } catch (error) {
    if (isHoldfastError(error, "USAGE") && /specify repository location/.test(error.message))
      return false;
    throw error;
  }
}

/** What is wrong about what was typed, or about everything. */
const ENDING: readonly ErrorCode[] = [
  "USAGE",
  "BUG",
  "CANCELLED",
  "WRONG_PASSWORD",
  "REPO_NOT_FOUND",
];

/** One part that cannot be read hides no other; what a person typed wrong ends everything. */
async function tolerant<T>(problems: string[], work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!isHoldfastError(error) || isHoldfastError(error, ...ENDING)) throw error;
    const { message, hint } = error as HoldfastError;
    problems.push(hint === undefined ? message : `${message}. ${hint}`);
    return undefined;
  }
}

async function readArchive(context: Context, flags: StatusFlags): Promise<SurveyedArchive> {
  const archive = await openNamedArchive(context, flags);
  return await surveyArchive(archive, { now: context.clock.now(), signal: context.signal });
}

async function readFilestores(
  context: Context,
  flags: StatusFlags,
  problems: string[],
): Promise<Filestore[]> {
  await using instance = await openInstance(context, flags);
  const { repository, captures, signal } = instance;
  const all = await surveyFilestores({
    repository,
    captures,
    onDamage: (_, error) => problems.push(error.message),
    signal,
  });
  const paths = flags.path.map((path) => resolve(byteStringToText(context.cwd), path));
  return all.filter(
    (one) =>
      (flags.host.length === 0 || flags.host.includes(one.hostname)) &&
      paths.every((path) => one.paths.includes(path)),
  );
}

/** Only where somebody named the database here: a variable that is set for other commands must not reach for a server. */
async function readLive(context: Context, flags: StatusFlags): Promise<LiveSurvey | undefined> {
  const filestore = namedFilestore(context, flags);
  if (flags.dbname === undefined) {
    if (flags.filestore === undefined) return undefined;
    throw new HoldfastError("USAGE", "--filestore is compared with rows of a database", {
      hint: "Name the database as well, with -d.",
    });
  }
  const { signal } = context;
  const connection = await openNamedConnection(context, flags);
  return await surveyLive({ connection, filestore, signal });
}

/** What a runner did last of each task; that it cannot be read hides nothing else. */
async function readRuns(
  { environment, cwd }: Context,
  { state }: StatusFlags,
  problems: string[],
): Promise<readonly JournalEntry[]> {
  const named = state || environment["HOLDFAST_STATE"];
  if (!named) return [];
  const folder = resolve(byteStringToText(cwd), named);
  try {
    const entries = await readJournal(folder);
    if (entries === undefined) problems.push(`there is no journal in ${folder}`);
    return latestRuns(entries ?? []);
  } catch (error) {
    problems.push(`the journal in ${folder} cannot be read: ${messageOf(error)}`);
    return [];
  }
}

function requireNear({ filestores, now }: Status, maxLag: number): void {
  for (const filestore of filestores.length === 0 ? [undefined] : filestores) {
    const time = filestore && jointTime(filestore);
    if (time !== undefined && now - time <= maxLag) continue;
    const name = filestore?.database ?? filestore?.paths.join(", ") ?? "the instance";
    const how =
      time === undefined
        ? "cannot return together to any moment"
        : `can return together only to ${new Date(time).toISOString()}, ${Math.round((now - time) / 1000)} s ago`;
    throw new HoldfastError("WATERMARK_BEHIND", `${name}: database and files ${how}`, {
      hint: "The report says what is behind: look at the process that should have brought it.",
    });
  }
}
