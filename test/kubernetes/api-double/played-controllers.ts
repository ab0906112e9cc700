// Controllers that a test asks the double to play: claims get volumes, snapshots become ready, Jobs get pods that end as a script
// says. Just enough of each for reconcilers; the real ones are in the tests with a real control plane.

import type { Kind } from "../../../src/operator/cluster/kinds.ts";
import {
  CLAIM,
  JOB,
  kind,
  PERSISTENT_VOLUME,
  POD,
  VOLUME_SNAPSHOT,
  VOLUME_SNAPSHOT_CLASS,
} from "../../../src/operator/cluster/kinds.ts";
import type { Job, KubeObject, Pod } from "../../../src/operator/cluster/kube-object.ts";
import type { DoubleObjects } from "./double-objects.ts";
import type { Change, ObjectTable } from "./object-table.ts";

/** How one pod of a Job ends. */
export interface PodEnd {
  readonly exit: number;
  /** Its termination message. */
  readonly message?: string;
  readonly log?: string;
  /** What the kubelet says of it: `OOMKilled`. */
  readonly reason?: string;
}

/** Called when a pod has begun to run. `attempt` counts the Job's pods from 1. Never settles: it runs for ever. */
export type JobScript = (job: Job, pod: Pod, attempt: number) => PodEnd | Promise<PodEnd>;

const CONTENT: Kind = kind(
  "snapshot.storage.k8s.io/v1",
  "VolumeSnapshotContent",
  "volumesnapshotcontents",
  { namespaced: false },
);

/** CSI driver of the volumes that are played. */
export const PLAYED_DRIVER = "played.csi.test";

interface FailureRule {
  readonly action: string;
  readonly onExitCodes?: { readonly operator: "In" | "NotIn"; readonly values: number[] };
}

export class PlayedControllers {
  readonly #table: ObjectTable;
  readonly #objects: DoubleObjects;
  readonly #podLogs: Map<string, string>;
  /** Things that are about to happen. */
  busy = 0;

  constructor(table: ObjectTable, objects: DoubleObjects, podLogs: Map<string, string>) {
    this.#table = table;
    this.#objects = objects;
    this.#podLogs = podLogs;
  }

