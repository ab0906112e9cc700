// The way to a cluster for the commands: which one is meant, and a client for it.

import type { Clock } from "../base/clock.ts";
import { createApiClient, type ApiClient } from "./cluster/api-client.ts";
import type { ClusterIo as Io } from "./cluster/cluster-io.ts";
import { findCluster } from "./cluster/kubeconfig.ts";

export type ClusterIo = Io;
export type { ApiClient };

export interface OpenClusterOptions {
  readonly io: ClusterIo;
  readonly clock: Clock;
  /** Path of a kubeconfig (`--kubeconfig`). */
  readonly kubeconfig?: string | undefined;
  /** A context of it (`--context`). */
  readonly context?: string | undefined;
}

export interface OpenCluster {
  /** Close it when done. */
  readonly api: ApiClient;
  /** The namespace meant when none is named: that of the pod we run in, or of the context. */
  readonly namespace: string | undefined;
}

/**
 * Finds the cluster as kubectl does: the file named, KUBECONFIG, the cluster we run in, `~/.kube/config`. Asks it nothing yet.
 * Throws USAGE or CREDENTIALS_INVALID when there is none, or what names it cannot be used.
 */
export async function openCluster(options: OpenClusterOptions): Promise<OpenCluster> {
  const { io, clock, kubeconfig, context } = options;
  const config = await findCluster({ io, clock, path: kubeconfig, context });
  return { api: createApiClient(config), namespace: config.namespace };
}
