// The volume populator against the real binder and the real protection of claims: what the API double only plays. The volume that a
// claim ends up with is the one that was made from the image, and no step loses it.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { systemClock, systemRandom } from "../../src/base/clock.ts";
import type { ApiClient } from "../../src/operator/cluster/api-client.ts";
import {
  CLAIM,
  PERSISTENT_VOLUME,
  POD,
  VOLUME_SNAPSHOT,
} from "../../src/operator/cluster/kinds.ts";
import type { PersistentVolumeClaim } from "../../src/operator/cluster/kube-object.ts";
import type { OperatorContext } from "../../src/operator/context.ts";
import { LABEL } from "../../src/operator/names.ts";
import { REPLICATION_DESTINATION } from "../../src/operator/resources/replication-destination.ts";
import type { RunPlan } from "../../src/operator/run-plan.ts";
import { claimsToPopulate, reconcilePopulated } from "../../src/operator/volume-populator.ts";
import { cleanUp } from "../../src/operator/volumes/clean-up.ts";
import { ensureDestinationVolume } from "../../src/operator/volumes/destination-volume.ts";
import { ensureImage } from "../../src/operator/volumes/image.ts";
import { startWatching } from "../../src/operator/watched.ts";
import { skipWithoutCluster } from "./cluster/binaries.ts";
import { CLASS_IMMEDIATE, CLASS_WAIT } from "./cluster/csi.ts";
import { SHELL_IMAGE, startTestCluster, until, type TestCluster } from "./cluster/test-cluster.ts";

suite("volumes on a real control plane", { skip: skipWithoutCluster() }, () => {
  let cluster: TestCluster;
  let api: ApiClient;
  let context: OperatorContext;
  const stop = new AbortController();
  const told: string[] = [];
  before(async () => {
    cluster = await startTestCluster();
    api = cluster.api();
    const { signal } = stop;
    const parts = { api, clock: systemClock, random: systemRandom, signal };
    const watched = await startWatching({ ...parts, onError: () => undefined });
    await watched.synced;
    context = {
      ...parts,
      stores: watched.stores,
      events: { record: ({ reason }) => void told.push(reason) },
      settings: {
        image: "none",
        namespace: "volsync-system",
        proxyVariables: {},
        defaultMode: "compat",
      },
    };
    // One look at a time, as the operator's queue does it.
    let looks = Promise.resolve();
    const look = (key: string): void => {
      looks = looks.then(async () => {
        await reconcilePopulated(context, key).catch(() => undefined);
      });
    };
    for (const store of [watched.stores.claims, watched.stores.snapshots, watched.destinations]) {
      store.onChange(({ before: was, after: is }) => {
        for (const key of claimsToPopulate(context, (is ?? was)!)) look(key);
      });
    }
  });
  after(async () => {
    stop.abort();
    await cluster?.stop();
  });

  /** A destination whose restore has ended, with an image that holds `text`. */
  async function restored(namespace: string, text: string): Promise<void> {
    const destination = await api.create(REPLICATION_DESTINATION, {
      apiVersion: REPLICATION_DESTINATION.apiVersion,
      kind: REPLICATION_DESTINATION.kind,
      metadata: { name: "restore", namespace },
      spec: {
        trigger: { manual: "once" },
        restic: {
          repository: "none",
          copyMethod: "Snapshot",
          capacity: "1Gi",
          accessModes: ["ReadWriteOnce"],
          cleanupTempPVC: true,
        },
      },
    });
    const plan: RunPlan = {
      id: "one",
      role: "destination",
      started: new Date().toISOString(),
      cause: { kind: "initial" },
      generation: 1,
      secretHash: "",
      mode: "compat",
    };
    const volume = await until("the volume", async () => {
      const step = await ensureDestinationVolume(context, destination, plan);
      return "ready" in step ? step.ready : undefined;
    });
    const directory = await cluster.directoryOf(namespace, volume.claim.metadata.name);
    await writeFile(join(directory, "file"), text);
    const latestImage = await until("the image", async () => {
      const step = await ensureImage(context, destination, plan, "5a");
      return "ready" in step ? step.ready : undefined;
    });
    const status = { latestImage, lastManualSync: "once" };
    const now = await api.replaceStatus(REPLICATION_DESTINATION, { ...destination, status });
    await cleanUp(context, now, plan);
    await until("the restore's claim is gone", async () => {
      return (await api.get(CLAIM, { namespace, name: "volsync-restore-dest" })) === undefined;
    });
  }

  async function claim(
    namespace: string,
    storageClassName: string,
  ): Promise<PersistentVolumeClaim> {
    return await api.create(CLAIM, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "app", namespace },
      spec: {
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "1Gi" } },
        storageClassName,
        dataSourceRef: {
          apiGroup: "volsync.backube",
          kind: "ReplicationDestination",
          name: "restore",
        },
      },
    });
  }

  /** The claim has the image's volume, its helper and all marks are gone, and the volume stays. */
  async function assertPopulated(namespace: string, text: string): Promise<void> {
    const directory = await cluster.directoryOf(namespace, "app");
    assert.equal(await readFile(join(directory, "file"), "utf8"), text);
    await until("nothing is left over", async () => {
      const { items } = await api.list(CLAIM, { namespace });
      const snapshots = await api.list(VOLUME_SNAPSHOT, { namespace });
      const marks = snapshots.items.flatMap(({ metadata }) => Object.keys(metadata.labels ?? {}));
      const isMarked = marks.some((mark) => mark.startsWith(LABEL.populatorClaimPrefix));
      return items.length === 1 && snapshots.items.length === 1 && !isMarked;
    });
    const after = await api.get(CLAIM, { namespace, name: "app" });
    const volume = await api.get(PERSISTENT_VOLUME, { name: after?.spec.volumeName ?? "" });
    assert.equal(after?.status?.phase, "Bound");
    assert.equal(volume?.status?.phase, "Bound");
    assert.equal(volume?.spec.claimRef?.uid, after?.metadata.uid);
    assert.equal(await readFile(join(directory, "file"), "utf8"), text);
  }

  test("a claim that binds at once, made before the restore has ended", async () => {
    const namespace = await cluster.namespace({ enforce: "restricted" });
    await claim(namespace, CLASS_IMMEDIATE);
    await restored(namespace, "at once");
    await assertPopulated(namespace, "at once");
  });

  test("a claim that waits for its pod, which then runs with it", async () => {
    const namespace = await cluster.namespace({ enforce: "privileged" });
    await restored(namespace, "with its pod");
    await claim(namespace, CLASS_WAIT);
    await api.create(POD, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "app", namespace },
      spec: {
        restartPolicy: "Never",
        volumes: [{ name: "files", persistentVolumeClaim: { claimName: "app" } }],
        containers: [
          {
            name: "app",
            image: SHELL_IMAGE,
            command: ["sh", "-c", "exit 0"],
            volumeMounts: [{ name: "files", mountPath: "/files" }],
          },
        ],
      },
    });
    await until("the pod has run", async () => {
      const pod = await api.get(POD, { namespace, name: "app" });
      return pod?.status?.phase === "Succeeded";
    });
    await assertPopulated(namespace, "with its pod");
  });
});
