// `forget`: removes snapshots, by rules that say which to keep or by their ids, with restic's options, tables and JSON.
// What they alone refer to stays until `prune`.

import { HoldfastError } from "../../base/errors.ts";
import type { Id } from "../../base/bytes.ts";
import { planForget, removeSnapshots } from "../../repository/forget.ts";
import type { ForgetGroup } from "../../repository/forget.ts";
import { describePolicy, isEmptyPolicy } from "../../repository/keep-policy.ts";
import type { KeepPolicy } from "../../repository/keep-policy.ts";
import type { Repository } from "../../repository/repository.ts";
import { describeShrink, findShrink, refuseShrink } from "../../repository/shrink-guard.ts";
import { parseGroupBy } from "../../repository/snapshot-groups.ts";
import type { GroupBy } from "../../repository/snapshot-groups.ts";
import type { SnapshotFilter } from "../../repository/snapshots.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import {
  printForgetGroups,
  printForgetJson,
  printRemoved,
  printWouldRemove,
} from "../forget-report.ts";
import { addKeepOptions, keepPolicy } from "../keep-options.ts";
import type { KeepFlags } from "../keep-options.ts";
import { addPruneOptions, pruneCriteria } from "../prune-options.ts";
import type { PruneFlags } from "../prune-options.ts";
import { runPrune } from "../prune-run.ts";
import { withRepository } from "../session.ts";
import {
  addSnapshotFilter,
  collectSnapshots,
  isEmptyFilter,
  snapshotFilter,
} from "../snapshot-choice.ts";
import type { FilterFlags } from "../snapshot-choice.ts";

interface ForgetFlags extends FilterFlags, KeepFlags, PruneFlags {
  compact?: boolean;
  groupBy: string;
  dryRun?: boolean;
  unsafeAllowRemoveAll?: boolean;
  allowShrink?: boolean;
  prune?: boolean;
}

export const forgetCommand: CommandModule = {
  configure(command) {
    command.argument("[snapshots...]", "ids of snapshots to remove, in place of rules");
    addKeepOptions(command);
    command
      .option("--unsafe-allow-remove-all", "without rules, remove all that pass the filter")
      .option("--allow-shrink", "go on though the newest snapshot is suspiciously small")
      .option("-c, --compact", "one short line for each snapshot")
      .option(
        "-g, --group-by <keys>",
        "apply the rules to each group: host, paths, tags",
        "host,paths",
      )
      .option("-n, --dry-run", "remove nothing, only tell what would be")
      .option("--prune", "prune afterwards, if any snapshot was removed")
      .addHelpText(
        "after",
        `
Examples:
  holdfast forget --keep-daily 7 --keep-weekly 4 --keep-monthly 3 --dry-run
  holdfast forget --keep-last 3 --keep-window 14d --host web1
  holdfast forget 4bba301e`,
      );
    addPruneOptions(command);
    addSnapshotFilter(command, "", "--host");
  },

  async run(context, names, options) {
    const flags = options as unknown as ForgetFlags;
    const request = readRequest(context, names, flags);
    pruneCriteria(flags, context);
    const { dryRun } = request;
    const lock = dryRun ? "read" : "exclusive";
    const { repository, ids, complete } = await withRepository(
      context,
      lock,
      async (opened, signal) => ({
        repository: opened,
        ...(await forget(context, opened, request, signal)),
      }),
    );
    if (flags.prune === true && ids.length > 0) {
      const done = dryRun
        ? "would be removed, running prune dry run"
        : "have been removed, running prune";
      context.output.print(`${ids.length} snapshots ${done}`);
      // It takes its own locks, which block others for a shorter time than ours did.
      const ignoreSnapshots = new Set(dryRun ? ids : []);
      await runPrune(context, { repository, flags, dryRun, ignoreSnapshots });
    }
    return complete ? EXIT.ok : EXIT.incomplete;
  },
};

interface Request {
  names: readonly string[];
  filter: SnapshotFilter;
  policy: KeepPolicy;
  by: GroupBy;
  compact: boolean;
  dryRun: boolean;
  allowShrink: boolean;
}

