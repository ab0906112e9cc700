// `mover backup`: one backup of a volume, as VolSync's restic mover makes it.

import { MOVER_EXIT } from "../../operator/mover-variables.ts";
import type { CommandModule } from "../command.ts";
import { runMover } from "../mover-run.ts";

export const moverBackupCommand: CommandModule = {
  // What is wrong with the variables stays wrong: no Job should try again.
  failsFrom: MOVER_EXIT.ended,

  configure(command) {
    command
      .option("--unlock", "remove stale locks first")
      .option("--prune", "prune afterwards")
      .addHelpText(
        "after",
        `
Examples:
  DATA_DIR=/srv/data FORGET_OPTIONS="--keep-daily 7" holdfast mover backup
  holdfast mover backup --unlock --prune

Everything else comes in variables, as VolSync's movers have them: docs/operations/mover.md. The exit status is 75 where trying
again may help, and 78 where it does not.`,
      );
  },

  async run(context, _parameters, options) {
    const asked = { unlock: options["unlock"] === true, prune: options["prune"] === true };
    return await runMover(context, async (mover) => {
      const { moverBackup } = await import("../mover-backup.ts");
      await moverBackup(mover, asked);
    });
  },
};
