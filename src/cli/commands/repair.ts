// `repair index`, `repair packs` and `repair snapshots`: what can be done about what `check` finds.

import type { CommandFamily } from "../command.ts";

export const repairCommand: CommandFamily = {
  members: [
    {
      name: "index",
      summary: "Make the index agree with the packs that are there",
      load: async () => (await import("./repair-index.ts")).repairIndexCommand,
    },
    {
      name: "packs",
      summary: "Save what can be saved of damaged packs",
      load: async () => (await import("./repair-packs.ts")).repairPacksCommand,
    },
    {
      name: "snapshots",
      summary: "Make copies of snapshots without what is lost",
      load: async () => (await import("./repair-snapshots.ts")).repairSnapshotsCommand,
    },
  ],
};
