// What `repair index` says, in restic's words; `recover` begins with it.

import type { RepairIndexEvents } from "../repository/repair-index.ts";
import type { Output } from "./output.ts";
import type { StepProgress } from "./step-progress.ts";

/** Events that tell about a repair of the index. */
export function repairIndexEvents(output: Output, steps: StepProgress): RepairIndexEvents {
  return {
    step: (step, total) => {
      if (step === "load") steps.begin(["loading indexes..."]);
      if (step === "list") steps.begin(["getting pack files to read..."]);
      if (step === "read") steps.begin(["reading pack files"], "packs", total);
      if (step === "write") steps.begin(["rebuilding index"], "indexes processed", total);
      if (step === "remove") steps.begin([], "old indexes deleted", total);
    },
    done: (count) => steps.done(count),
    invalidIndex: (id, error) => output.warn(`removing invalid index ${id}: ${error.message}`),
    reindexed: ({ id, size }, expected) =>
      output.warn(
        expected === undefined
          ? `adding pack file to index ${id}`
          : `reindexing pack file ${id} with unexpected size ${size} instead of ${expected}`,
      ),
    forgotten: (id) => output.warn(`removing not found pack file ${id}`),
    invalidPack: (id, error) =>
      output.warn(`skipped incomplete pack file: ${id}: ${error.message}`),
    removedIndex: (id) => output.veryVerbose(`removed index ${id}`),
  };
}
