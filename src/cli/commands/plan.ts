// `plan`: looks at plans. Each verb is loaded when it is used.

import type { CommandFamily } from "../command.ts";

export const planCommand: CommandFamily = {
  members: [
    {
      name: "check",
      summary: "Read a plan, and say what it does",
      load: async () => (await import("./plan-check.ts")).planCheckCommand,
    },
    {
      name: "schema",
      summary: "Print the JSON Schema of plans, for editors",
      load: async () => (await import("./plan-schema.ts")).planSchemaCommand,
    },
  ],
};
