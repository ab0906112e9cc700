// A mover on a node that is not heard of, on the API server in memory: it is told of with the fix, never doubled, and given up only on
// somebody's word. The same on a real control plane is in outages.test.ts.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { JOB, NODE, POD } from "../../src/operator/cluster/kinds.ts";
import type { Job, Pod } from "../../src/operator/cluster/kube-object.ts";
import { NAMESPACE, OperatorOnDouble, startOnDouble, success } from "./operator-on-double.ts";

let on: OperatorOnDouble;
/** Uids of the Jobs whose movers began. */
let begun: string[];
/** Where each of them was to run. */
let selectors: unknown[];
const MOVED = "volsync-src-moved";
afterEach(async () => await on.close());
beforeEach(async () => {
  on = await startOnDouble();
  begun = [];
  selectors = [];
  const names = new Set<string>();
  node("Unknown");
  on.double.play.jobPods((job) => {
    begun.push(job.metadata.uid ?? "");
    selectors.push(job.spec.template.spec.nodeSelector);
    // The first mover of each resource goes on for ever.
    const isFirst = !names.has(job.metadata.name);
    names.add(job.metadata.name);
    return isFirst ? new Promise(() => {}) : success(job);
  });
  await on.source("files");
  await on.quiet();
});

function node(ready: "True" | "Unknown"): void {
  const conditions = [{ type: "Ready", status: ready }];
  const metadata = { name: "node-1" };
  on.double.objects.put(NODE, { apiVersion: "v1", kind: "Node", metadata, status: { conditions } });
}

function mover(change: (pod: Pod) => void): void {
  const [pod] = on.double.objects.list(POD, NAMESPACE);
  on.double.objects.update(POD, NAMESPACE, pod?.metadata.name ?? "", change);
}

/** As the controllers leave the pod of a lost node: to be deleted, and nobody there to do it. */
function terminating(grace: number): void {
  mover(({ metadata }) => {
    metadata.deletionTimestamp = new Date(on.clock.now() + grace * 1000).toISOString();
    metadata.deletionGracePeriodSeconds = grace;
    metadata.finalizers = ["batch.kubernetes.io/job-tracking"];
  });
}

function unready(): void {
  mover(({ status }) => {
    status!.conditions = [{ type: "Ready", status: "False" }];
  });
}

function problem(): string | undefined {
  return OperatorOnDouble.conditions(on.sourceNow("files"))[1];
}

test("a running mover that is called unready: told at once, and over when the node is back", async () => {
  unready();
  await on.quiet();
  assert.equal(problem(), "Problem=True/NodeLost");
  const told = on.events().filter((event) => event.startsWith("NodeLost: "));
  assert.equal(told.length, 1);
  assert.match(
    told[0] ?? "",
    /node node-1.*taint node node-1 node\.kubernetes\.io\/out-of-service/,
  );
  assert.match(on.metrics.text(), /holdfast_problem\{[^}]*reason="NodeLost"/);
  // Nodes are not watched.
  node("True");
  await on.after(30_000);
  assert.equal(problem(), "Problem=False/None");
  assert.equal(begun.length, 1);
});

test("a mover that stays past its grace is told of, and no other one is started", async () => {
  terminating(30);
  await on.after(30_000);
  assert.equal(problem(), "Problem=False/None");
  await on.after(5_000);
  assert.equal(problem(), "Problem=True/NodeLost");
  await on.after(3_600_000);
  assert.equal(begun.length, 1);
  assert.equal(on.double.objects.list(JOB, NAMESPACE)[0]?.metadata.uid, begun[0]);
});

test("deleted by force: its Job is ended, and the next one waits until the pod is gone", async () => {
  terminating(0);
  await on.after(15_000);
  assert.deepEqual(on.double.objects.list(JOB, NAMESPACE), []);
  assert.equal(problem(), "Problem=True/NodeLost");
  await on.after(600_000);
  assert.equal(begun.length, 1);
  const [pod] = on.double.objects.list(POD, NAMESPACE);
  on.double.objects.remove(POD, NAMESPACE, pod?.metadata.name ?? "");
  // By that change alone.
  await on.quiet();
  assert.equal(begun.length, 2);
  assert.notEqual(begun[0], begun[1]);
  assert.equal(on.sourceNow("files").status?.lastManualSync, "first");
  assert.equal(problem(), "Problem=False/None");
});

test("deleted by force on a node that is ready: that node ends it, and its Job stays", async () => {
  node("True");
  terminating(0);
  await on.after(600_000);
  assert.equal(on.double.objects.list(JOB, NAMESPACE)[0]?.metadata.uid, begun[0]);
  assert.equal(problem(), "Problem=False/None");
});

test("the node is gone: that is told, and Kubernetes removes the pod", async () => {
  on.double.objects.remove(NODE, undefined, "node-1");
  unready();
  await on.quiet();
  assert.equal(problem(), "Problem=True/NodeLost");
  assert.ok(on.events().some((event) => /^NodeLost: .*node-1, which is gone/.test(event)));
});

test("an operator that is started meanwhile does not double what is left either", async () => {
  const [job] = on.double.objects.list(JOB, NAMESPACE);
  terminating(30);
  on.double.objects.remove(JOB, NAMESPACE, job?.metadata.name ?? "");
  on.operator();
  await on.after(600_000);
  assert.equal(begun.length, 1);
  assert.equal(problem(), "Problem=True/NodeLost");
});

test("the volume moved while its mover finds no node: a mover is made for where it is now", async () => {
  on.claim("other");
  const application = (name: string, nodeName: string): void => {
    const volumes = [{ name: "data", persistentVolumeClaim: { claimName: "other" } }];
    on.double.objects.put(POD, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: NAMESPACE },
      spec: { nodeName, containers: [{ name: "app" }], volumes },
      status: { phase: "Running" },
    });
  };
  const jobNow = (): Job | undefined =>
    on.double.objects.list(JOB, NAMESPACE).find(({ metadata }) => metadata.name === MOVED);
  application("app-1", "node-1");
  await on.source("moved", { sourcePVC: "other" });
  await on.quiet();
  const first = jobNow();
  assert.deepEqual(first?.spec.template.spec.nodeSelector, { "kubernetes.io/hostname": "node-1" });
  const [pod] = on.double.objects
    .list(POD, NAMESPACE)
    .filter(({ metadata }) => metadata.ownerReferences?.[0]?.uid === first?.metadata.uid);
  on.double.objects.update(POD, NAMESPACE, pod?.metadata.name ?? "", (waiting) => {
    delete waiting.spec.nodeName;
    const scheduled = { type: "PodScheduled", status: "False", message: "0/2 nodes" };
    waiting.status = { phase: "Pending", conditions: [scheduled] };
  });
  await on.after(30_000);
  // Where it should be is where its volume is: that may come back.
  assert.equal(jobNow()?.metadata.uid, first?.metadata.uid);
  on.double.objects.remove(POD, NAMESPACE, "app-1");
  application("app-2", "node-2");
  await on.quiet();
  await on.after(60_000);
  assert.equal(on.sourceNow("moved").status?.lastManualSync, "first");
  assert.deepEqual(selectors.at(-1), { "kubernetes.io/hostname": "node-2" });
});
