// What the double can do that a real API server cannot be asked for: failures on demand, rights by token, history that is
// forgotten, controllers that are played.

import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { isHoldfastError, type ErrorCode } from "../../src/base/errors.ts";
import {
  CLAIM,
  CONFIG_MAP,
  JOB,
  NAMESPACE,
  POD,
  SECRET,
  VOLUME_SNAPSHOT,
} from "../../src/operator/cluster/kinds.ts";
import type { ConfigMap, Job } from "../../src/operator/cluster/kube-object.ts";
import { startApiDouble, type ApiDouble, type ApiDoubleOptions } from "./api-double.ts";

const configMap = (name: string): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default" },
});
const place = (name: string): { namespace: string; name: string } => ({
  namespace: "default",
  name,
});

async function start(t: TestContext, options: ApiDoubleOptions = {}): Promise<ApiDouble> {
  const double = await startApiDouble(options);
  t.after(() => double.close());
  return double;
}

async function refused(work: Promise<unknown>, code: ErrorCode, text: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(isHoldfastError(error, code), String(error));
    assert.match(error.message, text);
    return true;
  });
}

const job = (name: string, spec: Partial<Job["spec"]> = {}): Job => ({
  apiVersion: "batch/v1",
  kind: "Job",
  metadata: { name, namespace: "default" },
  spec: {
    template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } },
    ...spec,
  },
});

