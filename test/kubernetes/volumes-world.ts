// A world for tests of volumes: the API server in memory, a clock moved by hand, and the operator's context without its
// reconcilers. Stores show what the server has at this moment, or, `frozen`, what it had: a cache that is behind.

import type { TestContext } from "node:test";
import type { Kind } from "../../src/operator/cluster/kinds.ts";
import {
  CLAIM,
  JOB,
  POD,
  STORAGE_CLASS,
  VOLUME_SNAPSHOT,
  VOLUME_SNAPSHOT_CLASS,
} from "../../src/operator/cluster/kinds.ts";
import type {
  KubeObject,
  PersistentVolumeClaim,
  Pod,
} from "../../src/operator/cluster/kube-object.ts";
import type { Store } from "../../src/operator/cluster/store.ts";
import type { EventRecorder, OperatorContext, Step } from "../../src/operator/context.ts";
import { allCrds } from "../../src/operator/resources/crds.ts";
import {
  REPLICATION_DESTINATION,
  type ReplicationDestination,
} from "../../src/operator/resources/replication-destination.ts";
import {
  REPLICATION_SOURCE,
  type ReplicationSource,
} from "../../src/operator/resources/replication-source.ts";
import type { RunPlan } from "../../src/operator/run-plan.ts";
import { FakeClock } from "../fake-clock.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { startApiDouble, type ApiDouble, type ApiDoubleOptions } from "./api-double.ts";
import { PLAYED_DRIVER } from "./api-double/played-controllers.ts";

export const SPACE = "odoo";
const DEFAULT = "is-default-class";

export type Told = Parameters<EventRecorder["record"]>[0];

export class VolumesWorld {
  readonly double: ApiDouble;
  readonly clock: FakeClock;
  readonly told: Told[] = [];
  readonly context: OperatorContext;
  #frozen: ReadonlyMap<string, KubeObject[]> | undefined;

  constructor(double: ApiDouble, clock: FakeClock) {
    this.double = double;
    this.clock = clock;
    this.context = {
      api: double.api(),
      stores: {
        claims: this.#store(CLAIM),
        jobs: this.#store(JOB),
        pods: this.#store(POD),
        snapshots: this.#store(VOLUME_SNAPSHOT),
      },
      clock,
      random: (length) => seededBytes("volumes", length),
      events: { record: (event) => void this.told.push(event) },
      settings: {
        image: "holdfast:test",
        namespace: "volsync-system",
        proxyVariables: {},
        defaultMode: "compat",
      },
      signal: AbortSignal.timeout(300_000),
    };
  }

