// `migrate volsync --dry-run` against an API server: what it finds, what it asks for, and that it writes nothing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { viewMigration } from "../../src/cli/migration-report.ts";
import { surveyVolsync, type MigrationReport } from "../../src/operator/migrate-volsync.ts";
import { CLAIM, DEPLOYMENT, LEASE, SECRET } from "../../src/operator/cluster/kinds.ts";
import type { KubeObject } from "../../src/operator/cluster/kube-object.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import { FakeClock } from "../fake-clock.ts";
import { allCrds } from "../../src/operator/resources/crds.ts";
import { startApiDouble, type ApiDouble, type ApiDoubleOptions } from "./api-double.ts";

const NOW = Date.parse("2026-11-26T12:00:00Z");
const KINDS = [CLAIM, DEPLOYMENT, LEASE, SECRET, REPLICATION_SOURCE];
const account = { namespace: "volsync-system", name: "holdfast" };

async function started(options: Partial<ApiDoubleOptions> = {}): Promise<ApiDouble> {
  const namespaces = ["volsync-system", "business-system"];
  const double = await startApiDouble({ namespaces, crds: allCrds(), ...options });
  const put = (object: KubeObject & Record<string, unknown>): void => {
    const kind = KINDS.find((one) => one.kind === object.kind);
    double.objects.put(kind as never, object as never);
  };
  const namespace = "business-system";
  put({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "volsync", namespace: "volsync-system" },
    spec: {
      replicas: 1,
      selector: { matchLabels: { a: "b" } },
      template: {
        metadata: { labels: { a: "b", "control-plane": "volsync-controller" } },
        spec: { containers: [{ name: "manager", image: "volsync:0.16.0" }] },
      },
    },
  });
  put({
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: "b95b3104.backube", namespace: "volsync-system" },
    spec: { holderIdentity: "volsync-7f_1", renewTime: "2026-11-26T11:59:50.000000Z" },
  });
  put({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "odoo-filestore-restic", namespace },
    data: {
      RESTIC_REPOSITORY: Buffer.from("s3:host/bucket-of-odoo").toString("base64"),
      RESTIC_PASSWORD: Buffer.from("unspeakable").toString("base64"),
    },
  });
  put({
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: "odoo-filestore", namespace },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  });
  put({
    apiVersion: "volsync.backube/v1alpha1",
    kind: "ReplicationSource",
    metadata: { name: "odoo-filestore", namespace },
    spec: {
      sourcePVC: "odoo-filestore",
      trigger: { schedule: "0 4 * * *" },
      restic: { repository: "odoo-filestore-restic", copyMethod: "Snapshot", retain: { daily: 7 } },
    },
  });
  put({
    apiVersion: "volsync.backube/v1alpha1",
    kind: "ReplicationSource",
    metadata: { name: "mirror", namespace },
    spec: { sourcePVC: "data", rsyncTLS: { address: "a.example.com" } },
  });
  return double;
}

async function survey(double: ApiDouble, token?: string): Promise<MigrationReport> {
  const api = double.api(token);
  const { signal } = new AbortController();
  return await surveyVolsync({ api, clock: new FakeClock(NOW), signal, account });
}

test("the survey finds resources, VolSync and its Lease, and changes nothing", async () => {
  const double = await started();
  try {
    const report = await survey(double);
    assert.deepEqual(
      report.resources.map(({ name, verdict }) => `${name} ${verdict}`),
      ["mirror unsupported", "odoo-filestore changes"],
    );
    assert.deepEqual(report.deployments, [
      { namespace: "volsync-system", name: "volsync", replicas: 1, image: "volsync:0.16.0" },
    ]);
    assert.equal(report.lease?.holder, "volsync-7f_1");
    assert.equal(report.rights.exists, false);
    const writes = double.calls.filter(({ verb }) => !["get", "list"].includes(verb));
    assert.deepEqual(writes, []);
    const text = viewMigration(report, { now: NOW }).join("\n");
    assert.match(
      text,
      /^1 of 2 resources work as they are, 1 not supported\. Nothing was changed\./,
    );
    assert.match(text, /still runs 1: set it to 0 in git/);
    assert.match(text, /held by volsync-7f_1, renewed just now/);
    assert.doesNotMatch(text + JSON.stringify(report), /unspeakable|bucket-of-odoo/);
  } finally {
    await double.close();
  }
});

test("a claim, a class and a Secret that are not there fail; volumes of one repository are named to each other", async () => {
  const double = await started();
  const namespace = "business-system";
  const put = (name: string, sourcePVC: string, more: object): void => {
    const restic = { repository: "odoo-filestore-restic", copyMethod: "Snapshot", ...more };
    double.objects.put(REPLICATION_SOURCE, {
      apiVersion: "volsync.backube/v1alpha1",
      kind: "ReplicationSource",
      metadata: { name, namespace },
      spec: { sourcePVC, restic },
    } as never);
  };
  const customCA = { secretName: "authorities", key: "ca.crt" };
  put("typo", "odoo-filestor", { volumeSnapshotClassName: "nope", customCA });
  put("again", "odoo-filestore", {});
  try {
    const { resources } = await survey(double);
    const notes = (of: string): string =>
      resources
        .find(({ name }) => name === of)!
        .notes.map(({ text }) => text)
        .join("\n");
    assert.match(notes("typo"), /there is no PersistentVolumeClaim odoo-filestor$/m);
    assert.match(notes("typo"), /there is no VolumeSnapshotClass nope$/m);
    assert.match(notes("typo"), /there is no Secret authorities \(customCA\)$/m);
    assert.match(notes("odoo-filestore"), /repository with business-system\/odoo-filestor:/);
    // Two schedules of one volume are its own matter.
    assert.doesNotMatch(notes("again"), /business-system\/odoo-filestore[,:]/);
    assert.doesNotMatch(JSON.stringify(resources), /unspeakable|bucket-of-odoo/);
  } finally {
    await double.close();
  }
});

test("what may not be read is said, and the rest is told all the same", async () => {
  const rules = [
    { verbs: ["list"], apiGroups: ["volsync.backube"], resources: ["*"] },
    { verbs: ["get"], apiGroups: [""], resources: ["namespaces"] },
  ];
  const double = await started({ users: { t: { name: "viewer", rules } } });
  try {
    const report = await survey(double, "t");
    assert.equal(report.resources.length, 2);
    assert.match(report.unread.join("\n"), /Secret business-system\/odoo-filestore-restic/);
    assert.match(report.unread.join("\n"), /deployments of all namespaces/);
  } finally {
    await double.close();
  }
});
