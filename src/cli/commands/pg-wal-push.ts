// `pg wal-push`: what an archive_command runs for every file of WAL. The status is 0 only when the file is durable in the
// archive: the server recycles it then.

import { HoldfastError } from "../../base/errors.ts";
import { clusterOfDirectory } from "../../postgres/data-directory.ts";
import { pushWal } from "../../postgres/wal-push.ts";
import { GZIP_FAST, parseWalCompression } from "../../postgres/wal-codec.ts";
import { addArchiveOptions, namedArchive, openNamedArchive } from "../archive-session.ts";
import type { ArchiveFlags } from "../archive-session.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";

interface PushFlags extends ArchiveFlags {
  walCompression?: string;
}

export const pgWalPushCommand: CommandModule = {
  configure(command) {
    addArchiveOptions(command);
    command
      .argument("<path>", "the file: %p in archive_command")
      .option("--wal-compression <kind>", "gzip[:1-9], zstd[:1-19] or none (default: gzip:1)")
      .addHelpText(
        "after",
        `
Examples:
  holdfast pg wal-push pg_wal/000000010000000000000007 --archive gs://bucket/base --server odoo
  archive_command = 'holdfast pg wal-push %p --archive gs://bucket/base --server odoo'

Stores a file of WAL once: the same content again is success, other content under its name is an error, and the archive of
another server is one too. Barman reads zstd from version 3.12 on. See docs/operations/wal.md.`,
      );
  },

  async run(context, [path = ""], options) {
    const flags = options as PushFlags;
    const { output, signal, environment } = context;
    const chosen = flags.walCompression ?? environment["HOLDFAST_WAL_COMPRESSION"];
    const compression = chosen ? parseWalCompression(chosen, "--wal-compression") : GZIP_FAST;
    // PostgreSQL runs the command in its data directory.
    const systemId = (await clusterOfDirectory("."))?.systemId;
    requireServer(context, flags);
    // Its place is not made: a volume that is not mounted, or a misspelt bucket, would take the only copy of the log.
    const archive = await openNamedArchive(context, flags);
    const pushed = await pushWal({ archive, path, compression, systemId, signal });
    for (const each of pushed.left)
      output.warn(`${each} stays beside the whole segment: the storage does not delete it`);
    if (output.isJson) {
      const { isNew, ...facts } = pushed;
      output.json({ message_type: "wal_push", is_new: isNew, ...facts });
    } else {
      const what = pushed.isNew ? "stored" : "already there";
      output.verbose(`${pushed.name}: ${what} as ${pushed.object} in ${archive.location}`);
    }
    return EXIT.ok;
  },
};

/** Whatever lies there by now, WAL goes to the server that was named. */
function requireServer(context: Context, flags: ArchiveFlags): void {
  if (namedArchive(context, flags).server !== undefined) return;
  throw new HoldfastError("USAGE", "no server of the archive is named", {
    hint: "Use --server NAME or the variable HOLDFAST_ARCHIVE_SERVER.",
  });
}
