// `operator`: VolSync's resources in a Kubernetes cluster. Each verb is loaded when it is used.

import type { CommandFamily } from "../command.ts";

export const operatorCommand: CommandFamily = {
  members: [
    {
      name: "run",
      summary: "Run the operator: back up and restore as VolSync's resources say",
      load: async () => (await import("./operator-run.ts")).operatorRunCommand,
    },
    {
      name: "crds",
      summary: "Print the kinds ReplicationSource and ReplicationDestination",
      load: async () => (await import("./operator-crds.ts")).operatorCrdsCommand,
    },
  ],
};
