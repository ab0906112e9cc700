// What the playbooks have in common: a cluster with our operator in it, a repository server, and the steps that upstream's
// playbooks take (docs: volsync.backube's restic end-to-end tests assert names, statuses and texts; ours assert the same).

import assert from "node:assert/strict";
import { chmod, lchown, lutimes, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";
import { startRestServer, type RestServer } from "../../rest/server.ts";
import { startOperator, type OperatorProcess } from "../cluster/operator-process.ts";
import { startTestCluster, until, type TestCluster } from "../cluster/test-cluster.ts";

export interface Status {
  lastSyncTime?: string;
  lastSyncStartTime?: string;
  lastSyncDuration?: string;
  lastManualSync?: string;
  nextSyncTime?: string;
  latestMoverStatus?: { result?: string; logs?: string };
  latestImage?: { apiGroup?: string; kind?: string; name: string };
  conditions?: { type: string; status: string; reason: string; message: string }[];
  restic?: { lastPruned?: string; lastUnlocked?: string };
  external?: Record<string, string>;
}

export type Resource = KubeObject & { spec: Record<string, unknown>; status?: Status };

export interface Playbook {
  readonly cluster: TestCluster;
  /** A test that ends it starts another. */
  operator: OperatorProcess;
  readonly server: RestServer;
  stop(): Promise<void>;
}

/** Starts all of it. */
export async function startPlaybook(): Promise<Playbook> {
  const server = await startRestServer();
  const cluster = await startTestCluster();
  const stopAll = async (operator?: OperatorProcess): Promise<void> => {
    await operator?.stop();
    await cluster.stop();
    await server.close();
  };
  try {
    const operator = await startOperator(cluster);
    const playbook: Playbook = {
      cluster,
      operator,
      server,
      stop: () => stopAll(playbook.operator),
    };
    return playbook;
  } catch (error) {
    await stopAll();
    throw error;
  }
}

/** A namespace that enforces Pod Security restricted, and what happens in it. */
export class Scene {
  readonly namespace: string;
  readonly #playbook: Playbook;

  constructor(playbook: Playbook, namespace: string) {
    this.#playbook = playbook;
    this.namespace = namespace;
  }

  static async open(
    playbook: Playbook,
    options: Parameters<TestCluster["namespace"]>[0] = {},
  ): Promise<Scene> {
    return new Scene(playbook, await playbook.cluster.namespace(options));
  }

  /** Path of the namespaced resource `volsync.backube` called so. */
  #path(plural: string, name: string): string {
    return `/apis/volsync.backube/v1alpha1/namespaces/${this.namespace}/${plural}/${name}`;
  }

  #object(kind: string, apiVersion: string, name: string, rest: object): KubeObject {
    const { metadata, ...more } = rest as { metadata?: object };
    return {
      apiVersion,
      kind,
      metadata: { name, namespace: this.namespace, ...metadata },
      ...more,
    } as KubeObject;
  }

  /** The Secret of a repository. */
  async secret(name: string, data: Readonly<Record<string, string>> = {}): Promise<string> {
    const repository = `rest:${this.#playbook.server.location(`/${this.namespace}-${name}/`)}`;
    const stringData = { RESTIC_REPOSITORY: repository, RESTIC_PASSWORD: "swordfish", ...data };
    await this.apply([this.#object("Secret", "v1", name, { stringData })]);
    return stringData.RESTIC_REPOSITORY;
  }

  /** A claim, whose directory is given when it is bound. */
  async claim(name: string, spec: object = {}, metadata: object = {}): Promise<string> {
    await this.apply([
      this.#object("PersistentVolumeClaim", "v1", name, {
        metadata,
        spec: {
          accessModes: ["ReadWriteOnce"],
          resources: { requests: { storage: "1Gi" } },
          ...spec,
        },
      }),
    ]);
    return this.#playbook.cluster.directoryOf(this.namespace, name);
  }

  async apply(objects: readonly KubeObject[]): Promise<void> {
    await this.#playbook.cluster.apply(objects);
  }

  async source(name: string, spec: object, metadata: object = {}): Promise<void> {
    await this.apply([
      this.#object("ReplicationSource", "volsync.backube/v1alpha1", name, { metadata, spec }),
    ]);
  }

  async destination(name: string, spec: object, metadata: object = {}): Promise<void> {
    await this.apply([
      this.#object("ReplicationDestination", "volsync.backube/v1alpha1", name, { metadata, spec }),
    ]);
  }

  /** Waits until the status of a ReplicationSource holds; that status. */
  async sourceUntil(
    name: string,
    what: string,
    holds: (status: Status) => boolean,
    seconds?: number,
  ): Promise<Status> {
    return this.#until(this.#path("replicationsources", name), what, holds, seconds);
  }

  async destinationUntil(
    name: string,
    what: string,
    holds: (status: Status) => boolean,
  ): Promise<Status> {
    return this.#until(this.#path("replicationdestinations", name), what, holds);
  }

  async #until(
    path: string,
    what: string,
    holds: (status: Status) => boolean,
    seconds = 240,
  ): Promise<Status> {
    const { cluster, operator } = this.#playbook;
    let last: Status | undefined;
    return until(
      `${path}: ${what}`,
      async () => {
        last = (await cluster.link.get<Resource>(path))?.status;
        return last !== undefined && holds(last) ? last : undefined;
      },
      {
        seconds,
        describe: async () => {
          const all = ["get", "pods,jobs,pvc,volumesnapshots,events", "-n", this.namespace];
          const { stdout } = await cluster.kubectl(...all);
          const end = operator.output().split("\n").slice(-15).join("\n");
          return `${JSON.stringify(last, undefined, 1)}\n${stdout}\noperator:\n${end}`;
        },
      },
    );
  }

  /** Whether there is such an object: `pvc`, `name`. */
  async has(kind: string, name: string): Promise<boolean> {
    const { code } = await this.#playbook.cluster.kubectl("get", kind, name, "-n", this.namespace);
    return code === 0;
  }

  async until<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> {
    return until(what, ask);
  }
}

/** A manual run that has succeeded: what every playbook waits for. */
export function done(tag: string): (status: Status) => boolean {
  return ({ lastManualSync, latestMoverStatus }) => {
    if (lastManualSync !== tag) return false;
    assert.equal(latestMoverStatus?.result, "Successful", JSON.stringify(latestMoverStatus));
    return true;
  };
}

/** A small tree with what upstream's playbooks look for: a file, links, times; owned by `owner`. */
export async function plantTree(directory: string, owner: number): Promise<void> {
  await mkdir(join(directory, "deep", "er"), { recursive: true });
  await writeFile(join(directory, "file.txt"), "data to keep\n");
  await writeFile(join(directory, "deep", "er", "big"), Buffer.alloc(300_000, "holdfast"));
  await symlink("file.txt", join(directory, "link"));
  await symlink("/nowhere", join(directory, "broken"));
  for (const path of ["link", "broken", "file.txt", "deep/er/big", "deep/er", "deep", ""]) {
    await lchown(join(directory, path), owner, owner);
    // As a volume's group has it: what a kubelet does for fsGroup changes nothing then.
    if (path.startsWith("deep") && path !== "deep/er/big")
      await chmod(join(directory, path), 0o2775);
    else if (path === "file.txt" || path === "deep/er/big")
      await chmod(join(directory, path), 0o664);
    await lutimes(join(directory, path), 1_600_000_000, 1_600_000_000);
  }
}