  /** Every claim gets a volume. The result ends it. `when`: which claims. */
  boundClaims({
    when = (): boolean => true,
  }: { when?: (claim: KubeObject) => boolean } = {}): () => void {
    return this.#each(CLAIM, (claim) => {
      if (claim.status?.phase === "Bound" || !when(claim)) return;
      const { namespace, name, uid } = claim.metadata;
      const volumeName = `pvc-${uid}`;
      this.#objects.put(PERSISTENT_VOLUME, {
        apiVersion: "v1",
        kind: "PersistentVolume",
        metadata: { name: volumeName },
        spec: {
          claimRef: { kind: "PersistentVolumeClaim", namespace: namespace!, name, uid: uid! },
          capacity: claim.spec.resources?.requests,
          csi: { driver: PLAYED_DRIVER, volumeHandle: volumeName },
        },
        status: { phase: "Bound" },
      });
      this.#objects.update(CLAIM, namespace, name, (bound) => {
        bound.spec.volumeName = volumeName;
        bound.status = {
          phase: "Bound",
          accessModes: bound.spec.accessModes ?? [],
          capacity: bound.spec.resources?.requests ?? {},
        };
      });
    });
  }

  /** Every VolumeSnapshot becomes ready, and there is a class for them where the test made none. */
  readySnapshots({ restoreSize = "1Gi" }: { restoreSize?: string } = {}): () => void {
    if (this.#objects.list(VOLUME_SNAPSHOT_CLASS).length === 0) {
      this.#objects.put(VOLUME_SNAPSHOT_CLASS, {
        apiVersion: VOLUME_SNAPSHOT_CLASS.apiVersion,
        kind: VOLUME_SNAPSHOT_CLASS.kind,
        metadata: {
          name: "played",
          annotations: { "snapshot.storage.kubernetes.io/is-default-class": "true" },
        },
        driver: PLAYED_DRIVER,
        deletionPolicy: "Delete",
      });
    }
    return this.#each(VOLUME_SNAPSHOT, (snapshot) => {
      if (snapshot.status?.readyToUse) return;
      const { namespace, name, uid } = snapshot.metadata;
      const content = `snapcontent-${uid}`;
      this.#objects.put(CONTENT, {
        apiVersion: CONTENT.apiVersion,
        kind: CONTENT.kind,
        metadata: { name: content },
        spec: { volumeSnapshotRef: { namespace, name, uid } },
      } as KubeObject);
      this.#objects.update(VOLUME_SNAPSHOT, namespace, name, (ready) => {
        ready.status = {
          boundVolumeSnapshotContentName: content,
          readyToUse: true,
          restoreSize,
          creationTime: this.#objects.time(),
        };
      });
    });
  }

  /** Jobs get pods, one after the other, each ending as `script` says; the Job ends by its own rules. */
  jobPods(script: JobScript, { node = "node-1" }: { node?: string } = {}): () => void {
    const running = new Set<string>();
    const attempts = new Map<string, number>();
    return this.#each(JOB, (job) => {
      const { uid = "", namespace, name } = job.metadata;
      const isOver = job.status?.conditions?.some(
        ({ type, status }) => (type === "Complete" || type === "Failed") && status === "True",
      );
      if (isOver || job.metadata.deletionTimestamp) return;
      if (job.spec.suspend || job.spec.parallelism === 0) {
        for (const pod of this.#podsOf(job)) {
          if (pod.status?.phase === "Running")
            this.#objects.remove(POD, namespace, pod.metadata.name);
        }
        return;
      }
      if (running.has(uid)) return;
      running.add(uid);
      const attempt = (attempts.get(uid) ?? 0) + 1;
      attempts.set(uid, attempt);
      const pod = this.#startPod(job, attempt, node);
      this.#objects.update(JOB, namespace, name, (started) => {
        started.status = { ...started.status, active: 1, startTime: this.#objects.time() };
      });
      // A script that never settles must not keep anything from being quiet: it is not counted as busy.
      void Promise.resolve(script(job, pod, attempt)).then((end) => {
        running.delete(uid);
        this.#endPod(job, pod, end);
      });
    });
  }

  #startPod(job: Job, attempt: number, node: string): Pod {
    const { namespace, name, uid } = job.metadata;
    const { template } = job.spec;
    const labels = {
      ...template.metadata?.labels,
      "job-name": name,
      "batch.kubernetes.io/job-name": name,
      "batch.kubernetes.io/controller-uid": uid!,
    };
    return this.#objects.put(POD, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: `${name}-${uid!.slice(0, 4)}${attempt}`,
        namespace: namespace!,
        labels,
        ...(template.metadata?.annotations ? { annotations: template.metadata.annotations } : {}),
        ownerReferences: [
          {
            apiVersion: "batch/v1",
            kind: "Job",
            name,
            uid: uid!,
            controller: true,
            blockOwnerDeletion: true,
          },
        ],
      },
      spec: { ...template.spec, nodeName: node },
      status: {
        phase: "Running",
        containerStatuses: template.spec.containers.map((container) => ({
          name: container.name,
          state: { running: { startedAt: this.#objects.time() } },
        })),
      },
    });
  }

  #endPod(job: Job, pod: Pod, { exit, message, log, reason }: PodEnd): void {
    const { namespace, name } = pod.metadata;
    // It may have been deleted meanwhile, and so may the Job.
    const isThere = this.#objects.get(POD, namespace, name)?.metadata.uid === pod.metadata.uid;
    if (isThere) {
      if (log !== undefined) this.#podLogs.set(`${namespace}/${name}`, log);
      this.#objects.update(POD, namespace, name, (ended) => {
        ended.status = {
          phase: exit === 0 ? "Succeeded" : "Failed",
          containerStatuses: ended.spec.containers.map((container) => ({
            name: container.name,
            state: {
              terminated: {
                exitCode: exit,
                reason: reason ?? (exit === 0 ? "Completed" : "Error"),
                finishedAt: this.#objects.time(),
                ...(message === undefined ? {} : { message }),
              },
            },
          })),
        };
      });
    }
    const current = this.#objects.get(JOB, job.metadata.namespace, job.metadata.name);
    if (current?.metadata.uid !== job.metadata.uid) return;
    this.#objects.update(JOB, job.metadata.namespace, job.metadata.name, (ended) => {
      // A pod that is gone counts as a failed one.
      endJob(ended, isThere ? exit : 137, this.#objects.time());
    });
  }

  #podsOf(job: Job): Pod[] {
    return this.#objects
      .list(POD, job.metadata.namespace)
      .filter((pod) => pod.metadata.ownerReferences?.[0]?.uid === job.metadata.uid);
  }

  /** Plays for every object of a kind that is there, and after each change of one. */
  #each<T extends KubeObject>(of: Kind<T>, act: (object: T) => void): () => void {
    const [group] = of.apiVersion.includes("/") ? of.apiVersion.split("/") : [""];
    const resource = group === "" ? of.plural : `${of.plural}.${group}`;
    let isStopped = false;
    const look = (namespace: string | undefined, name: string): void => {
      this.busy += 1;
      // Later, as a controller does that hears of it.
      setImmediate(() => {
        this.busy -= 1;
        const object = isStopped ? undefined : this.#objects.get(of, namespace, name);
        if (object !== undefined && !object.metadata.deletionTimestamp) act(object);
      });
    };
    const stop = this.#table.onChange(({ resource: changed, after }: Change) => {
      if (changed === resource && after) look(after.metadata.namespace, after.metadata.name);
    });
    for (const { metadata } of this.#objects.list(of)) look(metadata.namespace, metadata.name);
    return () => {
      isStopped = true;
      stop();
    };
  }
}

/** What the Job controller does about the end of a pod. */
function endJob(job: Job, exit: number, time: string): void {
  const { failed = 0, succeeded = 0 } = job.status ?? {};
  const condition = (type: string, reason?: string, message?: string): void => {
    job.status!.conditions = [
      { type, status: "True", ...(reason ? { reason } : {}), ...(message ? { message } : {}) },
    ];
  };
  job.status = { ...job.status, active: 0 };
  if (exit === 0) {
    job.status = { ...job.status, succeeded: succeeded + 1, completionTime: time };
    return condition("Complete", "CompletionsReached", "Reached expected number of succeeded pods");
  }
  job.status.failed = failed + 1;
  const { rules = [] } = (job.spec["podFailurePolicy"] ?? {}) as { rules?: FailureRule[] };
  const rule = rules.find(
    ({ onExitCodes: codes }) =>
      codes !== undefined && codes.values.includes(exit) === (codes.operator === "In"),
  );
  if (rule?.action === "Ignore") job.status.failed = failed;
  else if (rule?.action === "FailJob") {
    condition("Failed", "PodFailurePolicy", `Container for pod failed with exit code ${exit}`);
  } else if (failed + 1 > (job.spec.backoffLimit ?? 6)) {
    condition("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit");
  }
}
