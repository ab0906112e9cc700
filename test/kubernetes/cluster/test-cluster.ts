// A Kubernetes cluster for a test: the real API server, controllers and etcd; nodes whose pods are processes of this machine
// (kubelet.ts), and volumes that are directories (csi.ts). It starts in a few seconds and dies with the test's process. One for
// each test file at most; tests that share it take a namespace each.

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApiClient, type ApiClient } from "../../../src/operator/cluster/api-client.ts";
import { fixedCredentials } from "../../../src/operator/cluster/cluster-config.ts";
import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";
import { allCrds } from "../../../src/operator/resources/crds.ts";
import { clusterPrograms } from "./binaries.ts";
import { openLink, type ClusterLink } from "./cluster-link.ts";
import { startControlPlane, type ControlPlane } from "./control-plane.ts";
import { startStorage, type TestStorage } from "./csi.ts";
import { startKubeletServer } from "./kubelet-server.ts";
import { startKubelet, type TestKubelet } from "./kubelet.ts";
import { startNodes, type TestNodes } from "./node.ts";
import type { TestImages } from "./pod-run.ts";
import { startScheduler } from "./scheduler.ts";
import { SNAPSHOT_CRDS } from "./snapshot-crds.ts";

export interface KubectlResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Exit status. */
  readonly code: number;
}

export interface TestCluster {
  /** Path of an administrator's kubeconfig. */
  readonly kubeconfig: string;
  /** Folder for the files of tests: gone with the cluster. */
  readonly folder: string;
  readonly controlPlane: ControlPlane;
  readonly nodes: TestNodes;
  readonly storage: TestStorage;
  readonly kubelet: TestKubelet;
  /** Raw requests of an administrator. */
  readonly link: ClusterLink;
  /** Our own client, as an administrator; `token` makes it somebody else's. */
  api(options?: { token?: string }): ApiClient;
  /** Runs the real kubectl as an administrator. Never throws. */
  kubectl(...args: readonly string[]): Promise<KubectlResult>;
  /** As `kubectl`, with `input` to read. */
  kubectlWith(input: string, ...args: readonly string[]): Promise<KubectlResult>;
  /** Applies objects, or YAML, with kubectl; throws what it complains of. */
  apply(what: string | readonly KubeObject[], ...args: readonly string[]): Promise<string>;
  /** Makes a namespace that enforces a level of Pod Security; its name. */
  namespace(options?: NamespaceOptions): Promise<string>;
  /** The directory of a claim's volume; waits until it is bound. */
  directoryOf(namespace: string, claim: string): Promise<string>;
  stop(): Promise<void>;
}

