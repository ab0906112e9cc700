// The operator as a process of its own: what it does, its metrics, and the probes by which the cluster knows that it is well.

import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import { POD } from "./cluster/kinds.ts";
import type { ClusterApi } from "./cluster/cluster-api.ts";
import { runOperator, type OperatorOptions } from "./operator.ts";
import { OperatorMetrics } from "./signals/metrics.ts";
import { startMetricsServer, type Address } from "./signals/metrics-server.ts";

export interface ServeOptions extends Omit<OperatorOptions, "metrics"> {
  readonly version: string;
  readonly processUse: () => { readonly residentBytes: number; readonly cpuSeconds: number };
  /** Undefined: none. */
  readonly metricsAddress: Address | undefined;
  readonly probesAddress: Address | undefined;
}

/** Runs until the signal is aborted. Rejects when it cannot go on: an address that is taken, above all. */
export async function serveOperator(options: ServeOptions): Promise<void> {
  const { api, clock, random, signal, version, processUse, onNotice } = options;
  const metrics = new OperatorMetrics({ clock, version, processUse });
  const { metricsAddress, probesAddress } = options;
  const isOpen = metricsAddress !== undefined && !isLoopback(metricsAddress.host);
  const opening = startMetricsServer({
    text: () => metrics.text(),
    ...(metricsAddress === undefined ? {} : { metrics: metricsAddress }),
    ...(probesAddress === undefined ? {} : { probes: probesAddress }),
    // Whoever is on this machine may read them as they are; everybody else is asked who they are.
    ...(isOpen ? { guard: { api } } : {}),
    healthy: () => true,
    missing: () => (signal.aborted ? "stopping" : missingRights(metrics)),
    clock,
    random,
    signal,
  });
  const server = await opening.catch((error: unknown) => {
    throw cannotListen(error);
  });
  const doors = [
    ...(server.metrics ? [`metrics on port ${server.metrics.port}`] : []),
    ...(server.probes ? [`probes on port ${server.probes.port}`] : []),
  ];
  if (doors.length > 0) onNotice({ level: "info", message: doors.join(", ") });
  try {
    await runOperator({ ...options, metrics });
  } finally {
    await server.close();
  }
}

/** Without reading what it watches, the operator does nothing: a rollout that lost it a right is to stop there. */
function missingRights({ refusals }: OperatorMetrics): string | undefined {
  return refusals.size === 0 ? undefined : `no right to read ${[...refusals.keys()].join(", ")}`;
}

function cannotListen(error: unknown): unknown {
  if (errnoOf(error) === undefined) return error;
  return new HoldfastError("USAGE", `metrics or probes: ${messageOf(error)}`, {
    hint: "Give --metrics-address and --probes-address others, or 0 for none.",
    cause: error,
  });
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The image of a container of the pod that we run in: movers run the same. Undefined when it cannot be told. */
export async function ownImage(
  api: ClusterApi,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): Promise<{ readonly image: string } | { readonly why: string }> {
  try {
    const pod = await api.get(POD, { namespace, name });
    const containers = pod?.spec.containers ?? [];
    const own = containers.find((each) => each.name === "operator") ?? containers[0];
    if (own?.image !== undefined) return { image: own.image };
    return { why: `there is no pod ${namespace}/${name}` };
  } catch (error) {
    return { why: messageOf(error) };
  }
}
