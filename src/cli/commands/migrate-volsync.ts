// `migrate volsync`: what would change if Holdfast took VolSync's place. There is nothing to be converted, so it only ever looks.

import { HoldfastError } from "../../base/errors.ts";
import { openCluster } from "../../operator/find-cluster.ts";
import { surveyVolsync } from "../../operator/migrate-volsync.ts";
import { clusterIo } from "../cluster-io.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { viewMigration } from "../migration-report.ts";

interface Flags {
  dryRun?: boolean;
  namespace?: string;
  kubeconfig?: string;
  context?: string;
  serviceAccount: string;
}

export const migrateVolsyncCommand: CommandModule = {
  configure(command) {
    command
      .option("--dry-run", "look, and change nothing: the only way it runs")
      .option("-n, --namespace <name>", "only resources there (default: all namespaces)")
      .option("--kubeconfig <path>", "how to reach the cluster (default: as kubectl)")
      .option("--context <name>", "a context of the kubeconfig")
      .option(
        "--service-account <namespace/name>",
        "whose rights are looked at",
        "volsync-system/holdfast",
      )
      .addHelpText(
        "after",
        `
Examples:
  holdfast migrate volsync --dry-run
  holdfast migrate volsync --dry-run --namespace business-system --json`,
      );
  },

  async run({ output, clock, environment, closers, signal }, _parameters, options) {
    const {
      dryRun = false,
      namespace,
      kubeconfig,
      context,
      serviceAccount,
    } = options as unknown as Flags;
    if (!dryRun) {
      throw new HoldfastError("USAGE", "migrate volsync only looks: there is nothing to convert", {
        hint: "Add --dry-run. Resources, repositories and names stay; docs/operations/volsync-takeover.md has the steps.",
      });
    }
    const [space = "", name = "", ...more] = serviceAccount.split("/");
    if (space === "" || name === "" || more.length > 0) {
      throw new HoldfastError("USAGE", "--service-account: write NAMESPACE/NAME");
    }
    const io = clusterIo(environment);
    const { api } = await openCluster({ io, clock, kubeconfig, context });
    closers.add({ close: () => Promise.resolve(api.close()) });
    const account = { namespace: space, name };
    const report = await surveyVolsync({ api, clock, signal, namespace, account });
    if (output.isJson) output.json({ message_type: "volsync_migration", ...report });
    else for (const line of viewMigration(report, { now: clock.now() })) output.data(line);
    const isClear = report.resources.every(
      ({ verdict }) => verdict !== "fails" && verdict !== "unsupported",
    );
    return isClear && report.rights.missing.length === 0 ? EXIT.ok : EXIT.incomplete;
  },
};
