// `operator run`: the controller of VolSync's resources, until it is told to stop.

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { HoldfastError } from "../../base/errors.ts";
import { openCluster } from "../../operator/find-cluster.ts";
import { ownImage, serveOperator } from "../../operator/serve-operator.ts";
import { clusterIo } from "../cluster-io.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { PROGRAM_VERSION } from "../version.ts";

interface Flags {
  namespace?: string;
  image?: string;
  mode?: string;
  watchNamespace?: string[];
  maxMovers: string;
  leaderElect: boolean;
  metricsAddress: string;
  probesAddress: string;
  kubeconfig?: string;
  context?: string;
}

const PROXY_VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] as const;

export const operatorRunCommand: CommandModule = {
  configure(command) {
    command
      .option("--namespace <name>", "where the operator itself is (or POD_NAMESPACE)")
      .option("--image <image>", "image of movers (default: that of the pod POD_NAME)")
      .option("--mode <mode>", "compat or safe, for resources that do not say", "compat")
      .option(
        "--watch-namespace <name>",
        "only this namespace; may be given again (default: all)",
        (name: string, names: string[] | undefined) => [...(names ?? []), name],
      )
      .option("--max-movers <n>", "backups that are made at once; 0: as many as are due", "100")
      .option("--no-leader-elect", "take no lease: nobody else acts on these resources")
      .option("--metrics-address <address>", "where metrics are served; 0: nowhere", ":8443")
      .option("--probes-address <address>", "where probes are answered; 0: nowhere", ":8081")
      .option("--kubeconfig <file>", "how to reach the cluster (or KUBECONFIG)")
      .option("--context <name>", "context of the kubeconfig")
      .addHelpText(
        "after",
        `
Examples:
  holdfast operator run
  holdfast operator run --json
  holdfast operator run --kubeconfig ~/.kube/config --namespace volsync-system --image registry.example.org/holdfast:1

Reconciles ReplicationSources and ReplicationDestinations (volsync.backube/v1alpha1) with a restic mover. It takes the lease
that VolSync takes, so that the two never act at once in a namespace. Runs until it is stopped by SIGINT or SIGTERM; movers that
are at work then go on, and the next operator reads how they ended.`,
      );
  },

  async run(context, _, options) {
    const flags = options as unknown as Flags;
    const { output, clock, random, environment, signal } = context;
    const mode = flags.mode ?? "compat";
    if (mode !== "compat" && mode !== "safe") {
      throw usage(`--mode: ${JSON.stringify(mode)} is not known`, "Give compat or safe.");
    }
    const metricsAddress = readAddress(flags.metricsAddress, "--metrics-address");
    const probesAddress = readAddress(flags.probesAddress, "--probes-address");
    const maxMovers = readCount(flags.maxMovers, "--max-movers");
    const cluster = await openCluster({
      io: clusterIo(environment),
      clock,
      kubeconfig: flags.kubeconfig,
      context: flags.context,
    });
    const { api } = cluster;
    try {
      const namespace =
        flags.namespace ?? environment["POD_NAMESPACE"] ?? cluster.namespace ?? "volsync-system";
      const image = flags.image ?? (await imageOfPod(context, { api, namespace }));
      await serveOperator({
        api,
        settings: {
          image,
          // Where movers run in our own image, they find what we find.
          moversHaveRclone: flags.image === undefined && hasProgram("rclone", environment["PATH"]),
          namespace,
          proxyVariables: proxyVariables(environment),
          defaultMode: mode,
          maxMovers,
        },
        clock,
        random,
        signal,
        instance: environment["POD_NAME"] ?? context.machine.hostname,
        namespaces: flags.watchNamespace,
        leaderElection: flags.leaderElect,
        metricsAddress,
        probesAddress,
        version: PROGRAM_VERSION,
        processUse,
        onNotice: ({ level, message }) => {
          const time = new Date(clock.now()).toISOString();
          if (output.isJson) output.json({ message_type: "notice", time, level, message });
          else if (level === "warning") output.warn(message);
          else output.print(message);
        },
      });
      return EXIT.ok;
    } finally {
      api.close();
    }
  },
};

async function imageOfPod(
  { environment }: Context,
  { api, namespace }: { readonly api: Parameters<typeof ownImage>[0]; readonly namespace: string },
): Promise<string> {
  const name = environment["POD_NAME"];
  const hint = "Name it with --image.";
  if (!name) throw usage("the image of movers is not known", hint);
  const found = await ownImage(api, { namespace, name });
  if ("image" in found) return found.image;
  throw usage(`the image of movers is not known: ${found.why}`, hint);
}

/** `:8443`, `127.0.0.1:9000`, `[::1]:9000`; `0` for none. */
function readAddress(
  text: string,
  flag: string,
): { readonly host: string; readonly port: number } | undefined {
  if (text === "0" || text === "") return undefined;
  const [, bracketed, plain = "", port = ""] =
    /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]*)):(\d{1,5})$/.exec(text) ?? [];
  if (port === "" || Number(port) > 65_535) {
    throw usage(`${flag}: ${JSON.stringify(text)} is no address`, "Write it like :8443.");
  }
  return { host: bracketed ?? plain, port: Number(port) };
}

function readCount(text: string, flag: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw usage(
    `${flag}: ${JSON.stringify(text)} is no number`,
    "Give a whole number, 0 for no limit.",
  );
}

function hasProgram(name: string, path = ""): boolean {
  return path.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return folder !== "";
    } catch {
      return false;
    }
  });
}

/** Movers go through the proxy that we go through; programs look for either case. */
function proxyVariables(environment: Context["environment"]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of PROXY_VARIABLES) {
    const value = environment[name] ?? environment[name.toLowerCase()];
    if (!value) continue;
    found[name] = value;
    found[name.toLowerCase()] = value;
  }
  return found;
}

function processUse(): { residentBytes: number; cpuSeconds: number } {
  const { user, system } = process.cpuUsage();
  return { residentBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1e6 };
}

function usage(message: string, hint: string): HoldfastError {
  return new HoldfastError("USAGE", message, { hint });
}
