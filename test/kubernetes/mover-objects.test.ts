// What the operator makes in the cluster for movers, against an API server: Jobs that are made once, service accounts that are
// adopted, and the pod that keeps the log.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { TestContext } from "node:test";
import { JOB, POD, SECRET, SERVICE_ACCOUNT } from "../../src/operator/cluster/kinds.ts";
import type { Job, Pod, Secret } from "../../src/operator/cluster/kube-object.ts";
import type { OperatorContext } from "../../src/operator/context.ts";
import { deleteJob, ensureJob } from "../../src/operator/mover/ensure-job.ts";
import { buildMoverJob } from "../../src/operator/mover/job.ts";
import { keepLog, readMoverLog, removeLog } from "../../src/operator/mover/log-pod.ts";
import type { MoverOwner } from "../../src/operator/mover/owner.ts";
import { inspectSecret, readMoverSecret } from "../../src/operator/mover/secret.ts";
import { ensureServiceAccount } from "../../src/operator/mover/service-account.ts";
import type { MoverVerdict } from "../../src/operator/mover-verdict.ts";
import { allCrds } from "../../src/operator/resources/crds.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import type { ReplicationSource } from "../../src/operator/resources/replication-source.ts";
import type { RunPlan } from "../../src/operator/run-plan.ts";
import { startApiDouble } from "./api-double.ts";
import type { ApiDouble } from "./api-double.ts";
import { moverStores } from "./mover-stores.ts";

const NAMESPACE = "odoo";
const PLAN: RunPlan = {
  id: "r1",
  role: "source",
  started: "2026-11-26T04:00:00Z",
  cause: { kind: "initial" },
  generation: 1,
  secretHash: "",
  mode: "compat",
};
const data = { RESTIC_REPOSITORY: "/mnt/x", RESTIC_PASSWORD: "p" };
const RESTIC: Secret = {
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: "restic", namespace: NAMESPACE },
  data: Object.fromEntries(
    Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
  ),
};

function ownerOf(fields: MoverOwner["spec"]["restic"] = {}, paused = false): MoverOwner {
  const metadata = { name: "files", namespace: NAMESPACE, uid: "owner" };
  const spec = { paused, sourcePVC: "files", restic: { repository: "restic", ...fields } };
  return { apiVersion: "volsync.backube/v1alpha1", kind: "ReplicationSource", metadata, spec };
}

function build(owner: MoverOwner): Job {
  const claim = {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: "files", namespace: NAMESPACE },
    spec: {},
  };
  return buildMoverJob({
    owner,
    role: "source",
    plan: PLAN,
    secret: inspectSecret(RESTIC),
    volume: { claim, readOnly: false },
    cache: { emptyDir: {} },
    affinity: {},
    identity: {},
    serviceAccount: "volsync-src-files",
    settings: { image: "holdfast", proxyVariables: {} },
    privileged: false,
    deadOwners: [],
  });
}

interface Bench {
  readonly double: ApiDouble;
  /** The operator's context, with these objects in its stores. */
  context(
    jobs?: Job[],
    pods?: Pod[],
  ): Pick<OperatorContext, "api" | "stores" | "settings" | "signal">;
}

async function open(t: TestContext): Promise<Bench> {
  const double = await startApiDouble({ namespaces: [NAMESPACE], crds: allCrds() });
  t.after(() => double.close());
  // Whose owner is not there is taken away.
  double.objects.put(REPLICATION_SOURCE, ownerOf() as ReplicationSource);
  const api = double.api();
  const { signal } = new AbortController();
  const settings = {
    image: "holdfast",
    namespace: "x",
    proxyVariables: {},
    defaultMode: "compat",
  } as const;
  return {
    double,
    context: (jobs = [], pods = []) => ({ api, stores: moverStores(jobs, pods), settings, signal }),
  };
}

