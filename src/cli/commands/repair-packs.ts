// `repair packs`: saves what can be saved of damaged packs, then removes them. Copies of the packs as they were stay in the
// current folder.

import { open } from "node:fs/promises";
import { join } from "node:path";
import { isId } from "../../base/bytes.ts";
import type { Id } from "../../base/bytes.ts";
import { HoldfastError, messageOf } from "../../base/errors.ts";
import { repairPacks } from "../../repository/repair-packs.ts";
import type { RepairPacksStep } from "../../repository/repair-packs.ts";
import { PACK_SIZE_DEFAULT } from "../../repository/writer.ts";
import { byteStringToText } from "../../restic/byte-string.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { withRepository } from "../session.ts";
import { StepProgress } from "../step-progress.ts";

const STEPS: Record<RepairPacksStep, [lines: string[], unit?: string]> = {
  backup: [["saving backup copies of pack files to current folder"]],
  salvage: [["salvaging intact data from specified pack files"], "pack files"],
  index: [["rebuilding index"], "indexes processed"],
  removeIndex: [[], "old indexes deleted"],
  removePacks: [["removing salvaged pack files"], "files deleted"],
};

export const repairPacksCommand: CommandModule = {
  configure(command) {
    command.argument("<packs...>", "ids of the packs, as `check` names them").addHelpText(
      "after",
      `
Examples:
  holdfast repair packs 5a8d…c2 77e1…09

First of all a copy of each pack is written to the current folder, as pack-ID. A pack that is whole in another copy of
the repository is better brought back from there.`,
    );
  },

  async run(context, names) {
    const { output, clock, settings, cwd } = context;
    const packs = names.map(packId);
    const folder = byteStringToText(cwd);
    const steps = new StepProgress({ output, clock, framesPerSecond: settings.progressFps });
    const { blobsSaved, blobsLost } = await withRepository(
      context,
      "exclusive",
      (repository, signal) =>
        steps.during(() =>
          repairPacks(repository, {
            packs,
            keepCopy: (id, bytes) => keepCopy(join(folder, `pack-${id}`), bytes),
            packSize: settings.packSize ?? PACK_SIZE_DEFAULT,
            events: {
              step: (step, total) => steps.begin(STEPS[step][0], STEPS[step][1], total),
              done: (count) => steps.done(count),
              notice: (message) => output.warn(message),
            },
            signal,
          }),
        ),
    );
    if (output.isJson) {
      output.json({ message_type: "summary", saved_blobs: blobsSaved, lost_blobs: blobsLost });
    }
    output.print(`saved ${blobsSaved} blobs, lost ${blobsLost}`);
    if (blobsLost > 0) {
      output.warn("\nUse `repair snapshots --forget` to remove what is lost from all snapshots");
    }
    return EXIT.ok;
  },
};

function packId(name: string): Id {
  if (isId(name)) return name;
  throw new HoldfastError("USAGE", `not the whole id of a pack: ${JSON.stringify(name)}`, {
    hint: "Copy it from what `check` says: 64 digits.",
  });
}

/** Never replaces a file: an earlier copy may be the better one. */
async function keepCopy(path: string, bytes: Uint8Array): Promise<void> {
  try {
    const file = await open(path, "wx", 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new HoldfastError(
      "TARGET_UNWRITABLE",
      `no copy of the pack can be kept: ${messageOf(error)}`,
      {
        hint: "Run it in a folder that can be written to and that has no such file yet. Nothing was changed.",
        cause: error,
      },
    );
  }
}