function readRequest(context: Context, names: readonly string[], flags: ForgetFlags): Request {
  const policy = keepPolicy(flags);
  const by = parseGroupBy(flags.groupBy);
  const filter = snapshotFilter(flags, context);
  if (names.length === 0 && isEmptyPolicy(policy)) {
    const told = flags.unsafeAllowRemoveAll === true;
    if (!told) {
      throw new HoldfastError("USAGE", "no policy was specified, no snapshots will be removed", {
        hint: "Say what to keep, as with --keep-daily 7.",
      });
    }
    if (isEmptyFilter(filter)) {
      const message =
        "--unsafe-allow-remove-all is not allowed unless a snapshot filter option is specified";
      throw new HoldfastError("USAGE", message, {
        hint: "Narrow it with --host, --tag or --path.",
      });
    }
  }
  if (names.length > 0 && flags.keepWindow !== undefined) {
    throw new HoldfastError(
      "USAGE",
      "--keep-window is a rule: it protects no snapshot named by id",
    );
  }
  const dryRun = flags.dryRun === true;
  if (!context.settings.lock && !dryRun) {
    const message = "--no-lock is only applicable in combination with --dry-run for forget command";
    throw new HoldfastError("USAGE", message);
  }
  const allowed = (context.environment["HOLDFAST_ALLOW_SHRINK"] || "0") !== "0";
  return {
    names,
    filter,
    policy,
    by,
    compact: flags.compact === true,
    dryRun,
    allowShrink: flags.allowShrink === true || allowed,
  };
}

async function forget(
  context: Context,
  repository: Repository,
  request: Request,
  signal: AbortSignal,
): Promise<{ ids: Id[]; complete: boolean }> {
  const { names, filter, dryRun } = request;
  const { output } = context;
  const { found, complete } = await collectSnapshots(context, repository, {
    names,
    filter,
    signal,
  });
  const groups = names.length > 0 ? [] : plan(context, request, found);
  const removed = names.length > 0 ? found : groups.flatMap(({ remove }) => remove);
  const ids = removed.map(({ id }) => id);
  let failed = 0;
  if (ids.length > 0 && dryRun) printWouldRemove(context, ids);
  else if (ids.length > 0) failed = await remove(context, repository, ids, signal);
  if (output.isJson) printForgetJson(context, groups);
  if (failed > 0) throw new HoldfastError("INCOMPLETE", "failed to remove one or more snapshots");
  return { ids, complete };
}

function plan(
  context: Context,
  { policy, by, compact, allowShrink }: Request,
  found: Parameters<typeof planForget>[0],
): ForgetGroup[] {
  context.output.print(`Applying Policy: ${describePolicy(policy)}`);
  const groups = planForget(found, {
    by,
    policy,
    now: BigInt(context.clock.now()) * 1_000_000n,
    localOffset: (second) => -60 * new Date(second * 1000).getTimezoneOffset(),
  });
  printForgetGroups(context, groups, compact);
  const thinned = groups.filter(({ remove }) => remove.length > 0);
  // Whoever asked for everything to go has no newest snapshot to compare.
  if (isEmptyPolicy(policy)) return groups;
  for (const { snapshots } of thinned) {
    if (!allowShrink) refuseShrink(snapshots);
    const shrink = allowShrink ? findShrink(snapshots) : undefined;
    if (shrink !== undefined) context.output.warn(`Warning: ${describeShrink(shrink)}`);
  }
  return groups;
}

/** How many could not be removed. */
async function remove(
  context: Context,
  repository: Repository,
  ids: readonly Id[],
  signal: AbortSignal,
): Promise<number> {
  const { output, clock } = context;
  const begun = clock.monotonic();
  const failed = await removeSnapshots(repository, ids, {
    onRemoved: (id) => output.veryVerbose(`removed snapshot/${id}`),
    onFailed: (id, error) =>
      output.warn(`unable to remove snapshot/${id} from the repository: ${error.message}`),
    signal,
  });
  if (failed === 0) printRemoved(context, ids.length, (clock.monotonic() - begun) / 1000);
  return failed;
}
