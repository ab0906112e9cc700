// A moment recovered: the database at T on a server of our own, then exactly the files that it refers to, and only when both
// are written the folder gets its final names. What is missing is in the report, by name and class; nothing is called
// recovered that was not checked. Never writes into anything that is in use.

import type { RecoveryTarget } from "../barman/recovery-target.ts";
import type { Clock, Random } from "../base/clock.ts";
import type { HoldfastError } from "../base/errors.ts";
import { Progress } from "../base/progress.ts";
import type { RestoreResult } from "../postgres/restore.ts";
import type { ServerState } from "../postgres/scratch.ts";
import type { ServerAccount } from "../postgres/server-process.ts";
import type { ServerPrograms } from "../postgres/server-programs.ts";
import { readRecords, type AttachmentRecord } from "./attachment-records.ts";
import type { CopiedDatabase } from "./copy-database.ts";
import { openPool } from "./pool.ts";
import { readReferences } from "./read-references.ts";
import { recoverDatabase, type RecoveredDatabase } from "./recover-database.ts";
import { recoverFiles, type FilesReport } from "./recover-files.ts";
import type { RecoveryPlan } from "./recovery-plan.ts";
import { coverageOf, type Coverage } from "./recovery/coverage.ts";
import { chooseDatabase } from "./recovery/odoo-database.ts";
import { recoveryDocument } from "./recovery-document.ts";
import { readSourceProblems } from "./recovery/source-problems.ts";
import { pathOf, type References } from "./references.ts";

/** What a recovery does, one after the other. */
export type RecoveryStage =
  | "restore"
  | "replay"
  | "references"
  | "pool"
  | "files"
  | "copy"
  | "open";

export interface RecoverMomentOptions {
  readonly plan: RecoveryPlan;
  /** Of the plan's major. */
  readonly programs: ServerPrograms;
  /** How the server gets its WAL, and what that command needs in its environment. */
  readonly restoreCommand: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Who owns the database, and who the files; undefined is whoever we are. */
  readonly accounts: {
    readonly database: ServerAccount | undefined;
    readonly files: ServerAccount | undefined;
  };
  readonly superuser?: string | undefined;
  /** Folder for sockets: a short path. */
  readonly temporary: string;
  /** Leave the database where its recovery paused, read-only, instead of opening it on a new timeline. */
  readonly leavePaused?: boolean;
  /** Copies the database elsewhere while its server runs; undone when the files cannot be written. */
  readonly copyTo?: (
    recovered: RecoveredDatabase,
    database: string,
  ) => Promise<CopiedDatabase | undefined>;
  /** False: the data directory is not kept, and need not be durable. */
  readonly keepsDatabase?: boolean;
  /** "holdfast 0.1.0". */
  readonly program: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: RecoveryEvents;
  readonly signal?: AbortSignal | undefined;
}

export interface RecoveryEvents {
  /** A stage begins; its counters, where it counts something. */
  readonly stage: (stage: RecoveryStage, counters: Progress | undefined) => void;
  readonly replayed: (lsn: string) => void;
  readonly line: (line: string) => void;
  readonly walked: (walked: number, total: number) => void;
  /** Something of a repository is damaged or gone; another copy may make up for it. */
  readonly damage: (what: string, error: HoldfastError) => void;
}

export interface RecoveryReport {
  readonly plan: RecoveryPlan;
  /** Odoo's database. */
  readonly database: string;
  readonly restored: RestoreResult;
  /** Where the replay came to, before the database was opened. */
  readonly reached: ServerState;
  /** Where the database was left. */
  readonly left: ServerState;
  /** As positions say it. */
  readonly coverage: Coverage;
  readonly references: References;
  readonly files: FilesReport;
  /** The attachments that the first of the missing files belong to, by SHA-1. */
  readonly records: ReadonlyMap<string, readonly AttachmentRecord[]>;
  /** Where things are. */
  readonly dataDirectory: string | undefined;
  readonly filestore: string;
  /** What `copyTo` made. */
  readonly copied: Omit<CopiedDatabase, "undo"> | undefined;
  /** What of repositories was damaged or gone. */
  readonly damage: readonly string[];
  /** Milliseconds since 1970. */
  readonly begun: number;
  readonly ended: number;
  readonly seconds: Readonly<Record<RecoveryStage, number>> & { readonly total: number };
  readonly postgres: string;
  readonly program: string;
}

/** The name of the report in the folder that was recovered into. */
export const REPORT_NAME = "recovery-report.json";