export interface NamespaceOptions {
  readonly name?: string;
  readonly enforce?: "restricted" | "baseline" | "privileged";
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface TestClusterOptions {
  /** Applied before the controllers start. Absent: VolSync's two and those of snapshots. */
  readonly crds?: readonly KubeObject[];
  /** Applied besides those. */
  readonly furtherCrds?: readonly KubeObject[];
  /** Names of nodes. Absent: two. */
  readonly nodes?: readonly string[];
  /** Further images. */
  readonly images?: TestImages;
}

/** The image of movers, and one with a shell. */
export const MOVER_IMAGE = "holdfast.test/holdfast:test";
export const SHELL_IMAGE = "busybox";
const IMAGES: TestImages = {
  [MOVER_IMAGE]: { user: 65532, group: 65532 },
  [SHELL_IMAGE]: { user: 0 },
};

/** Starts a cluster; `skipWithoutCluster` of binaries.ts says whether it can. */
export async function startTestCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const programs = clusterPrograms();
  const folder = await mkdtemp(join(tmpdir(), "holdfast-cluster-"));
  const controlPlane = await startControlPlane(programs, join(folder, "control-plane"));
  const link = openLink(controlPlane);
  const stopping = new AbortController();
  const clients: ApiClient[] = [];
  const { signal } = stopping;
  const ending: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    stopping.abort();
    for (const end of ending) await end();
    for (const client of clients) client.close();
    link.close();
    await controlPlane.stop();
    await rm(folder, { recursive: true, force: true });
  };
  const kubectlWith = (input: string, ...args: readonly string[]): Promise<KubectlResult> =>
    new Promise((resolve) => {
      const env = { ...process.env, KUBECONFIG: controlPlane.kubeconfig, HOME: folder };
      const child = execFile(
        programs.kubectl,
        args,
        { env, maxBuffer: 64 << 20 },
        (error, stdout, stderr) => {
          const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
          resolve({ stdout, stderr, code });
        },
      );
      child.stdin?.end(input);
    });
  let namespaces = 0;
  try {
    await installCrds(link, [
      ...(options.crds ?? [...SNAPSHOT_CRDS, ...allCrds()]),
      ...(options.furtherCrds ?? []),
    ]);
    const server = await startKubeletServer({
      keys: controlPlane.keys.kubelet,
      authority: controlPlane.keys.authority.certificate,
      signal,
    });
    ending.push(() => server.close());
    const names = options.nodes ?? ["node-1", "node-2"];
    const [nodes, storage] = await Promise.all([
      startNodes({ link, names, port: server.port, signal }),
      startStorage(link, join(folder, "volumes"), signal),
      controlPlane.startControllers(),
    ]);
    const { directoryOfVolume } = storage;
    const images = { ...IMAGES, ...options.images };
    const pods = join(folder, "pods");
    const kubelet = await startKubelet({
      link,
      nodes,
      images,
      signal,
      directoryOfVolume,
      folder: pods,
    });
    ending.unshift(() => kubelet.stop());
    server.serve(kubelet);
    startScheduler(link, signal);
    return {
      nodes,
      storage,
      kubelet,
      directoryOf: (namespace, claim) =>
        until(`volume of claim ${namespace}/${claim}`, () => storage.directoryOf(namespace, claim)),
      kubeconfig: controlPlane.kubeconfig,
      folder,
      controlPlane,
      link,
      api({ token = controlPlane.token } = {}) {
        const client = createApiClient({
          server: controlPlane.address,
          authorities: controlPlane.authority,
          credentials: fixedCredentials({ token }),
        });
        clients.push(client);
        return client;
      },
      kubectl: (...args) => kubectlWith("", ...args),
      kubectlWith,
      async apply(what, ...args) {
        const text =
          typeof what === "string"
            ? what
            : what.map((each) => JSON.stringify(each)).join("\n---\n");
        const { stdout, stderr, code } = await kubectlWith(text, "apply", "-f", "-", ...args);
        if (code !== 0) throw new Error(`kubectl apply: ${stderr}`);
        return stdout;
      },
      async namespace({ name = `test-${++namespaces}`, enforce = "restricted", annotations } = {}) {
        await link.create("/api/v1/namespaces", {
          apiVersion: "v1",
          kind: "Namespace",
          metadata: {
            name,
            labels: { "pod-security.kubernetes.io/enforce": enforce },
            ...(annotations === undefined ? {} : { annotations }),
          },
        });
        // Pods are refused until their service account is there.
        await until(`service account of ${name}`, async () =>
          link.get(`/api/v1/namespaces/${name}/serviceaccounts/default`),
        );
        return name;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Applies CRDs, and waits until the API server serves them. */
async function installCrds(link: ClusterLink, crds: readonly KubeObject[]): Promise<void> {
  const place = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  await Promise.all(crds.map((crd) => link.apply(`${place}/${crd.metadata.name}`, crd)));
  for (const { metadata } of crds) {
    await until(`CRD ${metadata.name}`, async () => {
      const found = await link.get<KubeObject & CrdStatus>(`${place}/${metadata.name}`);
      return found?.status?.conditions?.some(
        ({ type, status }) => type === "Established" && status === "True",
      );
    });
  }
}

interface CrdStatus {
  status?: { conditions?: { type: string; status: string }[] };
}

/** Asks until the answer is neither undefined nor false, which it gives back. Throws after `seconds`, saying what was missing. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false>,
  { seconds = 240, describe }: { seconds?: number; describe?: () => Promise<string> } = {},
): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > deadline) {
      throw new Error(`not within ${seconds} s: ${what}\n${(await describe?.()) ?? ""}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
