// `recover`: a snapshot of everything that no snapshot holds any more.

import { recover } from "../../repository/recover.ts";
import { repairIndex } from "../../repository/repair-index.ts";
import { PACK_SIZE_DEFAULT } from "../../repository/writer.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { shortId } from "../format.ts";
import { repairIndexEvents } from "../repair-index-report.ts";
import { withRepository } from "../session.ts";
import { StepProgress } from "../step-progress.ts";
import { PROGRAM_VERSION } from "../version.ts";

export const recoverCommand: CommandModule = {
  configure(command) {
    command.addHelpText(
      "after",
      `
Examples:
  holdfast recover

For a snapshot that was removed by mistake, until the next \`prune\`. What is found lies in the new snapshot under
directories named by ids. What was lost before is lost still: \`repair snapshots\` takes it out.`,
    );
  },

  async run(context) {
    const { output, clock, settings } = context;
    const steps = new StepProgress({ output, clock, framesPerSecond: settings.progressFps });
    const { roots, snapshot } = await withRepository(context, "exclusive", (repository, signal) =>
      steps.during(async () => {
        output.print("ensuring index is complete");
        const events = repairIndexEvents(output, steps);
        await repairIndex(repository, { readAllPacks: false, events, signal });
        steps.begin(["load index files"]);
        return await recover(repository, {
          packSize: settings.packSize ?? PACK_SIZE_DEFAULT,
          programVersion: `holdfast ${PROGRAM_VERSION}`,
          events: {
            trees: (total) => steps.begin([`load ${total} trees`], "trees loaded", total),
            done: (count) => steps.done(count),
            snapshots: () => steps.begin(["load snapshots", "done"]),
            unreadable: (tree, error) =>
              output.warn(`unable to load tree ${shortId(tree)}: ${error.message}`),
            root: (tree) => output.verbose(`found root tree ${shortId(tree)}`),
          },
          signal,
        });
      }),
    );
    output.print("");
    output.print(`found ${roots} unreferenced roots`);
    if (snapshot === undefined) output.print("no snapshot to write.");
    else output.print(`saved new snapshot ${shortId(snapshot)}`);
    return EXIT.ok;
  },
};
