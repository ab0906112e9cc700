// `pg list`: the base backups of an archive. Reads the bucket alone, with a viewer's rights.

import type { Command } from "commander";
import { addArchiveOptions, openNamedArchive, type ArchiveFlags } from "../archive-session.ts";
import { listMessage } from "../archive-message.ts";
import { takeStock, warnProblems } from "../archive-stock.ts";
import { formatBaseBackups } from "../base-backup-table.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";

function configure(command: Command): void {
  addArchiveOptions(command);
  command.addHelpText(
    "after",
    `
Examples:
  holdfast pg list --archive gs://company-backups/base --server odoo-db
  holdfast pg list --json

Every backup is shown, whole or not, with what keeps it from being restored. Reads only; the status is 3 when something
could not be read.`,
  );
}

export const pgListCommand: CommandModule = {
  stopsWithReader: true,
  configure,

  async run(context, _, options) {
    const { output, clock, settings } = context;
    const archive = await openNamedArchive(context, options as ArchiveFlags);
    const listed = await takeStock(context, archive);
    const { backups, problems } = listed.inventory.catalogue;
    if (output.isJson) output.json(listMessage(listed));
    else {
      const { timeZone } = settings;
      for (const line of formatBaseBackups(backups, { timeZone, now: clock.now() }))
        output.data(line);
      warnProblems(output, problems);
    }
    return problems.length === 0 ? EXIT.ok : EXIT.incomplete;
  },
};