suite("objects of movers", () => {
  test("a Job is made once, is not stopped by a pause, and goes with nothing of anybody else", async (t) => {
    const { context } = await open(t);
    const owner = ownerOf();
    const made = await ensureJob(context(), build(owner));
    assert.ok(made.metadata.uid);
    // The store does not know it yet.
    const again = await ensureJob(context(), {
      ...build(owner),
      spec: { ...build(owner).spec, backoffLimit: 1 },
    });
    assert.equal(again.metadata.uid, made.metadata.uid);
    assert.equal(again.spec.backoffLimit, 8);
    const paused = await ensureJob(context([made]), build(ownerOf({}, true)));
    assert.equal(paused.spec.parallelism, 1, "a mover that is at work ends first");
    const stranger = ownerOf();
    stranger.metadata.uid = "stranger";
    await assert.rejects(ensureJob(context(), build(stranger)), { code: "RESOURCE_INVALID" });
    assert.equal(await deleteJob(context(), stranger, "source"), false);
    assert.equal(await deleteJob(context([paused]), owner, "source"), true);
    assert.equal(await deleteJob(context(), owner, "source"), false);
  });

  test("a service account is made without a token, adopted, or the user's own", async (t) => {
    const { context } = await open(t);
    const { api } = context();
    assert.equal(await ensureServiceAccount(context(), ownerOf(), "source"), "volsync-src-files");
    assert.equal(await ensureServiceAccount(context(), ownerOf(), "source"), "volsync-src-files");
    const found = await api.get(SERVICE_ACCOUNT, {
      namespace: NAMESPACE,
      name: "volsync-src-files",
    });
    assert.equal(
      (found as unknown as { automountServiceAccountToken: boolean }).automountServiceAccountToken,
      false,
    );
    assert.equal(found?.metadata.ownerReferences?.[0]?.uid, "owner");
    const named = ownerOf({ moverServiceAccount: "cloud" });
    await assert.rejects(ensureServiceAccount(context(), named, "source"), {
      message: /odoo\/cloud/,
    });
    const metadata = { name: "cloud", namespace: NAMESPACE };
    await api.create(SERVICE_ACCOUNT, { apiVersion: "v1", kind: "ServiceAccount", metadata });
    assert.equal(await ensureServiceAccount(context(), named, "source"), "cloud");
  });

  test("a Secret that is not there is named", async (t) => {
    const { context, double } = await open(t);
    await assert.rejects(readMoverSecret(context(), ownerOf()), {
      code: "SECRET_INVALID",
      message: /no Secret odoo\/restic/,
    });
    await assert.rejects(readMoverSecret(context(), ownerOf({ repository: "" })), {
      code: "SECRET_INVALID",
    });
    double.objects.put(SECRET, RESTIC);
    const volumeSource = { persistentVolumeClaim: { claimName: "x" } };
    const mounted = ownerOf({ moverVolumes: [{ mountPath: "x", volumeSource }] });
    assert.equal((await readMoverSecret(context(), mounted)).scheme, "local");
    await assert.rejects(readMoverSecret(context(), ownerOf()), { code: "SECRET_INVALID" });
  });

  test("the log stays in a pod without volumes, until the next run", async (t) => {
    const { context, double } = await open(t);
    const { api } = context();
    const owner = ownerOf();
    const job = await ensureJob(context(), build(owner));
    const pod: Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: "volsync-src-files-abcde",
        namespace: NAMESPACE,
        labels: { "job-name": job.metadata.name },
        ownerReferences: [
          {
            apiVersion: "batch/v1",
            kind: "Job",
            name: job.metadata.name,
            uid: job.metadata.uid!,
            controller: true,
          },
        ],
      },
      spec: { containers: [{ name: "restic", image: "holdfast" }] },
    };
    await api.create(POD, pod);
    double.podLogs.set(`${NAMESPACE}/${pod.metadata.name}`, "costs $HOME $(HOME)\nlast line\n");
    const known = context([job], [pod]);
    assert.match(await readMoverLog(known, owner, "source"), /last line/);
    const verdict: MoverVerdict = { v: 1, result: "ok", run: "r1" };
    await keepLog(known, owner, "source", PLAN, verdict);
    const kept = await api.get(POD, { namespace: NAMESPACE, name: "volsync-src-files-log" });
    assert.equal(kept?.metadata.labels?.["volsync.backube/source"], "files");
    assert.equal(kept?.spec.volumes, undefined);
    assert.equal(kept?.spec.automountServiceAccountToken, false);
    const [container] = kept?.spec.containers ?? [];
    assert.deepEqual(container?.args, ["mover", "log"]);
    // The kubelet makes one $ of two, and nothing of what looks like a variable.
    assert.equal(container?.env?.[0]?.value, "costs $$HOME $$(HOME)\nlast line\n");
    assert.equal(container?.env?.[1]?.value, JSON.stringify(verdict));
    // The same again does nothing, and the next run takes its place.
    await keepLog(context([job], [pod, kept!]), owner, "source", PLAN, verdict);
    await keepLog(context([job], [pod, kept!]), owner, "source", { id: "r2" }, undefined);
    const next = await api.get(POD, { namespace: NAMESPACE, name: "volsync-src-files-log" });
    assert.equal(next?.metadata.labels?.["holdfast.dev/run"], "r2");
    assert.notEqual(next?.metadata.uid, kept?.metadata.uid);
    assert.equal(await removeLog(context([], [next!]), owner, "source"), true);
    assert.equal(await removeLog(context(), owner, "source"), false);
    assert.equal((await api.list(JOB, { namespace: NAMESPACE })).items.length, 1);
  });
});
