// Cases of the contract: how objects are made, changed and deleted.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ApiClient } from "../../../src/operator/cluster/api-client.ts";
import { CLAIM, CONFIG_MAP, EVENT, JOB, LEASE } from "../../../src/operator/cluster/kinds.ts";
import type {
  KubeObject,
  PersistentVolumeClaim,
} from "../../../src/operator/cluster/kube-object.ts";
import {
  REPLICATION_SOURCE,
  type ReplicationSource,
} from "../../../src/operator/resources/replication-source.ts";
import { configMap, eventually, job, place, refused, source } from "./contract-objects.ts";

/** Registers the cases. `client` gives the client of a cluster that has a namespace `contract` and our CRDs. */
export function writingCases(client: () => ApiClient): void {
  test("what is made is as the server completed it, once", async () => {
    const api = client();
    const made = await api.create(CONFIG_MAP, configMap("made", { a: "1" }));
    assert.ok(
      made.metadata.uid && made.metadata.resourceVersion && made.metadata.creationTimestamp,
    );
    assert.deepEqual((await api.get(CONFIG_MAP, place("made")))?.metadata.uid, made.metadata.uid);
    await refused(
      api.create(CONFIG_MAP, configMap("made")),
      "CLUSTER_EXISTS",
      /create ConfigMap contract\/made/,
    );
    assert.equal(await api.get(CONFIG_MAP, place("nothing")), undefined);
    await refused(
      api.create(CONFIG_MAP, { ...configMap("x"), metadata: { name: "x", namespace: "nowhere" } }),
      "CLUSTER_NOT_FOUND",
      /namespaces "nowhere" not found/,
    );
    await refused(api.create(CONFIG_MAP, configMap("Upper")), "CLUSTER_INVALID", /RFC 1123/);
    await refused(
      api.create(CONFIG_MAP, { ...made, metadata: { ...made.metadata, name: "versioned" } }),
      "CLUSTER_FAILED",
      /resourceVersion/,
    );
  });

  test("an old version writes nothing, and a write that changes nothing makes no version", async () => {
    const api = client();
    const first = await api.create(CONFIG_MAP, configMap("versions", { a: "1" }));
    const second = await api.replace(CONFIG_MAP, { ...first, data: { a: "2" } });
    await refused(
      api.replace(CONFIG_MAP, { ...first, data: { a: "3" } }),
      "CLUSTER_CONFLICT",
      /has been modified/,
    );
    const third = await api.replace(CONFIG_MAP, second);
    assert.equal(third.metadata.resourceVersion, second.metadata.resourceVersion);
    await refused(api.replace(CONFIG_MAP, configMap("absent")), "CLUSTER_NOT_FOUND");
    await refused(
      api.replace(CONFIG_MAP, { ...second, metadata: { ...second.metadata, uid: "other" } }),
      "CLUSTER_CONFLICT",
    );
  });

  test("status and specification are written apart; the generation counts specifications", async () => {
    const api = client();
    const made = await api.create(REPLICATION_SOURCE, {
      ...source("apart"),
      status: { lastManualSync: "zero" },
    } as ReplicationSource);
    assert.equal(made.status, undefined);
    assert.equal(made.metadata.generation, 1);
    const withStatus = await api.replaceStatus(REPLICATION_SOURCE, {
      ...made,
      spec: { ...made.spec, paused: true },
      status: { lastManualSync: "one", unknown: "field", external: { any: "thing" } },
    } as ReplicationSource);
    assert.equal(withStatus.metadata.generation, 1);
    assert.equal(withStatus.spec.paused, undefined);
    assert.deepEqual(withStatus.status, { lastManualSync: "one", external: { any: "thing" } });
    const changed = await api.replace(REPLICATION_SOURCE, {
      ...withStatus,
      spec: { ...made.spec, paused: true },
      status: {},
    });
    assert.equal(changed.metadata.generation, 2);
    assert.equal(changed.status?.lastManualSync, "one");
    await refused(api.replaceStatus(REPLICATION_SOURCE, withStatus), "CLUSTER_CONFLICT");
    const { resourceVersion: _, ...unversioned } = changed.metadata;
    await refused(
      api.replace(REPLICATION_SOURCE, { ...changed, metadata: unversioned }),
      "CLUSTER_INVALID",
      /resourceVersion/,
    );
  });

  test("custom resources are held to their schema", async () => {
    const api = client();
    const wrong = source("wrong");
    await refused(
      api.create(REPLICATION_SOURCE, { ...wrong, spec: { ...wrong.spec, paused: "yes" } } as never),
      "CLUSTER_INVALID",
      /spec\.paused/,
    );
    await refused(
      api.create(REPLICATION_SOURCE, {
        ...wrong,
        spec: { ...wrong.spec, trigger: { schedule: "@midnight" } },
      } as never),
      "CLUSTER_INVALID",
      /spec\.trigger\.schedule/,
    );
    const pruned = await api.create(REPLICATION_SOURCE, {
      ...source("pruned"),
      spec: { ...wrong.spec, later: { any: 1 } },
    } as never);
    assert.equal("later" in pruned.spec, false);
  });

  test("patches: merge, JSON with a test, apply", async () => {
    const api = client();
    const made = await api.create(REPLICATION_SOURCE, source("patched"));
    const merged = await api.patch(
      REPLICATION_SOURCE,
      place("patched"),
      { metadata: { annotations: { "example.org/a": "1" } } },
      { type: "merge" },
    );
    assert.deepEqual(merged.metadata.annotations, { "example.org/a": "1" });
    assert.equal(merged.metadata.generation, made.metadata.generation);
    const stale = {
      metadata: {
        resourceVersion: made.metadata.resourceVersion,
        annotations: { "example.org/a": "2" },
      },
    };
    await refused(
      api.patch(REPLICATION_SOURCE, place("patched"), stale, { type: "merge" }),
      "CLUSTER_CONFLICT",
    );
    const removed = await api.patch(
      REPLICATION_SOURCE,
      place("patched"),
      [
        { op: "test", path: "/metadata/annotations/example.org~1a", value: "1" },
        { op: "remove", path: "/metadata/annotations/example.org~1a" },
      ],
      { type: "json" },
    );
    assert.equal(removed.metadata.annotations?.["example.org/a"], undefined);
    await refused(
      api.patch(
        REPLICATION_SOURCE,
        place("patched"),
        [{ op: "test", path: "/spec/sourcePVC", value: "other" }],
        { type: "json" },
      ),
      "CLUSTER_INVALID",
    );
    await refused(
      api.patch(REPLICATION_SOURCE, place("absent"), {}, { type: "merge" }),
      "CLUSTER_NOT_FOUND",
    );

    const apply = (
      data: object,
      manager: string,
      force = false,
    ): Promise<KubeObject & { data?: object }> =>
      api.patch(
        CONFIG_MAP,
        place("applied"),
        { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "applied" }, data },
        { type: "apply", fieldManager: manager, force },
      );
    await apply({ a: "1", b: "1" }, "one");
    assert.deepEqual((await apply({ c: "1" }, "two")).data, { a: "1", b: "1", c: "1" });
    await refused(apply({ a: "2" }, "two"), "CLUSTER_CONFLICT", /conflict with "one"/);
    assert.deepEqual((await apply({ b: "1" }, "one")).data, { b: "1", c: "1" });
    assert.deepEqual((await apply({ b: "2" }, "two", true)).data, { b: "2" });
  });

  test("deletion: finalizers, preconditions, dependents", async () => {
    const api = client();
    const held = await api.create(CONFIG_MAP, {
      ...configMap("held"),
      metadata: { ...configMap("held").metadata, finalizers: ["example.org/hold"] },
    });
    await refused(api.delete(CONFIG_MAP, place("held"), { uid: "another" }), "CLUSTER_CONFLICT");
    assert.equal(await api.delete(CONFIG_MAP, place("held"), { uid: held.metadata.uid }), true);
    const going = await api.get(CONFIG_MAP, place("held"));
    assert.ok(going?.metadata.deletionTimestamp);
    await api.patch(
      CONFIG_MAP,
      place("held"),
      { metadata: { finalizers: null } },
      { type: "merge" },
    );
    assert.equal(await api.get(CONFIG_MAP, place("held")), undefined);
    assert.equal(await api.delete(CONFIG_MAP, place("held")), false);

    const owner = await api.create(JOB, job("owner"));
    const reference = {
      apiVersion: "batch/v1",
      kind: "Job",
      name: "owner",
      uid: owner.metadata.uid!,
      controller: true,
      blockOwnerDeletion: true,
    };
    const owned = configMap("owned");
    await api.create(CONFIG_MAP, {
      ...owned,
      metadata: { ...owned.metadata, ownerReferences: [reference] },
    });
    await api.delete(JOB, place("owner"));
    await eventually(async () => (await api.get(CONFIG_MAP, place("owned"))) === undefined);
  });

  test("fields that must not change, and those that must be there", async () => {
    const api = client();
    const made = await api.create(JOB, job("fixed"));
    await api.patch(JOB, place("fixed"), { spec: { suspend: false } }, { type: "merge" });
    const changed = structuredClone(made.spec.template);
    changed.spec.containers[0]!.image = "another";
    await refused(
      api.patch(JOB, place("fixed"), { spec: { template: changed } }, { type: "merge" }),
      "CLUSTER_INVALID",
      /immutable/,
    );
    const claim: PersistentVolumeClaim = {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "claim", namespace: "contract" },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
    };
    const bound = await api.create(CLAIM, claim);
    assert.deepEqual(bound.metadata.finalizers, ["kubernetes.io/pvc-protection"]);
    await refused(
      api.patch(
        CLAIM,
        place("claim"),
        { spec: { accessModes: ["ReadWriteMany"] } },
        { type: "merge" },
      ),
      "CLUSTER_INVALID",
      /immutable/,
    );
    await refused(
      api.create(CLAIM, { ...claim, metadata: { ...claim.metadata, name: "bare" }, spec: {} }),
      "CLUSTER_INVALID",
      /accessModes/,
    );
    const lease = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "zero", namespace: "contract" },
      spec: { leaseDurationSeconds: 0 },
    };
    await refused(api.create(LEASE, lease), "CLUSTER_INVALID", /leaseDurationSeconds/);
    const event = {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata: { name: "e", namespace: "contract" },
      eventTime: "2026-01-02T03:04:05.000006Z",
      reportingController: "c",
      reportingInstance: "i",
      action: "A",
      reason: "R",
      type: "Normal",
      note: "x".repeat(1025),
      regarding: { kind: "Pod", namespace: "contract", name: "p" },
    };
    await refused(api.create(EVENT, event as KubeObject), "CLUSTER_INVALID", /1024/);
    await api.create(EVENT, { ...event, note: "x" } as KubeObject);
  });
}
