// What is kept of watched objects: what decisions are made from, and nothing that whoever made the object could make large.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Job, PersistentVolumeClaim } from "./kube-object.ts";
import { slimMetadata } from "./slim-metadata.ts";
import { slimClaim, slimJob } from "./slim-objects.ts";

const LARGE = "x".repeat(200_000);

suite("what is kept of an object", () => {
  test("of metadata: names, times, all owners, and labels and annotations that are ours or meant to be", () => {
    const kept = {
      name: "a",
      namespace: "b",
      uid: "1",
      resourceVersion: "7",
      deletionTimestamp: "2026-01-01T00:00:00Z",
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "x", uid: "2" }],
      labels: { "app.kubernetes.io/created-by": "volsync", "volsync.backube/volpop-pvc-1": "c" },
      annotations: {
        "volsync.backube/use-copy-trigger": "",
        "volume.kubernetes.io/selected-node": "n1",
        "holdfast.dev/mdoe": "safe",
        "backup.volsync.io/trigger-now": "1",
      },
    };
    const metadata = {
      ...kept,
      labels: { ...kept.labels, app: "odoo" },
      annotations: {
        ...kept.annotations,
        "kubectl.kubernetes.io/last-applied-configuration": LARGE,
        "example.org/selected-node": "n2",
      },
      finalizers: [LARGE],
      managedFields: [{ fieldsV1: LARGE }],
    };
    assert.deepEqual(slimMetadata(metadata), kept);
  });

  test("of a claim: its volume and where it is from; values of annotations are cut", () => {
    const claim: PersistentVolumeClaim = {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "a", annotations: { "holdfast.dev/copy-trigger": LARGE } },
      spec: {
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "1Gi" } },
        dataSourceRef: { kind: "ReplicationDestination", name: "d" },
      },
      status: { phase: "Bound", capacity: { storage: "1Gi" } },
    };
    const selector = { matchLabels: { large: LARGE } };
    const slim = slimClaim({ ...claim, spec: { ...claim.spec, selector } } as typeof claim);
    assert.deepEqual(slim.spec, claim.spec);
    assert.deepEqual(slim.status, claim.status);
    assert.ok(JSON.stringify(slim).length < 3000);
  });

  test("of a Job: what its end is read with", () => {
    const secretKeyRef = { name: "s", key: "RESTIC_REPOSITORY" };
    const env = [
      { name: "HOLDFAST_POINT_IN_TIME", value: "2026-01-01T00:00:00Z" },
      { name: "RESTIC_REPOSITORY", valueFrom: { secretKeyRef } },
    ];
    const job: Job = {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "j", labels: { "holdfast.dev/run": "r" } },
      spec: {
        parallelism: 0,
        template: {
          spec: {
            nodeSelector: { "kubernetes.io/hostname": "n" },
            volumes: [{ name: "data", persistentVolumeClaim: { claimName: "c" } }],
            containers: [{ name: "restic", args: ["prune"], env }],
          },
        },
      },
      status: { active: 1 },
    };
    const whole = structuredClone(job);
    const { spec } = whole.spec.template;
    spec.volumes!.push({ name: "large", configMap: { name: LARGE } });
    spec.containers[0]!.env!.push({ name: "OTHER", value: LARGE });
    whole.metadata.annotations = { "example.org/large": LARGE };
    assert.deepEqual(slimJob(whole), job);
  });
});
