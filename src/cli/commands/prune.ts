// `prune`: removes what no snapshot needs, with restic's options. The repository is locked for everybody else only for the
// moment in which old index files go.

import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { addPruneOptions, pruneCriteria } from "../prune-options.ts";
import type { PruneFlags } from "../prune-options.ts";
import { runPrune } from "../prune-run.ts";
import { openNamedRepository } from "../session.ts";

export const pruneCommand: CommandModule = {
  configure(command) {
    command.option("-n, --dry-run", "change nothing, only say what would be done");
    addPruneOptions(command);
    command.addHelpText(
      "after",
      `
Examples:
  holdfast prune
  holdfast prune --dry-run -v
  holdfast prune --max-unused 0 --max-repack-size 20G

Backups go on while it plans and copies. They are locked out, as briefly as possible, when it begins to remove. A prune
that is interrupted loses nothing; run it again.`,
    );
  },

  async run(context, _parameters, options) {
    const flags = options as unknown as PruneFlags & { dryRun?: boolean };
    // Before anybody is asked for a password.
    pruneCriteria(flags, context);
    const repository = await openNamedRepository(context);
    await runPrune(context, { repository, flags, dryRun: flags.dryRun === true });
    return EXIT.ok;
  },
};
