// `holdfast operator run` as a process of its own, before a test cluster, with the rights that deploy/base gives it and no more: a
// right that is missing there fails here.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";
import { freePort } from "../../free-port.ts";
import { kubeconfigText } from "./control-plane.ts";
import { startServer, untilReady } from "./server-process.ts";
import { MOVER_IMAGE, type TestCluster } from "./test-cluster.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");
export const OPERATOR_NAMESPACE = "volsync-system";

export interface OperatorProcess {
  /** Resolves with its exit status. */
  readonly exited: Promise<number | string>;
  /** What it has printed. */
  output(): string;
  /** Port of its probes and of its metrics. */
  readonly ports: { readonly probes: number; readonly metrics: number };
  /** Ends it as Kubernetes does (SIGTERM), or at once. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface OperatorProcessOptions {
  /** Further arguments. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const installed = new WeakMap<TestCluster, Promise<string>>();
let started = 0;

/** Starts it, and waits until it is ready. Installs what it needs in the cluster first. */
export async function startOperator(
  cluster: TestCluster,
  { args = [], env = {} }: OperatorProcessOptions = {},
): Promise<OperatorProcess> {
  let ready = installed.get(cluster);
  if (ready === undefined) {
    ready = install(cluster);
    installed.set(cluster, ready);
  }
  const kubeconfig = await ready;
  const [probes, metrics] = await Promise.all([freePort(), freePort()]);
  const name = `holdfast-${++started}`;
  const server = startServer({
    name: "holdfast operator",
    program: join(ROOT, "bin", "holdfast"),
    args: [
      "operator",
      "run",
      "--kubeconfig",
      kubeconfig,
      "--image",
      MOVER_IMAGE,
      "--probes-address",
      `127.0.0.1:${probes}`,
      "--metrics-address",
      `127.0.0.1:${metrics}`,
      ...args,
    ],
    env: { POD_NAME: name, POD_NAMESPACE: OPERATOR_NAMESPACE, ...env },
  });
  await untilReady("holdfast operator", server, async () => {
    const answer = await fetch(`http://127.0.0.1:${probes}/readyz`);
    await answer.arrayBuffer();
    return answer.ok;
  });
  return {
    exited: server.exited,
    output: () => server.output(),
    ports: { probes, metrics },
    stop: (signal = "SIGTERM") => server.stop(signal),
  };
}

/** Applies deploy/base without its Deployment, which we are; a kubeconfig of its service account. */
async function install(cluster: TestCluster): Promise<string> {
  const built = await cluster.kubectl("kustomize", join(ROOT, "deploy", "base"));
  if (built.code !== 0) throw new Error(`kubectl kustomize: ${built.stderr}`);
  const objects = parseAllDocuments(built.stdout)
    .map((document) => document.toJS() as KubeObject)
    .filter(({ kind }) => kind !== "Deployment");
  const account = objects.find(({ kind }) => kind === "ServiceAccount");
  if (account === undefined) throw new Error("deploy/base has no ServiceAccount");
  await cluster.apply(objects);
  const { stdout, stderr, code } = await cluster.kubectl(
    "create",
    "token",
    account.metadata.name,
    "--namespace",
    OPERATOR_NAMESPACE,
    "--duration=2h",
  );
  if (code !== 0) throw new Error(`kubectl create token: ${stderr}`);
  const path = join(cluster.folder, "operator.kubeconfig");
  const { address, keys } = cluster.controlPlane;
  const authority = keys.authority.certificate;
  await writeFile(path, kubeconfigText({ address, authority, token: stdout.trim() }), {
    mode: 0o600,
  });
  return path;
}