/**
 * Recovers. A report with missing files is no error here: `hasAllFiles` tells. When this throws, nothing has its final name;
 * what was written stays with a mark, and the next recovery into the same folder takes it over. Throws what `recoverDatabase`
 * and `recoverFiles` do, ODOO_NOT_FOUND, USAGE for several databases without a name.
 */
export async function recoverMoment(options: RecoverMomentOptions): Promise<RecoveryReport> {
  const { plan, clock, events, keepsDatabase = true } = options;
  const run: Run = { begun: clock.now(), watch: new StopWatch(clock, events), damage: [] };
  plan.place.claim();
  try {
    await using recovered = await databaseOf(options, run.watch);
    const report = await withDatabase(options, recovered, run);
    const content = `${JSON.stringify(recoveryDocument(report), undefined, 2)}\n`;
    if (keepsDatabase) await plan.place.complete({ name: REPORT_NAME, content });
    return report;
  } catch (error) {
    plan.place.release();
    throw error;
  }
}

async function databaseOf(
  options: RecoverMomentOptions,
  watch: StopWatch,
): Promise<RecoveredDatabase> {
  const { plan, accounts, clock, events, signal, keepsDatabase = true } = options;
  const progress = new Progress();
  watch.begin("restore", progress);
  return await recoverDatabase({
    plan: plan.database,
    exclusive: plan.exclusive,
    settled: plan.settled,
    programs: options.programs,
    restoreCommand: options.restoreCommand,
    environment: options.environment,
    account: accounts.database,
    superuser: options.superuser,
    temporary: options.temporary,
    durable: keepsDatabase,
    clock,
    progress,
    signal,
    onRestored: () => watch.begin("replay", undefined),
    onReplay: events.replayed,
    onLine: events.line,
  });
}

/** What goes along with one recovery. */
interface Run {
  readonly begun: number;
  readonly watch: StopWatch;
  readonly damage: string[];
}

/** Everything between the database at its moment and the end of its server. */
async function withDatabase(
  options: RecoverMomentOptions,
  recovered: RecoveredDatabase,
  { begun, watch, damage }: Run,
): Promise<RecoveryReport> {
  const { plan, clock, signal, keepsDatabase = true } = options;
  watch.begin("references", undefined);
  const database = await chooseDatabase(recovered, {
    named: plan.namedDatabase,
    captured: plan.capturedDatabase,
    signal,
  });
  const references = await referencesOf(recovered, database, signal);
  let copied: CopiedDatabase | undefined;
  if (options.copyTo) {
    watch.begin("copy", undefined);
    copied = await options.copyTo(recovered, database);
  }
  const { files, filestore } = await bringFiles(options, {
    database,
    references,
    watch,
    damage,
  }).catch(async (error: unknown) => {
    await copied?.undo().catch(() => {});
    throw error;
  });
  const records = await recordsOf(recovered, { database, references, files, signal });
  const reached = recovered.state;
  watch.begin("open", undefined);
  if (options.leavePaused !== true && keepsDatabase) await recovered.promote();
  await recovered.stop();
  return {
    plan,
    database,
    restored: recovered.restored,
    reached,
    left: recovered.state,
    coverage: exactCoverage(plan, recovered, database),
    references,
    files,
    records,
    dataDirectory: keepsDatabase ? plan.place.dataDirectory : undefined,
    filestore,
    copied,
    damage,
    begun,
    ended: clock.now(),
    seconds: watch.finish(),
    postgres: options.programs.version,
    program: options.program,
  };
}

async function bringFiles(
  { plan, accounts, random, events, signal }: RecoverMomentOptions,
  found: {
    readonly database: string;
    readonly references: References;
    readonly watch: StopWatch;
    readonly damage: string[];
  },
): Promise<{ files: FilesReport; filestore: string }> {
  const { database, references, watch, damage } = found;
  const onDamage = (what: string, error: HoldfastError): void => {
    if (damage.length < DAMAGE_MAX) damage.push(`${what}: ${error.message}`);
    events.damage(what, error);
  };
  watch.begin("pool", undefined);
  const wanted = references.files.names;
  const onWalk = events.walked;
  const pool = await openPool({ sources: sourcesOf(plan), wanted, onDamage, onWalk, signal });
  const problems = await readSourceProblems({
    captures: pool.captures,
    database: plan.capturedDatabase ?? database,
    onDamage,
    signal,
  });
  const filestore = plan.filestore ?? plan.place.filestore(database);
  if (plan.filestore === undefined) plan.place.reopenFilestore(filestore);
  const progress = new Progress();
  watch.begin("files", progress);
  const files = await recoverFiles({
    files: references.files,
    unknown: references.unknown,
    pool,
    folder: filestore,
    missingAtSource: problems.missing,
    corruptAtSource: problems.corrupt,
    account: accounts.files,
    random,
    progress,
    signal,
  });
  return { files, filestore };
}

