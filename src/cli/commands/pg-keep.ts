// `pg keep`: marks a backup so that no policy deletes it, as Barman does it (docs/formats/barman.md#retention).

import type { Command } from "commander";
import { HoldfastError } from "../../base/errors.ts";
import { keepBackup } from "../../postgres/keep.ts";
import { addArchiveOptions, openNamedArchive, type ArchiveFlags } from "../archive-session.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";

const MARKS = ["full", "standalone", "release"] as const;

function configure(command: Command): void {
  command
    .argument("<id>", "the backup")
    .argument(
      "[mark]",
      "full: with all WAL behind it; standalone: only what it needs; release",
      "full",
    )
    .addHelpText(
      "after",
      `
Examples:
  holdfast pg keep 20261123T101530                (and every moment after it)
  holdfast pg keep 20261123T101530 standalone     (only as it ended)
  holdfast pg keep 20261123T101530 release`,
    );
  addArchiveOptions(command);
}

export const pgKeepCommand: CommandModule = {
  configure,

  async run(context, [id = "", given = ""], options) {
    const { output, clock, signal } = context;
    const mark = MARKS.find((one) => one === given);
    if (mark === undefined) {
      throw new HoldfastError("USAGE", `${JSON.stringify(given)} is no way to keep a backup`, {
        hint: `Use one of ${MARKS.join(", ")}.`,
      });
    }
    const archive = await openNamedArchive(context, options as ArchiveFlags);
    const before = await keepBackup({ archive, id, mark, now: clock.now(), signal });
    const after = mark === "release" ? undefined : mark;
    if (output.isJson) {
      const [was, keep] = [before ?? null, after ?? null];
      output.json({ message_type: "pg_keep", server: archive.server, id, was, keep });
    } else if (before === after) {
      output.print(
        `backup ${id} is ${after === undefined ? "not kept" : `kept already: ${after}`}`,
      );
    } else {
      output.print(`backup ${id} ${after === undefined ? "is released" : `is kept: ${after}`}`);
    }
    return EXIT.ok;
  },
};
