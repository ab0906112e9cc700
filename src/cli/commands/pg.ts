// `pg`: a PostgreSQL server and its archive. Each verb is loaded when it is used: archiving starts a process for every
// segment.

import type { CommandFamily } from "../command.ts";
import { EXIT } from "../exit-status.ts";

export const pgCommand: CommandFamily = {
  // A restore_command with a misspelt verb must not end a recovery: see docs/operations/wal.md#exit-statuses.
  failsFrom: EXIT.noSuchCommand,
  members: [
    {
      name: "backup",
      summary: "Make a base backup of a running server",
      load: async () => (await import("./pg-backup.ts")).pgBackupCommand,
    },
    {
      name: "list",
      summary: "List the base backups of an archive",
      load: async () => (await import("./pg-list.ts")).pgListCommand,
    },
    {
      name: "info",
      summary: "Show what an archive holds, and which moments can be recovered",
      load: async () => (await import("./pg-info.ts")).pgInfoCommand,
    },
    {
      name: "wal-push",
      summary: "Archive a file of WAL, for archive_command",
      load: async () => (await import("./pg-wal-push.ts")).pgWalPushCommand,
    },
    {
      name: "wal-fetch",
      summary: "Bring a file of WAL back, for restore_command",
      load: async () => (await import("./pg-wal-fetch.ts")).pgWalFetchCommand,
    },
    {
      name: "restore",
      summary: "Bring a base backup back, to recover to any moment",
      load: async () => (await import("./pg-restore.ts")).pgRestoreCommand,
    },
    {
      name: "receive",
      summary: "Archive a server's WAL as it is written",
      load: async () => (await import("./pg-receive.ts")).pgReceiveCommand,
    },
    {
      name: "verify",
      summary: "Read an archive and say whether it can be restored",
      load: async () => (await import("./pg-verify.ts")).pgVerifyCommand,
    },
    {
      name: "expire",
      summary: "Delete backups and WAL that a retention policy lets go of",
      load: async () => (await import("./pg-expire.ts")).pgExpireCommand,
    },
    {
      name: "keep",
      summary: "Mark a backup that no policy may delete",
      load: async () => (await import("./pg-keep.ts")).pgKeepCommand,
    },
  ],
};
