// Manifests as people write them, reconciled: a mover is started, or the condition says why not, or it is nobody's business. The
// operator is let do what its ClusterRole gives it and nothing else.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  CLAIM,
  JOB,
  SECRET,
  SERVICE_ACCOUNT,
  STORAGE_CLASS,
  VOLUME_SNAPSHOT_CLASS,
} from "../../src/operator/cluster/kinds.ts";
import type { KubeObject } from "../../src/operator/cluster/kube-object.ts";
import { mountedSecrets } from "../../src/operator/mover/mounted-secrets.ts";
import type { MoverFields } from "../../src/operator/mover/owner.ts";
import { moverName } from "../../src/operator/names.ts";
import {
  REPLICATION_DESTINATION,
  type ReplicationDestination,
} from "../../src/operator/resources/replication-destination.ts";
import {
  REPLICATION_SOURCE,
  type ReplicationSource,
} from "../../src/operator/resources/replication-source.ts";
import { OWN_RIGHTS, OPERATOR_RIGHTS } from "../../src/operator/rights.ts";
import { PLAYED_DRIVER } from "./api-double/played-controllers.ts";
import { ADMIN, isAllowed, type User } from "./api-double/rbac.ts";
import { manifestCorpus, type CorpusManifest } from "./manifest-corpus.ts";
import { NAMESPACE, startOnDouble, success, type OperatorOnDouble } from "./operator-on-double.ts";

/** As the manifests of deploy/ have it: the Lease's rights in its own namespace. */
const OPERATOR: User = {
  name: "system:serviceaccount:volsync-system:holdfast",
  rules: [
    ...OPERATOR_RIGHTS.map(({ group, resources, verbs }) => ({
      apiGroups: [group],
      resources,
      verbs,
    })),
    ...OWN_RIGHTS.map(({ group, resources, verbs }) => ({
      apiGroups: [group],
      resources,
      verbs,
      namespaces: ["volsync-system"],
    })),
  ],
};

const used = new Set<string>();

async function started(): Promise<OperatorOnDouble> {
  const users = { admin: ADMIN, operator: OPERATOR };
  const on = await startOnDouble({
    start: false,
    double: { namespaces: [NAMESPACE, "volsync-system"], users },
  });
  on.operator({ api: on.double.api("operator"), leaderElection: true });
  return on;
}

type Fields = Record<string, unknown>;

/** Classes that manifests name; the first one is the cluster's default. */
const CLASSES = ["block", "local-hostpath", "thick"];

function furnishClasses(on: OperatorOnDouble): void {
  for (const [at, name] of CLASSES.entries()) {
    on.double.objects.put(STORAGE_CLASS, {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: {
        name,
        annotations: { "storageclass.kubernetes.io/is-default-class": String(at === 0) },
      },
      provisioner: PLAYED_DRIVER,
    });
  }
  on.double.objects.put(VOLUME_SNAPSHOT_CLASS, {
    apiVersion: VOLUME_SNAPSHOT_CLASS.apiVersion,
    kind: VOLUME_SNAPSHOT_CLASS.kind,
    metadata: { name: "block-snapshots" },
    driver: PLAYED_DRIVER,
    deletionPolicy: "Delete",
  });
}

/** What the manifest names, so that nothing but itself can be wrong. */
function furnish(on: OperatorOnDouble, { object }: CorpusManifest): void {
  const restic = (object.spec["restic"] ?? {}) as Fields;
  const volumes = (restic["moverVolumes"] ?? []) as { volumeSource: Record<string, Fields> }[];
  const claims = [
    object.spec["sourcePVC"],
    restic["destinationPVC"],
    ...volumes.map(({ volumeSource }) => volumeSource["persistentVolumeClaim"]?.["claimName"]),
  ];
  for (const name of claims) {
    if (typeof name === "string" && on.double.objects.get(CLAIM, NAMESPACE, name) === undefined)
      on.claim(name);
  }
  // With the keys that are mounted of them.
  const mounted = mountedSecrets(restic as MoverFields);
  for (const { name, keys } of [{ name: restic["repository"], keys: [] }, ...mounted]) {
    if (typeof name !== "string" || on.double.objects.get(SECRET, NAMESPACE, name)) continue;
    on.secret(name, Object.fromEntries(keys.map((key) => [key, "x"])));
  }
  const account = restic["moverServiceAccount"];
  if (typeof account === "string") {
    on.double.objects.put(SERVICE_ACCOUNT, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: account, namespace: NAMESPACE },
    });
  }
}

