// `pg info`: what an archive holds, and from when to when any moment can be recovered. Reads the bucket alone, with a
// viewer's rights.

import type { Command } from "commander";
import { HoldfastError } from "../../base/errors.ts";
import { archiveOf, findServers } from "../../postgres/archive.ts";
import {
  addArchiveOptions,
  namedArchive,
  openArchiveStorage,
  type ArchiveFlags,
} from "../archive-session.ts";
import { infoMessage, type ListedServer } from "../archive-message.ts";
import { takeStock } from "../archive-stock.ts";
import { viewServer, viewServers } from "../archive-view.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";

function configure(command: Command): void {
  addArchiveOptions(command);
  command.addHelpText(
    "after",
    `
Examples:
  holdfast pg info --archive gs://company-backups/base            (every server)
  holdfast pg info --archive gs://company-backups/base --server odoo-db
  holdfast pg info --json

Times are those that the archive tells: when a backup ended, when the last segment was stored. Positions are exact.
Reads only; the status is 3 when something could not be read.`,
  );
}

export const pgInfoCommand: CommandModule = {
  stopsWithReader: true,
  configure,

  async run(context, _, options) {
    const { output, clock, settings, signal } = context;
    const flags = options as ArchiveFlags;
    const { server } = namedArchive(context, flags);
    const storage = await openArchiveStorage(context, flags);
    const names = server === undefined ? await findServers(storage, { signal }) : [server];
    if (names.length === 0) {
      throw new HoldfastError(
        "ARCHIVE_NOT_FOUND",
        `no server has an archive at ${storage.location}`,
        {
          hint: "Name the destination path as Barman knows it: the folder above those of the servers.",
        },
      );
    }
    const servers: ListedServer[] = [];
    for (const name of names) servers.push(await takeStock(context, archiveOf(storage, name)));
    const now = clock.now();
    if (output.isJson) output.json(infoMessage(storage.location, servers, now));
    else {
      const view = { timeZone: settings.timeZone, now, columns: output.columns };
      const [only, ...more] = servers;
      const lines = more.length === 0 ? viewServer(only!, view) : viewServers(servers, view);
      for (const line of lines) output.data(line);
    }
    const isComplete = servers.every(({ inventory }) => inventory.catalogue.problems.length === 0);
    return isComplete ? EXIT.ok : EXIT.incomplete;
  },
};
