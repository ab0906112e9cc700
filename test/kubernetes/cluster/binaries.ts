// Where the programs of a Kubernetes control plane are: kube-apiserver and kube-controller-manager in the folder that `npm run
// kubernetes` fills, or in the one that KUBEBUILDER_ASSETS names; etcd and kubectl are peers. This file never builds anything.

import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { peer, skipWithout } from "../../peers.ts";

/** What `npm run kubernetes` builds. */
export const KUBERNETES_VERSION = "1.36.3";
export const BUILT_PROGRAMS = ["kube-apiserver", "kube-controller-manager"] as const;

/** Outside the checkout: they take minutes to build, and serve every checkout of the machine. */
export const KUBERNETES_CACHE: string = join(
  process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
  "holdfast",
  "kubernetes",
);

export const KUBERNETES_FOLDER: string =
  process.env["KUBEBUILDER_ASSETS"] ?? join(KUBERNETES_CACHE, KUBERNETES_VERSION);

export interface ClusterPrograms {
  readonly apiServer: string;
  readonly controllerManager: string;
  readonly etcd: string;
  readonly kubectl: string;
}

/** Where they all are. Throws when one is missing: ask `skipWithoutCluster` first. */
export function clusterPrograms(): ClusterPrograms {
  const [apiServer, controllerManager] = BUILT_PROGRAMS.map((name) =>
    join(KUBERNETES_FOLDER, name),
  );
  return {
    apiServer: apiServer!,
    controllerManager: controllerManager!,
    etcd: peer("etcd").path,
    kubectl: peer("kubectl").path,
  };
}

/** Names of programs that are not built. */
export function unbuiltPrograms(): readonly string[] {
  return BUILT_PROGRAMS.filter((name) => !isExecutable(join(KUBERNETES_FOLDER, name)));
}

/**
 * The reason to skip a test that needs a cluster, or false. Programs that nobody built are a skip even where peers are
 * required: building them needs Go and minutes.
 */
export function skipWithoutCluster(): string | false {
  const unbuilt = unbuiltPrograms();
  if (unbuilt.length > 0) {
    return `no ${unbuilt.join(", no ")} in ${KUBERNETES_FOLDER}; \`npm run kubernetes\` builds them where Go is present`;
  }
  if (process.getuid?.() !== 0) return "pods of the test cluster need root, for their mounts";
  return skipWithout("etcd", "kubectl");
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
