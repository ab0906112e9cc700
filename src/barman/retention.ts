// Which backups of an archive are still wanted (docs/formats/barman.md#retention). Decides as Barman does, so that both
// can work on one archive; which WAL the wanted ones need is src/barman/needed-wal.ts. Nothing here deletes.

import { HoldfastError } from "../base/errors.ts";

export type RetentionPolicy =
  | { readonly kind: "redundancy"; readonly count: number }
  | { readonly kind: "window"; readonly count: number; readonly unit: WindowUnit };

type WindowUnit = "DAYS" | "WEEKS" | "MONTHS";

/** What the user said of one backup, in `annotations/keep`. */
export type Keep = "full" | "standalone";

/**
 * What becomes of a backup: `valid` and the kept ones stay; `extra` is older than the window, but stays because there
 * would be too few; `obsolete` goes; `none` is not a backup that is done, and no policy speaks of it.
 */
export type Verdict = "valid" | "extra" | "obsolete" | "keep-full" | "keep-standalone" | "none";

export interface RetainedBackup {
  readonly id: string;
  readonly isDone: boolean;
  /** Milliseconds since 1970; of a backup that is done. */
  readonly endTime: number | undefined;
  readonly keep: Keep | undefined;
  /** False when it is done, but cannot be restored: it stays as long as others of its age, and counts for nothing. */
  readonly isSound?: boolean;
  /** The id of the backup that this one is an increment of. */
  readonly parent?: string | undefined;
  /** Those of the branches that it leads to; all without. */
  readonly branches?: ReadonlySet<number> | undefined;
}

const DAY = 86_400_000;
const UNIT_DAYS: Readonly<Record<WindowUnit, number>> = { DAYS: 1, WEEKS: 7, MONTHS: 31 };
const REDUNDANCY = /^\s*redundancy\s+(\d{1,9})\s*$/i;
const WINDOW = /^\s*recovery\s+window\s+of\s+(\d{1,9})\s+(day|week|month)s?\s*$/i;
const SHORT = /^\s*([1-9]\d{0,8})(?:([dwm])|\s*(day|week|month)s?)\s*$/;

/**
 * Reads `REDUNDANCY 3`, `RECOVERY WINDOW OF 30 DAYS`, `30 days`, or CloudNativePG's `30d`. Throws USAGE naming `source` for
 * anything else, and for a policy that keeps nothing.
 */
export function parseRetentionPolicy(text: string, source: string): RetentionPolicy {
  const redundancy = REDUNDANCY.exec(text)?.[1];
  const [, size, letters, word] = WINDOW.exec(text) ?? SHORT.exec(text) ?? [];
  const count = Number(redundancy ?? size ?? 0);
  if (count === 0) {
    throw new HoldfastError("USAGE", `${source}: "${text}" is not a retention policy`, {
      hint: "Give REDUNDANCY n or RECOVERY WINDOW OF n DAYS, WEEKS or MONTHS, with n of at least 1.",
    });
  }
  if (redundancy !== undefined) return { kind: "redundancy", count };
  const letter = (letters ?? word)![0]!.toLowerCase();
  return {
    kind: "window",
    count,
    unit: letter === "d" ? "DAYS" : letter === "w" ? "WEEKS" : "MONTHS",
  };
}

/** The policy in Barman's words. */
export function formatRetentionPolicy(policy: RetentionPolicy): string {
  if (policy.kind === "redundancy") return `REDUNDANCY ${policy.count}`;
  return `RECOVERY WINDOW OF ${policy.count} ${policy.unit}`;
}

/** The first moment that the policy asks to be recoverable, in milliseconds since 1970; undefined for a redundancy. */
export function windowStart(policy: RetentionPolicy, now: number): number | undefined {
  if (policy.kind === "redundancy") return undefined;
  return now - policy.count * UNIT_DAYS[policy.unit] * DAY;
}

/** What an `annotations/keep` asks for. Whatever it says, a person wanted the backup to stay. */
export function readKeep(content: string): Keep {
  return content.split("\n", 1)[0] === "standalone" ? "standalone" : "full";
}

