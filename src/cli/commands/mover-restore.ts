// `mover restore`: one restore of a volume, as VolSync's restic mover makes it.

import { MOVER_EXIT } from "../../operator/mover-variables.ts";
import type { CommandModule } from "../command.ts";
import { runMover } from "../mover-run.ts";

export const moverRestoreCommand: CommandModule = {
  // What is wrong with the variables stays wrong: no Job should try again.
  failsFrom: MOVER_EXIT.ended,

  configure(command) {
    command.addHelpText(
      "after",
      `
Examples:
  DATA_DIR=/srv/data holdfast mover restore
  DATA_DIR=/srv/data RESTORE_AS_OF=2026-01-31T04:00:00Z RESTORE_OPTIONS=--delete holdfast mover restore

Everything comes in variables, as VolSync's movers have them: docs/operations/mover.md. The exit status is 75 where trying again
may help, and 78 where it does not.`,
    );
  },

  async run(context) {
    return await runMover(context, async (mover) => {
      const { moverRestore } = await import("../mover-restore.ts");
      await moverRestore(mover);
    });
  },
};
