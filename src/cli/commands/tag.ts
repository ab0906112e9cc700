// `tag`: sets, adds or removes tags of snapshots, with restic's options and messages.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { changeTags, replaceSnapshot } from "../../repository/replace-snapshot.ts";
import type { TagChange } from "../../repository/replace-snapshot.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { collect } from "../option-values.ts";
import { withRepository } from "../session.ts";
import { addSnapshotFilter, collectSnapshots, snapshotFilter } from "../snapshot-choice.ts";
import type { FilterFlags } from "../snapshot-choice.ts";
import { changedMessage } from "../snapshot-message.ts";

interface TagFlags extends FilterFlags {
  set: string[];
  add: string[];
  remove: string[];
}

export const tagCommand: CommandModule = {
  configure(command) {
    command
      .argument("[snapshots...]", "ids, or starts of them, or `latest`; all that pass without any")
      .option("--set <tags>", 'tags to have in place of all others; "" for none', collect, [])
      .option("--add <tags>", "tags to add", collect, [])
      .option("--remove <tags>", "tags to remove", collect, [])
      .addHelpText(
        "after",
        `
Examples:
  holdfast tag latest --add before-upgrade,keep
  holdfast tag --host web1 --remove keep`,
      );
    addSnapshotFilter(command);
  },

  async run(context, names, options) {
    const flags = options as unknown as TagFlags;
    const change = readChange(flags);
    const { output } = context;
    output.print("create exclusive lock for repository");
    return await withRepository(context, "exclusive", async (repository, signal) => {
      const filter = snapshotFilter(flags, context);
      const { found, complete } = await collectSnapshots(context, repository, {
        names,
        filter,
        signal,
      });
      let changed = 0;
      let failed = false;
      for (const old of found) {
        const tags = changeTags(old.snapshot.tags, change);
        if (tags === undefined) continue;
        try {
          const id = await replaceSnapshot(repository, old, { ...old.snapshot, tags }, signal);
          changed++;
          output.verbose(`old snapshot ID: ${old.id} -> new snapshot ID: ${id}`);
          if (output.isJson) output.json(changedMessage(old.id, id));
        } catch (error) {
          if (signal.aborted || !isHoldfastError(error)) throw error;
          failed = true;
          output.warn(
            `unable to modify the tags for snapshot ID "${old.id}", ignoring: ${error.message}`,
          );
        }
      }
      if (output.isJson) output.json({ message_type: "summary", changed_snapshots: changed });
      output.print(changed === 0 ? "no snapshots were modified" : `modified ${changed} snapshots`);
      return complete && !failed ? EXIT.ok : EXIT.incomplete;
    });
  },
};

function readChange(flags: TagFlags): TagChange {
  if (flags.set.length + flags.add.length + flags.remove.length === 0) {
    throw new HoldfastError("USAGE", "nothing to do!", { hint: "Give --set, --add or --remove." });
  }
  if (flags.set.length > 0 && flags.add.length + flags.remove.length > 0) {
    throw new HoldfastError("USAGE", "--set and --add/--remove cannot be given at the same time");
  }
  const flat = (lists: readonly string[]): string[] =>
    lists
      .flatMap((list) => list.split(","))
      .map((tag) => tag.trim())
      .filter((tag) => tag !== "");
  return {
    set: flags.set.length > 0 ? flat(flags.set) : undefined,
    add: flat(flags.add),
    remove: flat(flags.remove),
  };
}
