// The CRDs on a real API server: accepted as structural, every field of upstream's movers kept, and what `kubectl get` prints.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { KubeObject } from "../../src/operator/cluster/kube-object.ts";
import { CRD } from "../../src/operator/cluster/kinds.ts";
import { allCrds } from "../../src/operator/resources/crds.ts";
import { REPLICATION_DESTINATION } from "../../src/operator/resources/replication-destination.ts";
import {
  REPLICATION_SOURCE,
  readReplicationSource,
} from "../../src/operator/resources/replication-source.ts";
import { EXTERNAL } from "../../src/operator/names.ts";
import { skipWithoutCluster } from "./cluster/binaries.ts";
import { startTestCluster, type TestCluster } from "./cluster/test-cluster.ts";
import { manifestCorpus } from "./manifest-corpus.ts";

const skip = skipWithoutCluster();
let cluster: TestCluster;
before(async () => {
  if (skip === false) cluster = await startTestCluster();
});
after(async () => await cluster?.stop());

/** Fields that upstream's own CRD does not have, so that the API server drops them. */
const DROPPED: readonly string[] = [
  "spec.kopia",
  "spec.restic.shallow",
  "spec.restic.sourceIdentity",
  "spec.restic.additionalArgs",
];

test("the API server takes the CRDs as structural", { skip }, async () => {
  for (const crd of allCrds()) {
    const found = (await cluster.api().get(CRD, { name: crd.metadata.name })) as KubeObject & {
      status: { conditions: { type: string; status: string; message: string }[] };
    };
    const state = (type: string): string | undefined =>
      found.status.conditions.find((one) => one.type === type)?.status;
    assert.equal(state("Established"), "True");
    assert.equal(state("NonStructuralSchema"), undefined);
  }
});

test(
  "manifests of the corpus keep every field, or are refused as upstream would",
  { skip },
  async () => {
    const namespace = await cluster.namespace();
    const api = cluster.api();
    for (const { title, expect, object } of manifestCorpus()) {
      const kind =
        object.kind === "ReplicationSource" ? REPLICATION_SOURCE : REPLICATION_DESTINATION;
      const given = { ...object, metadata: { ...object.metadata, namespace } };
      const made = api.create(kind as never, structuredClone(given) as never);
      if (expect === "refused") {
        await assert.rejects(made, { code: "CLUSTER_INVALID" }, title);
        continue;
      }
      const stored = (await made) as typeof object;
      const kept = structuredClone(object.spec);
      for (const path of DROPPED) remove({ spec: kept }, path);
      assert.deepEqual(stored.spec, kept, title);
      if (object.status === undefined) continue;
      const { status } = (await api.replaceStatus(
        kind as never,
        { ...stored, status: object.status } as never,
      )) as typeof object;
      assert.deepEqual(status, object.status, title);
    }
  },
);

test("kubectl prints the columns of upstream, and with -o wide how it went", { skip }, async () => {
  const namespace = await cluster.namespace();
  const api = cluster.api();
  const now = Date.now();
  const made = await api.create(REPLICATION_SOURCE, {
    ...readReplicationSource({
      apiVersion: REPLICATION_SOURCE.apiVersion,
      kind: "ReplicationSource",
      metadata: { name: "odoo-filestore", namespace },
      spec: { sourcePVC: "odoo-data", restic: { repository: "r" } },
    }),
  });
  const time = new Date(now - 3 * 3_600_000).toISOString().replace(/\.\d+Z/, "Z");
  const condition = { status: "False" as const, message: "", lastTransitionTime: time };
  await api.replaceStatus(REPLICATION_SOURCE, {
    ...made,
    status: {
      lastSyncTime: time,
      lastSyncDuration: "1m33.5s",
      latestMoverStatus: { result: "Successful" },
      conditions: [
        { ...condition, type: "Synchronizing", reason: "WaitingForSchedule" },
        { ...condition, type: "Problem", reason: "None" },
      ],
      external: { [EXTERNAL.snapshot]: "0f1e2d3c", [EXTERNAL.pointInTime]: time },
    },
  });
  const plain = await cluster.kubectl("get", "replicationsource", "-n", namespace);
  assert.equal(plain.code, 0, plain.stderr);
  assert.match(plain.stdout, /^NAME +SOURCE +LAST SYNC +DURATION +NEXT SYNC *\n/);
  assert.match(plain.stdout, /odoo-filestore +odoo-data +\S+Z +1m33\.5s/);
  const wide = await cluster.kubectl("get", "replicationsource", "-n", namespace, "-o", "wide");
  assert.match(wide.stdout, /NEXT SYNC +RESULT +PROBLEM +SNAPSHOT +RECOVERY POINT AGE/);
  assert.match(wide.stdout, / Successful +None +0f1e2d3c +\d+h\n/);
});

function remove(object: Record<string, unknown>, path: string): void {
  const keys = path.split(".");
  const last = keys.pop() as string;
  let at: unknown = object;
  for (const key of keys) at = (at as Record<string, unknown> | undefined)?.[key];
  if (typeof at === "object" && at !== null) delete (at as Record<string, unknown>)[last];
}
