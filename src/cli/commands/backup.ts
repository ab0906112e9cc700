// `backup`: stores files and directories in a new snapshot, with restic's options.
//
// The key takes longest, so the repository is being opened before the engine is even loaded.

import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { collect } from "../option-values.ts";
import { openNamedRepository, warnNoLock } from "../session.ts";

export const backupCommand: CommandModule = {
  configure(command) {
    command
      .argument("[paths...]", "files and directories to store")
      .option("-H, --host <name>", "host name of the snapshot (default: this machine's)")
      .option("--tag <tags>", "add tags, separated by commas; may be repeated", collect, [])
      .option("--parent <id>", "compare with this snapshot (default: the latest of the group)")
      .option("-g, --group-by <keys>", "what makes a group: host, paths, tags", "host,paths")
      .option("-f, --force", "read every file again")
      .option("-e, --exclude <pattern>", "leave out what matches; may be repeated", collect, [])
      .option("--iexclude <pattern>", "the same, ignoring case", collect, [])
      .option("--exclude-file <file>", "read exclude patterns from a file", collect, [])
      .option("--iexclude-file <file>", "the same, ignoring case", collect, [])
      .option("--exclude-if-present <name[:header]>", "leave out what is beside it", collect, [])
      .option("--exclude-caches", "leave out cache directories (CACHEDIR.TAG)")
      .option("--exclude-larger-than <size>", "leave out larger files: k, M, G, T")
      .option("--files-from <file>", "read patterns of paths to store from a file", collect, [])
      .option("--files-from-verbatim <file>", "read paths to store from a file", collect, [])
      .option("--files-from-raw <file>", "the same, separated by zero bytes", collect, [])
      .option("-x, --one-file-system", "do not enter other file systems")
      .option("--stdin", "store what comes on standard input as one file")
      .option("--stdin-filename <name>", "its name in the snapshot", "stdin")
      .option("--time <time>", "time of the snapshot: 2026-01-31 15:04:05 (default: now)")
      .option("--with-atime", "store access times")
      .option("--ignore-inode", "a file is unchanged though its inode and ctime are not")
      .option("--ignore-ctime", "a file is unchanged though its ctime is not")
      .option("--read-concurrency <n>", "threads that read files (default: one for each core)")
      .option("--no-scan", "accepted; the scan never costs extra time")
      .option("--skip-if-unchanged", "make no snapshot when nothing changed")
      .option("-n, --dry-run", "store nothing, say what would be")
      .option("--allow-empty", "accept an empty source; otherwise it is taken for a lost mount")
      .addHelpText(
        "after",
        `
Examples:
  holdfast backup /var/lib/odoo/filestore/production
  cd /data && holdfast backup --host volsync .
  pg_dump production | holdfast backup --stdin --stdin-filename production.sql

Unreadable files are reported and left out; the snapshot is made and the exit status is ${EXIT.incomplete}.`,
      );
  },

  async run(context, parameters, options) {
    warnNoLock(context);
    let onDerive = (): void => {};
    const deriving = new Promise<void>((resolve) => (onDerive = resolve));
    const repository = openNamedRepository(context, onDerive);
    // Its failure is told when it is awaited.
    repository.catch(onDerive);
    await deriving;
    const { runBackup } = await import("../backup-run.ts");
    return runBackup(context, parameters, options, repository);
  },
};