export interface Judgement {
  readonly verdict: Verdict;
  /** The WAL that must stay for it: all from its beginning on, its own from beginning to end, or none. */
  readonly wal: "all" | "own" | "none";
}

interface Judging {
  readonly backups: readonly RetainedBackup[];
  readonly policy: RetentionPolicy;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** So many backups stay in any case, if there are that many. */
  readonly minimum?: number;
  /** The timelines that the policy is to hold for, each by itself; without any, all backups count as of one. */
  readonly branches?: readonly number[];
}

/** What becomes of each of `backups`, by id. */
export function judgeBackups(options: Judging): Map<string, Judgement> {
  const judged = judgeRoots(options);
  const byId = new Map(options.backups.map((backup) => [backup.id, backup]));
  const increments = options.backups.filter(({ isDone, parent }) => isDone && parent !== undefined);
  const chains = increments.map((backup) => ({ backup, chain: chainOf(backup, byId) }));
  for (const { backup, chain } of chains)
    judged.set(backup.id, judgeIncrement(backup, judged.get(chain.at(-1)!)));
  for (const { backup, chain } of chains) {
    if (judged.get(backup.id)!.verdict === "obsolete") continue;
    for (const id of chain) if (judged.get(id)?.verdict === "obsolete") judged.set(id, EXTRA);
  }
  return judged;
}

const EXTRA: Judgement = { verdict: "extra", wal: "all" };
const NONE: Judgement = { verdict: "none", wal: "none" };
/** In place of the branches where none are told; no timeline has this number. */
const ALL = 0;

function judgeRoots(options: Judging): Map<string, Judgement> {
  const { backups, policy, now, minimum = 0, branches = [] } = options;
  const start = windowStart(policy, now);
  const judged = new Map<string, Judgement>(backups.map(({ id }) => [id, NONE]));
  const roots = backups.filter(({ isDone, parent }) => isDone && parent === undefined);
  const all = branches.length === 0 ? [ALL] : branches;
  const wanted = new Map(all.map((branch) => [branch, 0]));
  const uncovered = new Set(all);
  for (const backup of roots.toSorted((a, b) => (a.id < b.id ? 1 : -1))) {
    const { id, endTime, keep, isSound = true } = backup;
    const least = Math.min(...wanted.values());
    const isIn =
      policy.kind === "redundancy" ? least < Math.max(policy.count, minimum) : uncovered.size > 0;
    const isExtra = !isIn && least < minimum;
    for (const branch of isSound ? all : []) {
      if (branch !== ALL && backup.branches?.has(branch) === false) continue;
      // A kept backup counts towards a redundancy in any case, towards a minimum only where it was counted on.
      if (isIn || isExtra || policy.kind === "redundancy")
        wanted.set(branch, wanted.get(branch)! + 1);
      if (start !== undefined && endTime! < start) uncovered.delete(branch);
    }
    const verdict = keep
      ? (`keep-${keep}` as const)
      : isIn
        ? "valid"
        : isExtra
          ? "extra"
          : "obsolete";
    // A standalone one inside the window may be the one that the window begins with.
    const isOpen = isIn || isExtra || keep === "full";
    judged.set(id, { verdict, wal: isOpen ? "all" : keep ? "own" : "none" });
  }
  return judged;
}

/** The ids of the backups that an increment is built on, the full one last; shorter when the chain is broken. */
function chainOf(backup: RetainedBackup, byId: ReadonlyMap<string, RetainedBackup>): string[] {
  const chain = [backup.id];
  for (let parent = backup.parent; parent !== undefined && !chain.includes(parent);) {
    chain.push(parent);
    parent = byId.get(parent)?.parent;
  }
  return chain.slice(1);
}

/** An increment shares the lot of the full backup that its chain ends with; one whose chain is broken stays. */
function judgeIncrement({ keep }: RetainedBackup, root: Judgement | undefined): Judgement {
  if (keep) return { verdict: `keep-${keep}`, wal: keep === "full" ? "all" : "own" };
  if (root?.verdict === "obsolete" || root?.verdict === "extra") return root;
  // Nothing but the full backup was to be kept.
  if (root?.wal === "own") return { verdict: "obsolete", wal: "none" };
  return { verdict: "valid", wal: "all" };
}
