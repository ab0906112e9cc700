// Runs the pods of the test cluster's nodes as processes of this machine, and reports of them as a kubelet does: phases,
// container states, exit codes, termination messages, deletion with grace. Logs stay until their pod is deleted.

import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "../../../src/operator/cluster/kube-object.ts";
import type { ClusterLink } from "./cluster-link.ts";
import type { TestNodes } from "./node.ts";
import { isOver } from "./scheduler.ts";
import { PodRun, type StartGate, type TestImages } from "./pod-run.ts";
import { placeOf } from "./node.ts";

export interface TestKubelet {
  /** Pods that start from now on are said to run, and do nothing until `release`: what happens meanwhile happens in mid-run. */
  hold(): void;
  release(): void;
  /** Kills a running pod's processes as the kernel does that has no memory left for them. */
  runOutOfMemory(namespace: string, name: string): Promise<void>;
  /** Path of the log of a container that runs or has run, and whether it goes on. Undefined when there is none. */
  logOf(
    namespace: string,
    name: string,
    container: string | undefined,
  ): { readonly path: string; readonly over: () => boolean } | undefined;
  /** Ends all pods' processes. */
  stop(): Promise<void>;
}

export interface KubeletOptions {
  readonly link: ClusterLink;
  readonly nodes: TestNodes;
  readonly images: TestImages;
  readonly folder: string;
  readonly directoryOfVolume: (volume: string) => string;
  readonly signal: AbortSignal;
}

/** Runs pods until `signal`. */
export async function startKubelet(options: KubeletOptions): Promise<TestKubelet> {
  const { link, nodes, folder, signal } = options;
  await mkdir(folder, { recursive: true });
  const runs = new Map<string, PodRun>();
  const byName = new Map<string, PodRun>();
  let opened: { promise: Promise<void>; resolve: () => void } | undefined;
  const gate: StartGate = {
    pass: (interrupted) =>
      new Promise((resolve, reject) => {
        interrupted.throwIfAborted();
        interrupted.addEventListener("abort", () => reject(interrupted.reason as Error), {
          once: true,
        });
        void (opened?.promise ?? Promise.resolve()).then(resolve);
      }),
  };

  const finalize = async (pod: Pod): Promise<void> => {
    await link
      .delete(placeOf(pod, "pods"), {
        apiVersion: "v1",
        kind: "DeleteOptions",
        gracePeriodSeconds: 0,
        preconditions: { uid: pod.metadata.uid },
      })
      .catch(() => undefined);
  };
  /** What was heard of pods of lost nodes, by their UID. */
  const missed = new Map<string, Pod>();
  const hear = (pod: Pod, gone: boolean): void => {
    const { uid = "", namespace, name, deletionTimestamp } = pod.metadata;
    const { nodeName } = pod.spec;
    if (nodeName === undefined || !nodes.names.includes(nodeName)) return;
    if (!nodes.alive(nodeName)) {
      if (gone) missed.delete(uid);
      else missed.set(uid, pod);
      if (!gone) return;
    }
    let run = runs.get(uid);
    if (gone) {
      runs.delete(uid);
      if (byName.get(`${namespace}/${name}`) === run) byName.delete(`${namespace}/${name}`);
      // Deleted by force: what it runs ends now.
      if (run !== undefined)
        void run.kill().then(() => rm(run!.folder, { recursive: true, force: true }));
      return;
    }
    if (run === undefined) {
      if (deletionTimestamp !== undefined || isOver(pod)) {
        if (deletionTimestamp !== undefined) void finalize(pod);
        return;
      }
      run = new PodRun({ ...options, gate, pod, folder: join(folder, uid) });
      runs.set(uid, run);
      byName.set(`${namespace}/${name}`, run);
      run.start();
      return;
    }
    if (deletionTimestamp === undefined) {
      // Evicted by somebody else's hand.
      if (isOver(pod)) void run.kill();
      return;
    }
    void run.terminate(pod).then(() => finalize(pod));
  };
  link.follow<Pod>("/api/v1/pods", signal, hear);
  nodes.onRecover(() => {
    const pods = [...missed.values()];
    missed.clear();
    for (const pod of pods) hear(pod, false);
  });
  return {
    hold() {
      opened ??= Promise.withResolvers<void>();
    },
    release() {
      opened?.resolve();
      opened = undefined;
    },
    async runOutOfMemory(namespace, name) {
      const run = byName.get(`${namespace}/${name}`);
      if (run === undefined) throw new Error(`no pod ${namespace}/${name} runs`);
      await run.runOutOfMemory();
    },
    logOf: (namespace, name, container) => byName.get(`${namespace}/${name}`)?.log(container),
    async stop() {
      await Promise.all([...runs.values()].map((run) => run.kill()));
    },
  };
}
