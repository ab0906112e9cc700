// Reads an archive to prove that it can be restored: every tar to its end and every file against the manifest, every
// segment of WAL against its name and the one before it, the histories against each other
// (docs/operations/postgres-catalogue.md#verification). Needs a viewer's rights. What was not looked at is never called
// verified.

import type { Catalogue } from "../barman/catalogue.ts";
import type { CatalogueBackup } from "../barman/catalogue-backup.ts";
import type { ListedObject } from "../barman/wal-listing.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { Progress } from "../base/progress.ts";
import { loadCatalogue, requireArchive, type Archive } from "./archive.ts";
import { checkBackup, contentOf } from "./verify/backup-check.ts";
import { ReadBudget } from "./verify/budget.ts";
import { Findings } from "./verify/findings.ts";
import { checkWal, type WalOutcome } from "./verify/wal-check.ts";
import { planWal, reportWal, type WalReport } from "./verify/wal-report.ts";

export interface VerifyOptions {
  readonly archive: Archive;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The ids of the backups to look at, with the WAL that they need; all by default. */
  readonly backups?: readonly string[];
  /** Reads no backup. */
  readonly walOnly?: boolean;
  /** Bytes to read, about; everything by default. What is begun is read whole. */
  readonly budget?: number | undefined;
  /** The order in which a budget is spent, another one each time. */
  readonly shuffle: <T>(items: readonly T[]) => T[];
  readonly progress?: Progress;
  /** How many objects are read at once; each takes up to 20 MiB of memory. */
  readonly parallel?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * `verified`: all files match the manifest, and its WAL is whole. `structure`: there is no checksum to hold the files
 * against; everything else is right. `damaged`: it cannot be restored, or not to what it was. `unread`: nothing is known.
 */
export type Verdict = "verified" | "structure" | "damaged" | "unread";

export interface BackupReport {
  readonly id: string;
  readonly verdict: Verdict;
  /** Why it is not `verified`, when nothing was found. */
  readonly reason: string | undefined;
  readonly findings: readonly string[];
  /** How many more were found. */
  readonly more: number;
  readonly files: number;
  /** Of the files, without compression. */
  readonly bytes: number;
}

export interface VerifyReport {
  readonly catalogue: Catalogue;
  readonly backups: readonly BackupReport[];
  readonly wal: WalReport;
  /** Bytes as they are stored. */
  readonly bytesRead: number;
  /** The paths of what we may not read. */
  readonly denied: readonly string[];
}

/** For the segments that are looked at together; one of a larger size is looked at alone. */
const WAL_MEMORY = 64 << 20;

/** Verifies an archive. Throws BACKUP_NOT_FOUND for an id that is none of its backups, ARCHIVE_NOT_FOUND where there is none. */
export async function verifyArchive(options: VerifyOptions): Promise<VerifyReport> {
  const { archive, now, signal, walOnly = false, budget: limit } = options;
  const { progress = new Progress(), parallel = 2 } = options;
  const catalogue = await loadCatalogue(archive, { now, signal });
  requireArchive(archive, catalogue);
  const chosen = choose(catalogue, options.backups);
  const budget = new ReadBudget(limit);
  const inOrder = limit === undefined ? chosen : options.shuffle(chosen);
  const plans = inOrder.map((backup) => planBackup(backup, budget, { walOnly }));
  const wal = planWal(catalogue, {
    chosen: options.backups && chosen,
    read: plans.filter(({ skip }) => skip === undefined).map(({ backup }) => backup),
    budget,
    shuffle: limit === undefined ? (items) => [...items] : options.shuffle,
  });
  for (const { objects } of [...plans, { objects: wal.read }])
    progress.addTotal({ files: objects.length, bytes: sizeOf(objects) });
  progress.totalComplete();

  const common = { archive, progress, parallel, signal };
  const walFindings = new Findings();
  const systemId = catalogue.backups.findLast(
    ({ info, state }) => state === "done" && info?.systemId,
  )?.info?.systemId;
  const walOutcome = await checkWal(wal.read, {
    ...common,
    // A segment is held whole, twice when it is compressed.
    parallel: Math.max(1, Math.min(parallel, Math.floor(WAL_MEMORY / catalogue.segmentSize))),
    catalogue,
    systemId: systemId ?? undefined,
    findings: walFindings,
  });
  const backups: BackupReport[] = [];
  const denied = [...walOutcome.denied];
  for (const plan of plans)
    backups.push(await reportBackup(plan, { ...common, catalogue, walOutcome, denied }));
  const read = plans.filter(({ skip }) => skip === undefined).flatMap(({ objects }) => objects);
  return {
    catalogue,
    denied,
    backups: backups.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    wal: reportWal(wal, {
      catalogue,
      outcome: walOutcome,
      findings: walFindings,
      ids: chosen.map(({ id }) => id),
    }),
    bytesRead: sizeOf(read) + walOutcome.bytes,
  };
}

function choose(
  { backups }: Catalogue,
  ids: readonly string[] | undefined,
): readonly CatalogueBackup[] {
  if (ids === undefined) return backups;
  const unknown = ids.find((id) => !backups.some((backup) => backup.id === id));
  if (unknown === undefined) return backups.filter(({ id }) => ids.includes(id));
  const message = `the archive has no backup ${JSON.stringify(unknown.slice(0, 80))}`;
  throw new HoldfastError("BACKUP_NOT_FOUND", message, {
    hint: "Choose an id that `holdfast pg list` shows.",
  });
}

interface BackupPlan {
  readonly backup: CatalogueBackup;
  /** What is to be read. */
  readonly objects: readonly ListedObject[];
  /** Why it is not read. */
  readonly skip: string | undefined;
}

function planBackup(
  backup: CatalogueBackup,
  budget: ReadBudget,
  { walOnly }: { readonly walOnly: boolean },
): BackupPlan {
  const objects = contentOf(backup);
  const skip =
    backup.state === "failed" || backup.state === "unfinished"
      ? backup.flaws[0]
      : backup.state === "unreadable"
        ? "its backup.info could not be read"
        : backup.type === "snapshot"
          ? "its data are snapshots of disks, which only their provider can check"
          : walOnly
            ? "only WAL was to be read"
            : budget.take(sizeOf(objects))
              ? undefined
              : "the amount to be read was used up";
  return { backup, objects: skip === undefined ? objects : [], skip };
}

interface ReportContext {
  readonly archive: Archive;
  readonly catalogue: Catalogue;
  readonly walOutcome: WalOutcome;
  /** Takes the paths of what we may not read. */
  readonly denied: string[];
  readonly progress: Progress;
  readonly parallel: number;
  readonly signal?: AbortSignal | undefined;
}

async function reportBackup(
  { backup, skip }: BackupPlan,
  context: ReportContext,
): Promise<BackupReport> {
  const { id, state, flaws, type } = backup;
  const findings = new Findings();
  // One whose backup.info we may not read may be all right.
  const { problems } = context.catalogue;
  const isDenied = problems.some(
    (problem) => isHoldfastError(problem, "INCOMPLETE") && flaws.includes(problem.message),
  );
  if (state === "done" || (state === "unreadable" && !isDenied)) {
    for (const flaw of flaws) if (!isNoFault(flaw, backup)) findings.add(flaw);
    for (const line of damagedWal(backup, context)) findings.add(line);
  }
  const nothing = { id, files: 0, bytes: 0 };
  if (skip !== undefined) {
    const verdict = findings.isEmpty ? "unread" : "damaged";
    return { ...nothing, verdict, reason: skip, findings: findings.lines, more: findings.more };
  }
  const outcome = await checkBackup(backup, { ...context, findings });
  const isParentThere =
    type !== "increment" || context.catalogue.backups.some((one) => one.id === backup.parent);
  if (!isParentThere) findings.add(`${backup.parent}, which it is an increment of, is missing`);
  const { files, bytes, isSummed } = outcome;
  context.denied.push(...outcome.denied);
  const unread = [...outcome.denied, ...unreadWal(backup, context)];
  const [verdict, reason] = !findings.isEmpty
    ? (["damaged", undefined] as const)
    : unread.length > 0
      ? (["unread", `${unread[0]} could not be read`] as const)
      : isSummed
        ? (["verified", undefined] as const)
        : ([
            "structure",
            "there is no checksum of its files: only their structure was checked",
          ] as const);
  return { id, verdict, reason, findings: findings.lines, more: findings.more, files, bytes };
}

/** What keeps a backup from being restored just so, and is no damage. */
function isNoFault(flaw: string, { type }: CatalogueBackup): boolean {
  return (
    (type === "increment" && flaw.startsWith("it is an increment of ")) ||
    (type === "snapshot" && flaw.startsWith("its data are snapshots "))
  );
}

function pathsOfOwnWal(backup: CatalogueBackup, { wal }: Catalogue): string[] {
  const own = wal.get(backup.info?.timeline ?? 0);
  if (!own || !backup.segments) return [];
  const { first, last } = backup.segments;
  return Array.from(
    { length: last - first + 1 },
    (_, i) => own.segments.get(first + i)?.path,
  ).filter((path) => path !== undefined);
}

function damagedWal(backup: CatalogueBackup, { catalogue, walOutcome }: ReportContext): string[] {
  return pathsOfOwnWal(backup, catalogue)
    .filter((path) => walOutcome.damaged.has(path))
    .map((path) => `${path}, which it needs, is damaged`);
}

function unreadWal(backup: CatalogueBackup, { catalogue, walOutcome }: ReportContext): string[] {
  return pathsOfOwnWal(backup, catalogue).filter((path) => walOutcome.denied.has(path));
}

function sizeOf(objects: readonly ListedObject[]): number {
  return objects.reduce((sum, { size }) => sum + size, 0);
}
