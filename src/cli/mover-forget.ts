// What a mover does once its snapshot is stored: snapshots go by the keep rules of the resource, and, when that is due, a prune.
//
// Where volumes share a repository, none removes what says that it is another's: whose rules keep that is not known here.
//
// The exclusive lock is held only where something goes, and only as long as that takes. The snapshot is safe by then: what goes
// wrong here is told, and done by the next run, instead of making one snapshot more.

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { splitWords } from "../base/shell-words.ts";
import { parseTime } from "../restic/go-time.ts";
import { planForget, removeSnapshots } from "../repository/forget.ts";
import type { ForgetGroup } from "../repository/forget.ts";
import { describePolicy } from "../repository/keep-policy.ts";
import type { KeepPolicy } from "../repository/keep-policy.ts";
import { pruneRepository } from "../repository/prune.ts";
import type { Repository } from "../repository/repository.ts";
import { describeShrink, findShrink } from "../repository/shrink-guard.ts";
import { GROUP_BY_DEFAULT } from "../repository/snapshot-groups.ts";
import { listSnapshots } from "../repository/snapshots.ts";
import type { FoundSnapshot } from "../repository/snapshots.ts";
import { PACK_SIZE_DEFAULT } from "../repository/writer.ts";
import { SNAPSHOT_HOST, SNAPSHOT_PATH, TAG, VARIABLE } from "../operator/mover-variables.ts";
import { keepPolicy } from "./keep-options.ts";
import { claimOf, mayBeOf } from "./mover-choice.ts";
import { seeingLocks, withMoverLock } from "./mover-repository.ts";
import type { Mover } from "./mover-run.ts";
import { PruneReporter } from "./prune-report.ts";
import { quoteUnprintable } from "./terminal-text.ts";

const UNITS = ["last", "hourly", "daily", "weekly", "monthly", "yearly"];
/** One prune writes no more than this anew: it stands between the backup and the end of the pod. */
const REPACK_BYTES = 20 * 2 ** 30;
const WORKERS_MAX = 8;
/** More names of other volumes tell no more. */
const CLAIMS_MAX = 5;

/** The keep rules in FORGET_OPTIONS. USAGE for anything that is none. */
export function parseForgetOptions(text: string): KeepPolicy {
  const name = VARIABLE.forgetOptions;
  const words: readonly string[] =
    text.trim() === "" ? ["--keep-last", "1"] : splitWords(text, name);
  const flags: Record<string, unknown> & { keepTag: string[] } = { keepTag: [] };
  const refuse = (word: string): never => {
    throw new HoldfastError("USAGE", `${name}: ${JSON.stringify(word)} is no keep rule`, {
      hint: "spec.restic.retain takes hourly, daily, weekly, monthly, yearly, last and within.",
    });
  };
  for (let i = 0; i < words.length; i += 2) {
    const [option = "", value = ""] = [words[i], words[i + 1]];
    const unit = /^--keep-([a-z]+)$/.exec(option)?.[1] ?? refuse(option);
    const isCount = UNITS.includes(unit);
    if (isCount ? !/^\d{1,9}$/.test(value) : unit !== "within" || value === "") {
      refuse(`${option} ${value}`.trim());
    }
    flags[`keep${unit.charAt(0).toUpperCase()}${unit.slice(1)}`] = isCount ? Number(value) : value;
  }
  return keepPolicy(flags as Parameters<typeof keepPolicy>[0]);
}

/** Removes what the rules do not keep. Its failures become warnings, but for a cancellation. */
export async function forgetByRules(
  mover: Mover,
  repository: Repository,
  policy: KeepPolicy,
): Promise<void> {
  const { output } = mover.context;
  output.print(`Applying Policy: ${describePolicy(policy)}`);
  if (/^keep 1 latest snapshots?$/.test(describePolicy(policy))) {
    output.warn(
      "Warning: only the newest snapshot is kept, and every older one removed: set spec.restic.retain to keep a history",
    );
  }
  await tellingFailures(mover, repository, async () => {
    const { signal } = mover.context;
    // Most runs remove nothing, and then nobody has to be kept out.
    const first = await planRemoval(mover, repository, policy, signal);
    let { ids } = first;
    if (ids.length > 0) {
      ids = await withMoverLock(mover, repository, true, async (locked) => {
        const { ids: going } = await planRemoval(mover, repository, policy, locked);
        const failed = await removeSnapshots(repository, going, {
          onFailed: (id, error) =>
            output.warn(`unable to remove snapshot/${id} from the repository: ${error.message}`),
          signal: locked,
        });
        if (failed === 0) return going;
        throw new HoldfastError("INCOMPLETE", `${failed} snapshots could not be removed`);
      });
    }
    tellOthers(mover, first.others);
    tellShrinks(mover, first.groups);
    for (const { keep, remove } of first.groups) {
      output.print(`keep ${keep.length} snapshots, remove ${remove.length} snapshots`);
    }
    mover.facts.removed = ids.length;
    mover.facts.snapshots = first.present - ids.length;
    if (ids.length > 0) output.print(`${ids.length} snapshots have been removed`);
  });
}

