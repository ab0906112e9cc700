// `repair snapshots`: makes copies of snapshots without what is lost, with restic's options and messages.

import { HoldfastError } from "../../base/errors.ts";
import type { Id } from "../../base/bytes.ts";
import { repairSnapshots, removeUnreadableSnapshot } from "../../repository/repair-snapshots.ts";
import type { SnapshotOutcome } from "../../repository/repair-snapshots.ts";
import type { Repository } from "../../repository/repository.ts";
import { findFile } from "../../repository/snapshots.ts";
import { PACK_SIZE_DEFAULT } from "../../repository/writer.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { shortId } from "../format.ts";
import type { Output } from "../output.ts";
import { withRepository } from "../session.ts";
import { addSnapshotFilter, collectSnapshots, snapshotFilter } from "../snapshot-choice.ts";
import type { FilterFlags } from "../snapshot-choice.ts";
import { changedMessage } from "../snapshot-message.ts";
import { describeSnapshot } from "../snapshot-table.ts";

interface RepairFlags extends FilterFlags {
  dryRun?: boolean;
  forget?: boolean;
}

export const repairSnapshotsCommand: CommandModule = {
  configure(command) {
    command
      .argument("[snapshots...]", "ids, or starts of them; all that pass without any")
      .option("-n, --dry-run", "change nothing, only say what would be done")
      .option("--forget", "remove the old snapshots when the new ones are stored")
      .addHelpText(
        "after",
        `
Examples:
  holdfast repair snapshots --dry-run
  holdfast repair snapshots --forget

Run \`repair index\` first. What is lost is taken out of the snapshots: if the files still exist, back them up before,
which may bring it back. A snapshot file that cannot be read goes with --forget when its id is given.`,
      );
    addSnapshotFilter(command);
  },

  async run(context, names, options) {
    const flags = options as unknown as RepairFlags;
    const { output, settings } = context;
    const dryRun = flags.dryRun === true;
    const forget = flags.forget === true;
    const lock = dryRun ? "read" : "exclusive";
    return await withRepository(context, lock, async (repository, signal) => {
      const removed = forget
        ? await removeUnreadable(context, repository, names, { dryRun, signal })
        : new Set<string>();
      const left = names.filter((name) => !removed.has(name));
      const chosen =
        names.length > 0 && left.length === 0
          ? { found: [], complete: true }
          : await collectSnapshots(context, repository, {
              names: left,
              filter: snapshotFilter(flags, context),
              signal,
            });
      const changed = await repairSnapshots(repository, {
        snapshots: chosen.found,
        forget,
        dryRun,
        packSize: settings.packSize ?? PACK_SIZE_DEFAULT,
        events: {
          snapshot: (found) => {
            output.print("");
            output.print(describeSnapshot(found.id, found.snapshot));
          },
          changed: (what) => output.print(`  ${what}`),
          outcome: (outcome) => tell(output, outcome),
        },
        signal,
      });
      const count = changed + removed.size;
      if (output.isJson) output.json({ message_type: "summary", changed_snapshots: count });
      output.print("");
      const would = dryRun ? "would be modified" : "were modified";
      if (count === 0) output.print(`no snapshots ${would}`);
      else output.print(`${dryRun ? "would modify" : "modified"} ${count} snapshots`);
      if (chosen.complete) return EXIT.ok;
      throw new HoldfastError("SNAPSHOT_DAMAGED", "not all snapshots could be read", {
        hint: "A snapshot file that cannot be read is removed by `repair snapshots --forget` with its id.",
      });
    });
  },
};

/** Removes those of the named snapshots whose files cannot be read; their names. */
async function removeUnreadable(
  { output }: Context,
  repository: Repository,
  names: readonly string[],
  options: { dryRun: boolean; signal: AbortSignal },
): Promise<Set<string>> {
  const removed = new Set<string>();
  for (const name of names) {
    if (name === "latest") continue;
    const id: Id = await findFile(repository, "snapshot", name, options.signal);
    if (!(await removeUnreadableSnapshot(repository, id, options))) continue;
    output.print(`${options.dryRun ? "would remove" : "removed"} unreadable snapshot ${id}`);
    if (output.isJson && !options.dryRun) {
      output.json({ message_type: "removed", old_snapshot_id: id });
    }
    removed.add(name);
  }
  return removed;
}

function tell(output: Output, outcome: SnapshotOutcome): void {
  if (output.isJson) return tellJson(output, outcome);
  const { kind } = outcome;
  if (kind === "removed") output.print(`removed empty snapshot ${shortId(outcome.id)}`);
  if (kind === "would remove") output.print("would delete empty snapshot");
  if (kind === "would save") {
    output.print("would save new snapshot");
    if (outcome.wouldRemove) output.print("would remove old snapshot");
  }
  if (kind === "saved") {
    output.print(`saved new snapshot ${shortId(outcome.id)}`);
    if (outcome.removed) output.print(`removed old snapshot ${shortId(outcome.old)}`);
  }
}

function tellJson(output: Output, outcome: SnapshotOutcome): void {
  if (outcome.kind === "removed") {
    output.json({ message_type: "removed", old_snapshot_id: outcome.id });
  }
  if (outcome.kind === "saved") output.json(changedMessage(outcome.old, outcome.id));
}
