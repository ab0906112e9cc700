// `mover`: what runs inside the pods of the operator's Jobs, in place of VolSync's entry script. By hand it does the same with the
// same variables.

import type { CommandFamily } from "../command.ts";

export const moverCommand: CommandFamily = {
  members: [
    {
      name: "backup",
      summary: "Back a volume up, forget by the rules of its resource, prune when due",
      load: async () => (await import("./mover-backup.ts")).moverBackupCommand,
    },
    {
      name: "restore",
      summary: "Restore a volume and prove what was restored",
      load: async () => (await import("./mover-restore.ts")).moverRestoreCommand,
    },
    {
      name: "log",
      summary: "Print the log and the verdict of a mover that has ended",
      load: async () => (await import("./mover-log.ts")).moverLogCommand,
    },
  ],
};