suite("the API double", () => {
  test("lost answers, refusals and answers that wait, as often as was asked", async (t) => {
    const double = await start(t);
    const api = double.api();
    const before = double.fault({ verb: "create" }, "drop-before");
    await refused(api.create(CONFIG_MAP, configMap("a")), "CLUSTER_UNREACHABLE", /ECONNRESET/);
    assert.equal(before.hits, 1);
    assert.deepEqual(double.objects.list(CONFIG_MAP), []);
    double.fault({ verb: "create" }, "drop-after");
    await refused(api.create(CONFIG_MAP, configMap("a")), "CLUSTER_UNREACHABLE", /ECONNRESET/);
    assert.equal(double.objects.list(CONFIG_MAP).length, 1);
    const end = double.deny({ plural: "configmaps", verb: "delete" }, "not on Fridays");
    await refused(api.delete(CONFIG_MAP, place("a")), "CLUSTER_DENIED", /not on Fridays/);
    end();
    let release = (): void => {};
    double.fault(
      { verb: "delete" },
      { answerAfter: new Promise<void>((resolve) => (release = resolve)) },
    );
    const deleting = api.delete(CONFIG_MAP, place("a"));
    while (double.objects.list(CONFIG_MAP).length > 0)
      await new Promise((resolve) => setImmediate(resolve));
    release();
    assert.equal(await deleting, true);
  });

  test("users have the rights of their tokens, and reviews say which", async (t) => {
    const double = await start(t, {
      users: {
        admin: { name: "admin", rules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }] },
        operator: {
          name: "system:serviceaccount:volsync-system:holdfast",
          rules: [
            { verbs: ["get"], apiGroups: [""], resources: ["secrets"], namespaces: ["default"] },
            {
              verbs: ["patch"],
              apiGroups: [""],
              resources: ["configmaps"],
              resourceNames: ["mine"],
            },
          ],
        },
      },
    });
    const api = double.api("operator");
    assert.equal(await api.get(SECRET, place("s")), undefined);
    await refused(
      api.list(SECRET),
      "CLUSTER_DENIED",
      /secrets is forbidden: User "system:serviceaccount:volsync-system:holdfast" cannot list resource "secrets" in API group "" at the cluster scope/,
    );
    await refused(
      api.patch(CONFIG_MAP, place("other"), {}, { type: "merge" }),
      "CLUSTER_DENIED",
      /cannot patch/,
    );
    await refused(
      api.patch(CONFIG_MAP, place("mine"), {}, { type: "merge" }),
      "CLUSTER_NOT_FOUND",
      /mine/,
    );
    const may = (verb: string, namespace: string): Promise<boolean> =>
      api.allowed({ kind: SECRET, verb, namespace });
    assert.deepEqual(
      [await may("get", "default"), await may("list", "default"), await may("get", "odoo")],
      [true, false, false],
    );
    await refused(double.api("stranger").get(SECRET, place("s")), "CLUSTER_DENIED", /401/);
    assert.equal(await double.api("admin").allowed({ kind: SECRET, verb: "get" }), true);
  });

  test("what was compacted is gone for watches and for lists half read", async (t) => {
    const double = await start(t);
    const api = double.api();
    const { metadata } = await api.create(CONFIG_MAP, configMap("a"));
    double.compact();
    const watch = async (): Promise<void> => {
      const resourceVersion = String(Number(metadata.resourceVersion) - 1);
      for await (const _ of api.watch(CONFIG_MAP, { resourceVersion }));
    };
    await refused(watch(), "CLUSTER_GONE", /too old resource version/);
    assert.equal((await api.list(CONFIG_MAP)).items.length, 1);
  });

  test("a claim stays while a pod mounts it, and a namespace takes all with it", async (t) => {
    const double = await start(t, { namespaces: ["odoo"] });
    const api = double.api();
    double.play.boundClaims();
    await api.create(CLAIM, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "data", namespace: "odoo" },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
    });
    await api.create(POD, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "odoo" },
      spec: {
        containers: [{ name: "c", image: "i" }],
        volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }],
      },
    });
    await double.quiet();
    await api.delete(CLAIM, { namespace: "odoo", name: "data" });
    await double.quiet();
    const held = double.objects.get(CLAIM, "odoo", "data");
    assert.equal(held?.status?.phase, "Bound");
    assert.ok(held.metadata.deletionTimestamp);
    const finalized = configMap("held");
    finalized.metadata = { name: "held", namespace: "odoo", finalizers: ["example.org/hold"] };
    await api.create(CONFIG_MAP, finalized);
    await api.delete(NAMESPACE, { name: "odoo" });
    await refused(
      api.create(CONFIG_MAP, {
        ...configMap("late"),
        metadata: { name: "late", namespace: "odoo" },
      }),
      "CLUSTER_DENIED",
      /being terminated/,
    );
    const release = { metadata: { finalizers: null } };
    await api.patch(CONFIG_MAP, { namespace: "odoo", name: "held" }, release, { type: "merge" });
    await double.quiet();
    assert.equal(double.objects.get(CLAIM, "odoo", "data"), undefined);
    assert.equal(double.objects.get(NAMESPACE, undefined, "odoo"), undefined);
  });

  test("played controllers: Jobs end by their own rules, snapshots become ready", async (t) => {
    const double = await start(t);
    const api = double.api();
    double.play.readySnapshots();
    const exits: Record<string, number[]> = { good: [1, 0], bad: [1, 1, 1, 1], final: [7, 0] };
    double.play.jobPods((one, _, attempt) => ({
      exit: exits[one.metadata.name]![attempt - 1]!,
      message: "m",
    }));
    const rules = [{ action: "FailJob", onExitCodes: { operator: "In", values: [7] } }];
    for (const name of Object.keys(exits)) {
      await api.create(JOB, job(name, { backoffLimit: 2, podFailurePolicy: { rules } }));
    }
    await api.create(VOLUME_SNAPSHOT, {
      apiVersion: VOLUME_SNAPSHOT.apiVersion,
      kind: VOLUME_SNAPSHOT.kind,
      metadata: { name: "s", namespace: "default" },
      spec: { source: { persistentVolumeClaimName: "data" } },
    });
    await double.quiet();
    const ends = double.objects.list(JOB).map(({ metadata, status }) => {
      const condition = status?.conditions?.[0];
      return [metadata.name, condition?.type, condition?.reason, status?.failed].join(" ");
    });
    assert.deepEqual(ends, [
      "bad Failed BackoffLimitExceeded 3",
      "final Failed PodFailurePolicy 1",
      "good Complete CompletionsReached 1",
    ]);
    assert.equal(double.objects.get(VOLUME_SNAPSHOT, "default", "s")?.status?.readyToUse, true);
    await api.delete(JOB, place("good"));
    await double.quiet();
    const owners = double.objects
      .list(POD)
      .map(({ metadata }) => metadata.ownerReferences?.[0]?.name);
    assert.deepEqual([...new Set(owners)], ["bad", "final"]);
  });

  test("objects stay while nobody listens", async (t) => {
    const double = await start(t);
    const api = double.api();
    await api.create(CONFIG_MAP, configMap("a"));
    await double.stop();
    await refused(api.get(CONFIG_MAP, place("a")), "CLUSTER_UNREACHABLE", /ECONNREFUSED/);
    await double.start();
    assert.ok(await api.get(CONFIG_MAP, place("a")));
  });
});