const DAMAGE_MAX = 1000;
/** Files whose attachments are told. */
const PROBLEMS_MAX = 10_000;

/** The attachments of the files that could not be had, the worst first. */
async function recordsOf(
  recovered: RecoveredDatabase,
  found: {
    readonly database: string;
    readonly references: References;
    readonly files: FilesReport;
    readonly signal: AbortSignal | undefined;
  },
): Promise<Map<string, AttachmentRecord[]>> {
  const { missing, corrupt, missingAtSource, corruptAtSource, regenerable } = found.files;
  const names = [...missing, ...corrupt, ...missingAtSource, ...corruptAtSource, ...regenerable];
  if (names.length === 0) return new Map();
  const paths = names.slice(0, PROBLEMS_MAX).map((sha1) => pathOf(found.references.files, sha1));
  const connection = await recovered.connect(found.database);
  try {
    const records = await readRecords(connection, paths, { signal: found.signal });
    return new Map([...records].map(([path, rows]) => [path.slice(path.indexOf("/") + 1), rows]));
  } finally {
    await connection.close();
  }
}

function sourcesOf({
  repository,
  captures,
}: RecoveryPlan): Parameters<typeof openPool>[0]["sources"] {
  const full = { repository, kind: "snapshots" as const };
  return captures === undefined
    ? [full]
    : [{ repository: captures, kind: "captures" as const }, full];
}

async function referencesOf(
  recovered: RecoveredDatabase,
  database: string,
  signal: AbortSignal | undefined,
): Promise<References> {
  const connection = await recovered.connect(database);
  try {
    return await readReferences(connection, { signal });
  } finally {
    await connection.close();
  }
}

/** What captures say of the position that the replay came to. */
function exactCoverage(
  plan: RecoveryPlan,
  recovered: RecoveredDatabase,
  recoveredName: string,
): Coverage {
  const { settled, database, capturedDatabase } = plan;
  const { choice } = database;
  if (capturedDatabase !== undefined && capturedDatabase !== recoveredName)
    return {
      kind: "unknown",
      why: `the captures are of the database ${JSON.stringify(capturedDatabase)}`,
    };
  // The log may go on behind the moment, with nothing in it that was committed by then.
  const lsn = settled !== undefined && settled < recovered.lsn ? settled : recovered.lsn;
  return coverageOf(
    { kind: "lsn", lsn, time: timeReached(choice.target, recovered.state) },
    {
      captures: plan.marked,
      snapshots: plan.fulls,
      choice,
      systemId: recovered.restored.control.systemId,
    },
  );
}

/** A time that the moment is not before, in milliseconds since 1970: the wanted one, or that of the last commit. */
function timeReached(target: RecoveryTarget, { time }: ServerState): number | undefined {
  if (target.kind === "time") return target.micros / 1000;
  const reached = Date.parse(time ?? "");
  return Number.isFinite(reached) ? reached : undefined;
}

/** How long each stage takes. */
class StopWatch {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #events: RecoveryEvents;
  readonly #start: number;
  readonly #seconds: Record<RecoveryStage, number> = {
    restore: 0,
    replay: 0,
    references: 0,
    pool: 0,
    files: 0,
    copy: 0,
    open: 0,
  };
  #stage: RecoveryStage | undefined;
  #since: number;

  constructor(clock: Pick<Clock, "monotonic">, events: RecoveryEvents) {
    this.#clock = clock;
    this.#events = events;
    this.#start = clock.monotonic();
    this.#since = this.#start;
  }

  begin(stage: RecoveryStage, counters: Progress | undefined): void {
    this.#end();
    this.#stage = stage;
    this.#events.stage(stage, counters);
  }

  finish(): RecoveryReport["seconds"] {
    this.#end();
    return { ...this.#seconds, total: (this.#since - this.#start) / 1000 };
  }

  #end(): void {
    const now = this.#clock.monotonic();
    if (this.#stage !== undefined) this.#seconds[this.#stage] += (now - this.#since) / 1000;
    this.#since = now;
  }
}
