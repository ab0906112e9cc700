// `attachment`: finds single attachments in what captures keep, and brings them back, without a PostgreSQL server.

import type { CommandFamily } from "../command.ts";

export const attachmentCommand: CommandFamily = {
  members: [
    {
      name: "find",
      summary: "Find attachments by record, name or time",
      load: async () => (await import("./attachment-find.ts")).attachmentFindCommand,
    },
    {
      name: "versions",
      summary: "Show what an attachment was, from when to when",
      load: async () => (await import("./attachment-versions.ts")).attachmentVersionsCommand,
    },
    {
      name: "restore",
      summary: "Bring the content of an attachment back, to a file",
      load: async () => (await import("./attachment-restore.ts")).attachmentRestoreCommand,
    },
  ],
};