  #store<T extends KubeObject>(kind: Kind<T>): Store<T> {
    const all = (namespace?: string): T[] => {
      const frozen = this.#frozen?.get(kind.plural) as T[] | undefined;
      if (frozen === undefined) return this.double.objects.list(kind, namespace);
      return frozen.filter(({ metadata }) => !namespace || metadata.namespace === namespace);
    };
    return {
      get: (namespace, name) => all(namespace).find(({ metadata }) => metadata.name === name),
      list: all,
      indexed: (index, key) => all().filter((object) => keysOf(object, index).includes(key)),
      onChange: () => () => undefined,
    };
  }

  /** From now on the stores show what is there at this moment. */
  freeze(): void {
    const { objects } = this.double;
    this.#frozen = new Map<string, KubeObject[]>([
      [CLAIM.plural, objects.list(CLAIM)],
      [JOB.plural, objects.list(JOB)],
      [POD.plural, objects.list(POD)],
      [VOLUME_SNAPSHOT.plural, objects.list(VOLUME_SNAPSHOT)],
    ]);
  }

  thaw(): void {
    this.#frozen = undefined;
  }

  /** A claim of the user. `bound`: it has a volume of the played driver. */
  claim(
    name: string,
    spec: Partial<PersistentVolumeClaim["spec"]> = {},
    metadata: Partial<KubeObject["metadata"]> = {},
  ): PersistentVolumeClaim {
    return this.double.objects.put(CLAIM, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name, namespace: SPACE, ...metadata },
      spec: {
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "10Gi" } },
        storageClassName: "fast",
        ...spec,
      },
    });
  }

  storageClass(
    name: string,
    binding: "Immediate" | "WaitForFirstConsumer",
    isDefault = false,
  ): void {
    this.double.objects.put(STORAGE_CLASS, {
      apiVersion: STORAGE_CLASS.apiVersion,
      kind: STORAGE_CLASS.kind,
      metadata: {
        name,
        annotations: { [`storageclass.kubernetes.io/${DEFAULT}`]: String(isDefault) },
      },
      provisioner: PLAYED_DRIVER,
      volumeBindingMode: binding,
    });
  }

  snapshotClass(
    name: string,
    { driver = PLAYED_DRIVER, isDefault = false }: { driver?: string; isDefault?: boolean } = {},
  ): void {
    this.double.objects.put(VOLUME_SNAPSHOT_CLASS, {
      apiVersion: VOLUME_SNAPSHOT_CLASS.apiVersion,
      kind: VOLUME_SNAPSHOT_CLASS.kind,
      metadata: {
        name,
        annotations: { [`snapshot.storage.kubernetes.io/${DEFAULT}`]: String(isDefault) },
      },
      driver,
      deletionPolicy: "Delete",
    });
  }

  source(
    restic: ReplicationSource["spec"]["restic"] & object,
    name = "files",
    metadata: Partial<KubeObject["metadata"]> = {},
  ): ReplicationSource {
    return this.double.objects.put(REPLICATION_SOURCE, {
      apiVersion: REPLICATION_SOURCE.apiVersion,
      kind: REPLICATION_SOURCE.kind,
      metadata: { name, namespace: SPACE, ...metadata },
      spec: { sourcePVC: "data", restic: { repository: "repo", ...restic } },
    });
  }

  destination(
    restic: ReplicationDestination["spec"]["restic"] & object,
    { name = "restore", ...rest }: { name?: string } & Partial<ReplicationDestination> = {},
  ): ReplicationDestination {
    return this.double.objects.put(REPLICATION_DESTINATION, {
      apiVersion: REPLICATION_DESTINATION.apiVersion,
      kind: REPLICATION_DESTINATION.kind,
      metadata: { name, namespace: SPACE },
      spec: { trigger: { manual: "once" }, restic: { repository: "repo", ...restic } },
      ...rest,
    });
  }

  pod(name: string, claim: string, { spec, ...rest }: Partial<Pod> = {}): Pod {
    return this.double.objects.put(POD, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: SPACE, ...rest.metadata },
      spec: spec ?? {
        nodeName: "node-1",
        volumes: [{ name: "files", persistentVolumeClaim: { claimName: claim } }],
        containers: [{ name: "app", volumeMounts: [{ name: "files", mountPath: "/var/lib" }] }],
      },
      status: rest.status ?? { phase: "Running" },
    });
  }

  plan(id: string, role: RunPlan["role"] = "source"): RunPlan {
    return {
      id,
      role,
      started: new Date(this.clock.now()).toISOString(),
      cause: { kind: "initial" },
      generation: 1,
      secretHash: "",
      mode: "compat",
    };
  }

  /** Looks again, with what played controllers did meanwhile, until the step is ready. */
  async reach<T>(step: () => Promise<Step<T>>): Promise<T> {
    const seen: string[] = [];
    for (let look = 0; look < 12; look++) {
      const result = await step();
      if ("ready" in result) return result.ready;
      seen.push(result.waiting.reason);
      await this.double.quiet();
    }
    throw new Error(`not ready: ${seen.join(", ")}`);
  }

  reasons(): string[] {
    return this.told.map(({ reason }) => reason);
  }
}

function keysOf(object: KubeObject, index: string): string[] {
  if (index !== "claim") return [];
  const { spec, metadata } = object as Pod;
  return (spec.volumes ?? []).map(
    ({ persistentVolumeClaim: claim }) => `${metadata.namespace}/${claim?.claimName}`,
  );
}

/** The reason for which a step waits. */
export function reasonOf(step: Step<unknown>): string {
  return "waiting" in step ? step.waiting.reason : "ready";
}

export async function volumesWorld(
  test: TestContext,
  options: ApiDoubleOptions = {},
): Promise<VolumesWorld> {
  const clock = new FakeClock();
  const double = await startApiDouble({ namespaces: [SPACE], crds: allCrds(), clock, ...options });
  test.after(() => double.close());
  const world = new VolumesWorld(double, clock);
  world.storageClass("fast", "Immediate", true);
  return world;
}
