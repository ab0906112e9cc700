// `repair index`: makes the index agree with the packs that are there.

import { repairIndex } from "../../repository/repair-index.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { repairIndexEvents } from "../repair-index-report.ts";
import { withRepository } from "../session.ts";
import { StepProgress } from "../step-progress.ts";

export const repairIndexCommand: CommandModule = {
  configure(command) {
    command
      .option("--read-all-packs", "trust no index file: read what every pack says of itself")
      .addHelpText(
        "after",
        `
Examples:
  holdfast repair index
  holdfast repair index --read-all-packs

Packs that the index does not know are added, packs that are gone are forgotten. No pack is changed or removed.`,
      );
  },

  async run(context, _parameters, options) {
    const { output, clock, settings } = context;
    const steps = new StepProgress({ output, clock, framesPerSecond: settings.progressFps });
    const result = await withRepository(context, "exclusive", (repository, signal) =>
      steps.during(() =>
        repairIndex(repository, {
          readAllPacks: options["readAllPacks"] === true,
          events: repairIndexEvents(output, steps),
          signal,
        }),
      ),
    );
    if (output.isJson) {
      output.json({
        message_type: "summary",
        packs_read: result.packsRead,
        packs_forgotten: result.packsForgotten,
        packs_invalid: result.packsInvalid,
        indexes_invalid: result.indexFilesInvalid,
      });
    }
    output.print("done");
    return EXIT.ok;
  },
};
