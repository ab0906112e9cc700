// How long after a trigger annotation its mover's process starts: node scripts/run.mjs bench/trigger-latency.ts [--triggers 20]
// On a real control plane (test/kubernetes/cluster), whose kubelet starts pods as processes of this machine; the operator is the real
// program. The volume is used directly: no time of a storage is in it, nor of pulling an image. The pod's process is started when the
// kubelet reports its container as running, which is what is watched for here.

import { parseArgs } from "node:util";
import { JOB, POD } from "../src/operator/cluster/kinds.ts";
import type { Pod } from "../src/operator/cluster/kube-object.ts";
import { ANNOTATION } from "../src/operator/names.ts";
import { REPLICATION_SOURCE } from "../src/operator/resources/replication-source.ts";
import { done, Scene, startPlaybook } from "../test/kubernetes/playbooks/playbook.ts";

const { values: given } = parseArgs({ options: { triggers: { type: "string", default: "20" } } });
const playbook = await startPlaybook();
const stopping = new AbortController();
try {
  const { cluster } = playbook;
  const scene = await Scene.open(playbook);
  await scene.secret("repository");
  await scene.claim("data");
  const { namespace } = scene;
  /** When each pod's container ran, and when it was there at all. */
  const seen = new Map<string, { readonly made: number; running?: number }>();
  let heard = (): void => {};
  cluster.link.follow<Pod>(`/api/v1/namespaces/${namespace}/pods`, stopping.signal, (pod) => {
    if (pod.metadata.ownerReferences?.[0]?.kind !== "Job") return;
    const known = seen.get(pod.metadata.uid ?? "") ?? { made: performance.now() };
    if (pod.status?.containerStatuses?.some(({ state }) => state?.running ?? state?.terminated)) {
      known.running ??= performance.now();
    }
    seen.set(pod.metadata.uid ?? "", known);
    heard();
  });
  await scene.source("source", {
    sourcePVC: "data",
    trigger: { manual: "first" },
    restic: { repository: "repository", copyMethod: "Direct" },
  });
  await scene.sourceUntil("source", "first run", done("first"));
  const api = cluster.api();
  const toPod: number[] = [];
  const toProcess: number[] = [];
  for (let i = 0; i < Number(given.triggers); i++) {
    // What the run before has left is removed first.
    await scene.until("rest", async () => {
      const { items } = await api.list(JOB, { namespace });
      const pods = await api.list(POD, { namespace, labelSelector: "job-name" });
      return items.length + pods.items.length === 0;
    });
    seen.clear();
    const started = Promise.withResolvers<{ made: number; running: number }>();
    heard = (): void => {
      for (const { made, running } of seen.values()) {
        if (running !== undefined) started.resolve({ made, running });
      }
    };
    const at = performance.now();
    const patch = { metadata: { annotations: { [ANNOTATION.trigger]: `run ${i}` } } };
    await api.patch(REPLICATION_SOURCE, { namespace, name: "source" }, patch, { type: "merge" });
    const { made, running } = await started.promise;
    toPod.push(made - at);
    toProcess.push(running - at);
  }
  report("trigger to pod", toPod);
  report("trigger to the mover's process", toProcess);
} finally {
  stopping.abort();
  await playbook.stop();
}

function report(name: string, milliseconds: readonly number[]): void {
  const sorted = milliseconds.toSorted((a, b) => a - b);
  const middle = sorted[Math.ceil(sorted.length / 2) - 1] ?? NaN;
  const most = sorted.at(-1) ?? NaN;
  const count = `(${sorted.length})`;
  console.log(
    `${name} ${count}`.padEnd(44),
    `p50 ${middle.toFixed(0)} ms, max ${most.toFixed(0)} ms`,
  );
}
