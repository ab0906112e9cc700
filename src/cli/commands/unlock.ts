// `unlock`: removes locks whose owners are gone.

import { removeLocks } from "../../repository/locks.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { withRepository } from "../session.ts";

export const unlockCommand: CommandModule = {
  configure(command) {
    command
      .option("--remove-all", "remove all locks, those of running programs as well")
      .addHelpText(
        "after",
        `
Examples:
  holdfast unlock
  holdfast unlock --remove-all

A lock is stale when it was not refreshed for 30 minutes, or when its process on this host is gone. Use --remove-all
only when nothing else works in the repository: who loses a lock may lose data to a prune.`,
      );
  },

  async run(context, _parameters, options) {
    const all = options["removeAll"] === true;
    const removed = await withRepository(context, "none", (repository, signal) =>
      removeLocks(repository, { all, signal }),
    );
    const { output } = context;
    if (output.isJson) output.json({ message_type: "summary", removed_locks: removed });
    if (removed > 0) output.print(`successfully removed ${removed} locks`);
    return EXIT.ok;
  },
};