interface Removal {
  readonly groups: readonly ForgetGroup[];
  readonly ids: readonly string[];
  /** Snapshots of the mover's own host, path and claim. */
  readonly present: number;
  /** Those of other claims, which stay. */
  readonly others: readonly FoundSnapshot[];
}

async function planRemoval(
  mover: Mover,
  repository: Repository,
  policy: KeepPolicy,
  signal: AbortSignal,
): Promise<Removal> {
  const { clock, output } = mover.context;
  const all = await listSnapshots(repository, {
    filter: { hosts: [SNAPSHOT_HOST] },
    onDamage: (_, error) => output.warn(error.message),
    signal,
  });
  const claim = mover.environment[VARIABLE.claim] || undefined;
  const found = all.filter((each) => mayBeOf(each, claim));
  const others = all.filter((each) => !mayBeOf(each, claim));
  const groups = planForget(found, {
    by: GROUP_BY_DEFAULT,
    policy,
    now: clock.nowNanoseconds(),
    localOffset: (second) => -60 * new Date(second * 1000).getTimezoneOffset(),
  });
  const accepted = Boolean(mover.environment[VARIABLE.acceptShrink]);
  const free = groups.filter(({ snapshots }) => accepted || shrinkOf(snapshots) === undefined);
  const ids = free.flatMap(({ remove }) => remove.map(({ id }) => id));
  const present = found.filter(({ snapshot }) => snapshot.paths.includes(SNAPSHOT_PATH)).length;
  return { groups, ids, present, others };
}

/** A volume that got another name has left them behind; or they are of one that shares the repository. */
function tellOthers({ context }: Mover, others: readonly FoundSnapshot[]): void {
  if (others.length === 0) return;
  const claims = [...new Set(others.map(claimOf))].slice(0, CLAIMS_MAX).join(", ");
  context.output.print(
    `left alone: ${others.length} snapshots of other volumes (${quoteUnprintable(claims)})`,
  );
}

/** A source that lost its files looks like any other: the snapshots from before may be all that is left of them. */
function tellShrinks(mover: Mover, groups: readonly ForgetGroup[]): void {
  for (const { snapshots } of groups) {
    const shrink = shrinkOf(snapshots);
    if (shrink === undefined) continue;
    if (mover.environment[VARIABLE.acceptShrink]) {
      mover.context.output.warn(`Warning: ${shrink}: accepted`);
      continue;
    }
    mover.warn(
      new HoldfastError("SNAPSHOT_SHRUNK", `no snapshot was removed: ${shrink}`, {
        hint: "Look at what is gone. If it may be gone, annotate the resource with holdfast.dev/accept-shrink and a new value.",
      }),
    );
  }
}

/** What shrank in a group, in words. Of snapshots that a mover made, it decided when it made them. */
function shrinkOf(snapshots: readonly FoundSnapshot[]): string | undefined {
  const newest = snapshots.reduce<FoundSnapshot | undefined>(
    (best, each) =>
      best === undefined || parseTime(each.snapshot.time) > parseTime(best.snapshot.time)
        ? each
        : best,
    undefined,
  );
  const tags = newest?.snapshot.tags ?? [];
  if (tags.includes(TAG.shrunk)) {
    const large = snapshots.filter(({ snapshot }) => !snapshot.tags.includes(TAG.shrunk)).at(-1);
    const shrink = large && newest && findShrink([newest, large]);
    return shrink === undefined ? "the newest is much smaller than before" : describeShrink(shrink);
  }
  if (tags.some((tag) => tag.startsWith(TAG.claim))) return undefined;
  const shrink = findShrink(snapshots);
  return shrink && describeShrink(shrink);
}

/** Prunes the repository, which holds no lock of ours. Its failures become warnings, but for a cancellation. */
export async function pruneWithinBudget(mover: Mover, repository: Repository): Promise<void> {
  const { context } = mover;
  const { output, clock, settings, signal, cores } = context;
  const framesPerSecond = settings.progressFps;
  mover.facts.pruned = false;
  await tellingFailures(mover, repository, async () => {
    const reporter = new PruneReporter({ output, clock, framesPerSecond, dryRun: false });
    try {
      await pruneRepository(repository, {
        criteria: {
          maxUnused: { kind: "percent", percent: 5 },
          maxRepackBytes: REPACK_BYTES,
          smallPackBytes: undefined,
          repackCacheableOnly: false,
          repackUncompressed: false,
        },
        packSize: settings.packSize ?? PACK_SIZE_DEFAULT,
        dryRun: false,
        workers: Math.min(cores, WORKERS_MAX),
        lock: { retryFor: mover.lockWait, onNotice: (message) => output.warn(message) },
        events: reporter.events,
        signal,
      });
    } catch (error) {
      reporter.end("failed");
      throw error;
    }
    reporter.finish();
    mover.facts.pruned = true;
  });
}

async function tellingFailures(
  mover: Mover,
  repository: Repository,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await seeingLocks(mover, repository, work);
  } catch (error) {
    if (!isHoldfastError(error) || error.code === "CANCELLED" || error.code === "BUG") throw error;
    mover.warn(error);
  }
}
