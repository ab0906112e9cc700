// Which WAL a verification reads, and what it comes to.

import type { Catalogue } from "../../barman/catalogue.ts";
import type { CatalogueBackup } from "../../barman/catalogue-backup.ts";
import { isReleasable, type WalHolder } from "../../barman/needed-wal.ts";
import type { ListedObject } from "../../barman/wal-listing.ts";
import { isHoldfastError } from "../../base/errors.ts";
import type { ReadBudget } from "./budget.ts";
import type { Findings } from "./findings.ts";
import type { WalOutcome } from "./wal-check.ts";

export interface WalReport {
  readonly verdict: "verified" | "damaged" | "unread";
  readonly reason: string | undefined;
  readonly findings: readonly string[];
  readonly more: number;
  /** Objects that were read, and that there are to read. */
  readonly read: number;
  readonly objects: number;
}

export interface WalPlan {
  readonly read: readonly ListedObject[];
  /** How many objects there are, read or not. */
  readonly objects: number;
}

/** The WAL of the backups that are `read` comes first; the rest as far as the budget goes. */
export function planWal(
  catalogue: Catalogue,
  options: {
    /** The backups whose WAL is wanted; undefined for all WAL. */
    readonly chosen: readonly CatalogueBackup[] | undefined;
    readonly read: readonly CatalogueBackup[];
    readonly budget: ReadBudget;
    /** The order in which the budget is spent. */
    readonly shuffle: <T>(items: readonly T[]) => T[];
  },
): WalPlan {
  const { chosen, read, budget, shuffle } = options;
  const all = walObjects(catalogue);
  const wanted = chosen === undefined ? all : all.filter(isOf(chosen.flatMap(holder), catalogue));
  const isOwn = isOwnOf(read);
  const first = wanted.filter(isOwn);
  for (const { object } of first) budget.take(object.size);
  const rest = shuffle(wanted.filter((one) => !isOwn(one)));
  const more = rest.filter(({ object }) => budget.take(object.size));
  return { read: [...first, ...more].map(({ object }) => object), objects: wanted.length };
}

interface PlacedWal {
  readonly timeline: number;
  readonly segment: number;
  readonly object: ListedObject;
}

function walObjects({ wal }: Catalogue): PlacedWal[] {
  return [...wal].flatMap(([timeline, { segments, partials, labels }]) =>
    [...segments, ...partials, ...labels].map(([segment, object]) => ({
      timeline,
      segment,
      object,
    })),
  );
}

function holder({ info, segments }: CatalogueBackup): WalHolder[] {
  if (!segments || !info?.timeline) return [];
  const { timeline, segmentSize } = info;
  return [{ timeline, firstSegment: segments.first, lastSegment: null, segmentSize }];
}

/** True for WAL without which one of `backups` cannot be restored at all. */
function isOwnOf(backups: readonly CatalogueBackup[]): (wal: PlacedWal) => boolean {
  const ranges = backups.flatMap(({ info, segments }) =>
    segments && info?.timeline ? [{ timeline: info.timeline, ...segments }] : [],
  );
  return ({ timeline, segment }) =>
    ranges.some((own) => own.timeline === timeline && own.first <= segment && segment <= own.last);
}

function isOf(
  holders: readonly WalHolder[],
  { timelines, segmentSize }: Catalogue,
): (wal: PlacedWal) => boolean {
  return ({ timeline, segment }) =>
    holders.length > 0 && !isReleasable({ holders, timelines, segmentSize, timeline, segment });
}

/** What the reading came to, with what the catalogue alone tells. */
export function reportWal(
  plan: WalPlan,
  context: {
    readonly catalogue: Catalogue;
    readonly outcome: WalOutcome;
    readonly findings: Findings;
    /** The ids of the backups that were to be looked at. */
    readonly ids: readonly string[];
  },
): WalReport {
  const { catalogue, outcome, findings, ids } = context;
  for (const { state, firstMissing, count, cutsOff } of catalogue.gaps) {
    const cut = cutsOff.filter((id) => ids.includes(id));
    if (state !== "lost" || cut.length === 0) continue;
    const range = count === 1 ? firstMissing : `${firstMissing} and ${count - 1} behind it`;
    findings.add(`${range}: missing; cannot be followed past it: ${cut.join(", ")}`);
  }
  for (const problem of catalogue.problems)
    if (isHoldfastError(problem, "BARMAN_HISTORY_DAMAGED")) findings.add(problem.message);
  const reason = findings.isEmpty ? whyUnread(plan, catalogue, outcome) : undefined;
  return {
    verdict: !findings.isEmpty ? "damaged" : reason === undefined ? "verified" : "unread",
    reason,
    findings: findings.lines,
    more: findings.more,
    read: outcome.objects,
    objects: plan.objects,
  };
}

function whyUnread(
  plan: WalPlan,
  { problems }: Catalogue,
  { denied }: WalOutcome,
): string | undefined {
  const [first] = denied;
  if (first !== undefined) return `${first} could not be read`;
  const unread = problems.find((problem) => isHoldfastError(problem, "INCOMPLETE"));
  if (unread !== undefined) return unread.message;
  if (plan.objects === 0) return "there is none";
  if (plan.read.length === plan.objects) return undefined;
  return "the amount to be read was used up";
}
