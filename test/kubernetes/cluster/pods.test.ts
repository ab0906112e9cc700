// Pods and volumes of the test cluster: they behave as a kubelet's and a CSI driver's do, where our operator can see it.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { CLAIM, JOB, POD, VOLUME_SNAPSHOT } from "../../../src/operator/cluster/kinds.ts";
import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";
import { skipWithoutCluster } from "./binaries.ts";
import { startTestCluster, until, type TestCluster } from "./test-cluster.ts";

const skip = skipWithoutCluster();

const restricted = {
  securityContext: {
    runAsNonRoot: true,
    runAsUser: 1234,
    runAsGroup: 1234,
    fsGroup: 4321,
    seccompProfile: { type: "RuntimeDefault" },
  },
};

function shell(script: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    name: "main",
    image: "busybox",
    command: ["sh", "-c", script],
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    },
    ...more,
  };
}

function claim(namespace: string, name: string, more: Record<string, unknown> = {}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { namespace, name },
    spec: {
      accessModes: ["ReadWriteOnce"],
      resources: { requests: { storage: "1Gi" } },
      ...more,
    },
  } as KubeObject;
}

suite("pods and volumes of the test cluster", { skip }, () => {
  let cluster: TestCluster;
  let namespace: string;
  before(async () => {
    cluster = await startTestCluster();
    namespace = await cluster.namespace();
  });
  after(() => cluster?.stop());

  test("a Job's pod writes to its volume as its user, and leaves its log and last words", async () => {
    const script =
      "id -u > /data/who; id -G >> /data/who; hostname; echo $WORD; touch /no 2>/dev/null && echo writable;" +
      "printf verdict > /dev/termination-log; ls /work 2>/dev/null; exit 3";
    await cluster.apply([
      claim(namespace, "data", { storageClassName: "test-csi-wait" }),
      {
        apiVersion: "batch/v1",
        kind: "Job",
        metadata: { namespace, name: "one" },
        spec: {
          backoffLimit: 0,
          template: {
            spec: {
              ...restricted,
              restartPolicy: "Never",
              volumes: [{ name: "data", persistentVolumeClaim: { claimName: "data" } }],
              containers: [
                shell(script, {
                  env: [{ name: "WORD", value: "hello" }],
                  volumeMounts: [{ name: "data", mountPath: "/data" }],
                }),
              ],
            },
          },
        },
      } as KubeObject,
    ]);
    const api = cluster.api();
    const job = await until("failed Job", async () => {
      const found = await api.get(JOB, { namespace, name: "one" });
      return found?.status?.conditions?.some(({ type }) => type === "Failed") ? found : undefined;
    });
    assert.equal(job.status?.failed, 1);
    const [pod] = (await api.list(POD, { namespace, labelSelector: "job-name=one" })).items;
    const ended = pod?.status?.containerStatuses?.[0]?.state?.terminated;
    assert.equal(ended?.exitCode, 3);
    assert.equal(ended?.message, "verdict");
    const volume = await cluster.directoryOf(namespace, "data");
    assert.match(await readFile(join(volume, "who"), "utf8"), /^1234\n1234 4321\n$/);
    const logs = await cluster.kubectl("logs", "-n", namespace, "-l", "job-name=one", "-f");
    assert.equal(logs.stdout, `${pod?.metadata.name}\nhello\n`, logs.stderr);
  });

  test("a snapshot holds the moment it was taken, and becomes ready when its driver says so", async () => {
    const api = cluster.api();
    const original = await api.create(CLAIM, claim(namespace, "original") as never);
    const directory = await cluster.directoryOf(namespace, "original");
    await writeFile(join(directory, "file"), "before");
    cluster.storage.snapshots.hold();
    await api.create(VOLUME_SNAPSHOT, {
      apiVersion: "snapshot.storage.k8s.io/v1",
      kind: "VolumeSnapshot",
      metadata: { namespace, name: "moment" },
      spec: { source: { persistentVolumeClaimName: original.metadata.name } },
    });
    const bound = await until("bound snapshot", async () => {
      const found = await api.get(VOLUME_SNAPSHOT, { namespace, name: "moment" });
      return found?.status?.boundVolumeSnapshotContentName === undefined ? undefined : found;
    });
    assert.equal(bound.status?.readyToUse, false);
    await writeFile(join(directory, "file"), "after");
    cluster.storage.snapshots.release();
    const dataSource = {
      apiGroup: "snapshot.storage.k8s.io",
      kind: "VolumeSnapshot",
      name: "moment",
    };
    await cluster.apply([claim(namespace, "copy", { dataSource })]);
    const copy = await cluster.directoryOf(namespace, "copy");
    assert.equal(await readFile(join(copy, "file"), "utf8"), "before");
    assert.equal(await api.delete(VOLUME_SNAPSHOT, { namespace, name: "moment" }), true);
    await until(
      "snapshot gone",
      async () => (await api.get(VOLUME_SNAPSHOT, { namespace, name: "moment" })) === undefined,
    );
  });

  test("a pod that mounts a claim protects it, and ends when it is asked to", async () => {
    const api = cluster.api();
    await cluster.apply([
      claim(namespace, "held"),
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { namespace, name: "holder" },
        spec: {
          ...restricted,
          volumes: [{ name: "data", persistentVolumeClaim: { claimName: "held" } }],
          containers: [
            shell("trap 'exit 0' TERM; touch /data/ready; while :; do sleep 0.1; done", {
              volumeMounts: [{ name: "data", mountPath: "/data" }],
            }),
          ],
        },
      } as KubeObject,
    ]);
    await until("running pod", async () => {
      const pod = await api.get(POD, { namespace, name: "holder" });
      return pod?.status?.phase === "Running";
    });
    const volume = await cluster.directoryOf(namespace, "held");
    await until("trap set", () => Promise.resolve(existsSync(join(volume, "ready"))));
    await api.delete(CLAIM, { namespace, name: "held" });
    assert.ok(await api.get(CLAIM, { namespace, name: "held" }));
    await api.delete(POD, { namespace, name: "holder" });
    await until(
      "claim gone",
      async () => (await api.get(CLAIM, { namespace, name: "held" })) === undefined,
    );
  });

  test("an image that is not to be had, a missing key and root where it is refused are waited for, and said", async () => {
    const pod = (name: string, container: Record<string, unknown>): KubeObject =>
      ({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { namespace, name },
        spec: { ...restricted, containers: [shell("true", container)] },
      }) as KubeObject;
    const key = { secretKeyRef: { name: "nothing", key: "x" } };
    const mounting = pod("mount", {});
    const volumes = [{ name: "v", secret: { secretName: "nothing" } }];
    Object.assign((mounting as KubeObject & { spec: object }).spec, { volumes });
    await cluster.apply([
      pod("image", { image: "none" }),
      pod("key", { env: [{ name: "X", valueFrom: key }] }),
      mounting,
    ]);
    const api = cluster.api();
    for (const [name, reason] of [
      ["image", "ImagePullBackOff"],
      ["key", "CreateContainerConfigError"],
      ["mount", "ContainerCreating"],
    ] as const) {
      await until(`${name} waits`, async () => {
        const found = await api.get(POD, { namespace, name });
        return found?.status?.containerStatuses?.[0]?.state?.waiting?.reason === reason;
      });
    }
  });
});