/** Calls that the operator made, and was refused for want of a right. */
function refused(on: OperatorOnDouble): string[] {
  const found: string[] = [];
  for (const call of on.double.calls) {
    if (call.user !== OPERATOR.name) continue;
    const resource = call.subresource ? `${call.plural}/${call.subresource}` : call.plural;
    const right = `${call.verb} ${call.group}/${resource}`;
    used.add(right);
    if (!isAllowed(OPERATOR, call)) found.push(`${right} in ${call.namespace ?? "the cluster"}`);
  }
  return found;
}

for (const manifest of manifestCorpus()) {
  if (manifest.expect === "refused") continue;
  test(`${manifest.title}: ${manifest.expect}`, async () => {
    const on = await started();
    try {
      const { object, expect } = manifest;
      const isSource = object.kind === "ReplicationSource";
      const kind = isSource ? REPLICATION_SOURCE : REPLICATION_DESTINATION;
      const runs: string[] = [];
      on.double.play.jobPods((job) => {
        runs.push(job.metadata.name);
        // What runs without end otherwise: one run is enough.
        return runs.length > 1 ? new Promise(() => {}) : success(job);
      });
      furnishClasses(on);
      furnish(on, manifest);
      const admin = on.double.api("admin");
      const given = { ...object, metadata: { ...object.metadata, namespace: NAMESPACE } };
      const made = await admin.create(kind as never, given as never);
      if (object.status !== undefined) {
        await admin.replaceStatus(
          kind as never,
          { ...(made as object), status: object.status } as never,
        );
      }
      await on.quiet();
      const now = on.double.objects.get(
        kind as never,
        NAMESPACE,
        object.metadata.name,
      ) as unknown as ReplicationSource | ReplicationDestination;
      const state = (type: string): string => {
        const found = now.status?.conditions?.find((each) => each.type === type);
        return found === undefined ? "absent" : `${found.status}/${found.reason}`;
      };
      assert.deepEqual(refused(on), []);
      const name = moverName(isSource ? "source" : "destination", object.metadata.name);
      switch (expect) {
        case "job":
          assert.equal(runs[0], name, JSON.stringify(now.status));
          assert.equal(now.status?.latestMoverStatus?.result, "Successful");
          break;
        case "error":
          assert.deepEqual(runs, []);
          assert.equal(state("Synchronizing"), "False/Error");
          assert.match(state("Problem"), /^True\//);
          break;
        case "idle":
          assert.deepEqual(runs, []);
          assert.equal(now.status?.lastSyncTime, object.status?.["lastSyncTime"]);
          break;
        default:
          assert.equal(now.status, undefined);
          assert.deepEqual(on.double.objects.list<KubeObject>(JOB as never, NAMESPACE), []);
      }
    } finally {
      await on.close();
    }
  });
}

after(() => {
  // For whoever makes a right smaller: what none of these manifests needed.
  if (process.env["HOLDFAST_DEBUG"] === undefined) return;
  for (const { group, resources, verbs } of [...OPERATOR_RIGHTS, ...OWN_RIGHTS])
    for (const resource of resources)
      for (const verb of verbs)
        if (!used.has(`${verb} ${group}/${resource}`)) console.error(`unused: ${verb} ${resource}`);
});
