// All verbs, in the order of the help. A verb's module is loaded only when it is used, so that the program starts fast.

import type { CommandFamily, CommandModule } from "./command.ts";

export interface CommandEntry {
  name: string;
  summary: string;
  load(): Promise<CommandModule | CommandFamily>;
}

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "init",
    summary: "Make a new repository",
    load: async () => (await import("./commands/init.ts")).initCommand,
  },
  {
    name: "backup",
    summary: "Store files and directories in a new snapshot",
    load: async () => (await import("./commands/backup.ts")).backupCommand,
  },
  {
    name: "snapshots",
    summary: "List the snapshots",
    load: async () => (await import("./commands/snapshots.ts")).snapshotsCommand,
  },
  {
    name: "ls",
    summary: "List the files of a snapshot",
    load: async () => (await import("./commands/ls.ts")).lsCommand,
  },
  {
    name: "restore",
    summary: "Bring the files of a snapshot back",
    load: async () => (await import("./commands/restore.ts")).restoreCommand,
  },
  {
    name: "dump",
    summary: "Write a file or directory of a snapshot to standard output",
    load: async () => (await import("./commands/dump.ts")).dumpCommand,
  },
  {
    name: "diff",
    summary: "Show what changed between two snapshots",
    load: async () => (await import("./commands/diff.ts")).diffCommand,
  },
  {
    name: "find",
    summary: "Find files, blobs and packs in the snapshots",
    load: async () => (await import("./commands/find.ts")).findCommand,
  },
  {
    name: "forget",
    summary: "Remove snapshots, by rules that say which to keep",
    load: async () => (await import("./commands/forget.ts")).forgetCommand,
  },
  {
    name: "rewrite",
    summary: "Make snapshots anew without some of their files",
    load: async () => (await import("./commands/rewrite.ts")).rewriteCommand,
  },
  {
    name: "copy",
    summary: "Copy snapshots from another repository into this one",
    load: async () => (await import("./commands/copy.ts")).copyCommand,
  },
  {
    name: "stats",
    summary: "Count what the snapshots hold",
    load: async () => (await import("./commands/stats.ts")).statsCommand,
  },
  {
    name: "tag",
    summary: "Set, add or remove tags of snapshots",
    load: async () => (await import("./commands/tag.ts")).tagCommand,
  },
  {
    name: "check",
    summary: "Look for errors in the repository",
    load: async () => (await import("./commands/check.ts")).checkCommand,
  },
  {
    name: "prune",
    summary: "Remove what no snapshot needs",
    load: async () => (await import("./commands/prune.ts")).pruneCommand,
  },
  {
    name: "repair",
    summary: "Mend the index, packs or snapshots",
    load: async () => (await import("./commands/repair.ts")).repairCommand,
  },
  {
    name: "recover",
    summary: "Bring a moment of Odoo back; or make a snapshot of what no snapshot holds any more",
    load: async () => (await import("./commands/recover.ts")).recoverCommand,
  },
  {
    name: "list",
    summary: "List the files or blobs of the repository",
    load: async () => (await import("./commands/list.ts")).listCommand,
  },
  {
    name: "cat",
    summary: "Print a file or blob of the repository",
    load: async () => (await import("./commands/cat.ts")).catCommand,
  },
  {
    name: "key",
    summary: "List, add, change or remove passwords",
    load: async () => (await import("./commands/key.ts")).keyCommand,
  },
  {
    name: "unlock",
    summary: "Remove locks whose owners are gone",
    load: async () => (await import("./commands/unlock.ts")).unlockCommand,
  },
  {
    name: "cache",
    summary: "List local caches, and remove old ones",
    load: async () => (await import("./commands/cache.ts")).cacheCommand,
  },
  {
    name: "secrets",
    summary: "Open and check files that SOPS encrypted",
    load: async () => (await import("./commands/secrets.ts")).secretsCommand,
  },
  {
    name: "status",
    summary: "Show from when to when database and files can come back together",
    load: async () => (await import("./commands/status.ts")).statusCommand,
  },
  {
    name: "capture",
    summary: "Store what is new in a filestore, with the moment of the database it belongs to",
    load: async () => (await import("./commands/capture.ts")).captureCommand,
  },
  {
    name: "run",
    summary: "Keep a plan going: WAL, captures, backups, expiry, drills",
    load: async () => (await import("./commands/run.ts")).runCommand,
  },
  {
    name: "plan",
    summary: "Check a plan, or print the schema of plans",
    load: async () => (await import("./commands/plan.ts")).planCommand,
  },
  {
    name: "pg",
    summary: "Archive a PostgreSQL server, and bring it back to any moment",
    load: async () => (await import("./commands/pg.ts")).pgCommand,
  },
  {
    name: "attachment",
    summary: "Find a single attachment in what captures keep, and bring it back",
    load: async () => (await import("./commands/attachment.ts")).attachmentCommand,
  },
  {
    name: "verify",
    summary: "Compare what a database of Odoo refers to with the files that are there",
    load: async () => (await import("./commands/verify.ts")).verifyCommand,
  },
  {
    name: "drill",
    summary: "Recover a database and its files into a scratch place, check them, and remove them",
    load: async () => (await import("./commands/drill.ts")).drillCommand,
  },
  {
    name: "staging",
    summary: "Make a copy of a database and its files for tests, harmless before it can be used",
    load: async () => (await import("./commands/staging.ts")).stagingCommand,
  },
  {
    name: "export-zip",
    summary: "Write a database and its files as a zip for Odoo's database manager",
    load: async () => (await import("./commands/export-zip.ts")).exportZipCommand,
  },
  {
    name: "operator",
    summary: "Back up and restore in a Kubernetes cluster, as VolSync's resources say",
    load: async () => (await import("./commands/operator.ts")).operatorCommand,
  },
  {
    name: "mover",
    summary: "Work inside a pod of the operator: back a volume up, or restore it",
    load: async () => (await import("./commands/mover.ts")).moverCommand,
  },
  {
    name: "migrate",
    summary: "Show what would change if Holdfast took over from another program",
    load: async () => (await import("./commands/migrate.ts")).migrateCommand,
  },
  {
    name: "doctor",
    summary: "Look for what would keep backups from working",
    load: async () => (await import("./commands/doctor.ts")).doctorCommand,
  },
  {
    name: "version",
    summary: "Print the version",
    load: async () => (await import("./commands/version.ts")).versionCommand,
  },
];
