// `migrate`: taking over from other programs.

import type { CommandFamily } from "../command.ts";

export const migrateCommand: CommandFamily = {
  members: [
    {
      name: "volsync",
      summary: "Show what would change if Holdfast took VolSync's place in a cluster",
      load: async () => (await import("./migrate-volsync.ts")).migrateVolsyncCommand,
    },
  ],
};
