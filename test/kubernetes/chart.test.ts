// The chart with the real Helm on a real API server: it takes the place of a release that was VolSync's, and goes without taking the
// kinds along, or any resource.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { DEPLOYMENT } from "../../src/operator/cluster/kinds.ts";
import {
  REPLICATION_SOURCE,
  readReplicationSource,
} from "../../src/operator/resources/replication-source.ts";
import { peer, skipWithout } from "../peers.ts";
import { skipWithoutCluster } from "./cluster/binaries.ts";
import { SNAPSHOT_CRDS } from "./cluster/snapshot-crds.ts";
import { startTestCluster, until, type TestCluster } from "./cluster/test-cluster.ts";

const CHART = join(import.meta.dirname, "../../deploy/chart");
const skip = skipWithoutCluster() || skipWithout("helm");
const namespace = "volsync-system";

let cluster: TestCluster;
before(async () => {
  if (skip === false) cluster = await startTestCluster({ crds: SNAPSHOT_CRDS });
});
after(async () => await cluster?.stop());

async function helm(...args: string[]): Promise<string> {
  const words = ["--kubeconfig", cluster.kubeconfig, "--namespace", namespace, ...args];
  return (await promisify(execFile)(peer("helm").path, words)).stdout;
}

/** A release with the names and the shape of VolSync's. */
async function volsyncChart(): Promise<string> {
  const folder = await mkdtemp(join(cluster.folder, "volsync-"));
  await mkdir(join(folder, "templates"));
  await writeFile(join(folder, "Chart.yaml"), "apiVersion: v2\nname: volsync\nversion: 0.16.0\n");
  await cp(join(CHART, "crds-of-release"), join(folder, "templates"), { recursive: true });
  const labels = { "app.kubernetes.io/name": "volsync", "control-plane": "volsync-controller" };
  const metadata = { name: "volsync", namespace };
  const objects = [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata,
      spec: {
        replicas: 0,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: { containers: [{ name: "manager", image: "registry.example.org/volsync:0.16.0" }] },
        },
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { ...metadata, name: "volsync-metrics" },
      spec: { selector: labels, ports: [{ name: "https", port: 8443 }] },
    },
  ];
  const text = objects.map((one) => JSON.stringify(one)).join("\n---\n");
  await writeFile(join(folder, "templates", "all.yaml"), text);
  return folder;
}

test(
  "an upgrade of VolSync's release puts the operator in its place; removing it keeps the kinds",
  { skip },
  async () => {
    const api = cluster.api();
    const before = await volsyncChart();
    await helm("install", "volsync", before, "--create-namespace");
    const named = async (): Promise<string[]> =>
      (await api.list(DEPLOYMENT, { namespace })).items.map(({ metadata }) => metadata.name);
    assert.deepEqual(await named(), ["volsync"]);
    await until("ReplicationSource", async () => await api.serves(REPLICATION_SOURCE));
    const source = readReplicationSource({
      apiVersion: REPLICATION_SOURCE.apiVersion,
      kind: "ReplicationSource",
      metadata: { name: "odoo-filestore", namespace: "default" },
      spec: { sourcePVC: "odoo-filestore", restic: { repository: "odoo-filestore-restic" } },
    });
    const made = await api.create(REPLICATION_SOURCE, source);
    await helm("upgrade", "volsync", CHART);
    assert.deepEqual(await named(), ["volsync-holdfast"]);
    const service = await cluster.kubectl("get", "service", "-n", namespace, "-o", "name");
    assert.equal(service.stdout, "service/volsync-metrics\n");
    await until("the operator's pod", async () => {
      const pods = await cluster.kubectl("get", "pods", "-n", namespace);
      return /^volsync-holdfast-\S+ /m.test(pods.stdout);
    });
    await helm("rollback", "volsync", "1");
    assert.deepEqual(await named(), ["volsync"], "and back");
    await helm("rollback", "volsync", "2");
    await helm("uninstall", "volsync");
    assert.deepEqual(await named(), []);
    const left = await api.get(REPLICATION_SOURCE, source.metadata as { name: string });
    assert.equal(left?.metadata.uid, made.metadata.uid);
    assert.deepEqual(left?.spec, source.spec);
    await rm(before, { recursive: true, force: true });
  },
);
