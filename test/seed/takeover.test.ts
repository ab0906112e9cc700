// A cluster on which VolSync ran until now: resources with the status that it writes, a repository that its restic filled, a Job of
// its own under way, an annotation that never did anything. The operator takes over: nothing runs that nobody asked for, the Job is
// seen to its end, and the next snapshot goes on from the last one. docs/operations/volsync-takeover.md promises it.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import type { Job, KubeObject } from "../../src/operator/cluster/kube-object.ts";
import { skipWithoutCluster } from "../kubernetes/cluster/binaries.ts";
import { startOperator, type OperatorProcess } from "../kubernetes/cluster/operator-process.ts";
import { startTestCluster, until, type TestCluster } from "../kubernetes/cluster/test-cluster.ts";
import { peer, skipWithout } from "../peers.ts";
import { startRestServer, type RestServer } from "../rest/server.ts";

const skip = skipWithoutCluster() || skipWithout("restic-newest", "rest-server");
const execute = promisify(execFile);
const NAMESPACE = "business-system";
const USER = 101;
/** The number of a month. */
const HALF_A_YEAR_ON = ((new Date().getUTCMonth() + 6) % 12) + 1;
const YESTERDAY = new Date(Date.now() - 86_400_000).toISOString().replace(/\.\d+Z/, "Z");

interface Resource extends KubeObject {
  readonly status?: {
    readonly lastSyncTime?: string;
    readonly lastManualSync?: string;
    readonly latestMoverStatus?: { readonly result?: string };
    readonly conditions?: readonly { type: string; status: string; reason: string }[];
    readonly external?: Readonly<Record<string, string>>;
  };
}

suite("a cluster that VolSync leaves", { skip }, () => {
  let cluster: TestCluster;
  let server: RestServer;
  let operator: OperatorProcess | undefined;
  let folder: string;
  const jobs = new Map<string, Set<string>>();
  const stopping = new AbortController();
  const path = (plural: string, name: string): string =>
    `/apis/volsync.backube/v1alpha1/namespaces/${NAMESPACE}/${plural}/${name}`;
  const waitFor = async (
    plural: string,
    name: string,
    holds: (status: NonNullable<Resource["status"]>) => boolean | undefined,
  ): Promise<NonNullable<Resource["status"]>> => {
    let last: Resource | undefined;
    return await until(
      `${plural}/${name}`,
      async () => {
        last = await cluster.link.get<Resource>(path(plural, name));
        return holds(last?.status ?? {}) === true && last?.status;
      },
      {
        describe: async () =>
          JSON.stringify(last) +
          (await cluster.kubectl("get", "pods,jobs,events", "-n", NAMESPACE)).stdout +
          operator?.output().slice(-2000),
      },
    );
  };
  const restic = async (...words: string[]): Promise<string> => {
    const env = {
      PATH: "/usr/bin:/bin",
      HOME: folder,
      RESTIC_PASSWORD: "right",
      RESTIC_REPOSITORY: `rest:${server.location("/odoo/")}`,
    };
    const options = { cwd: join(folder, "data"), env };
    return (await execute(peer("restic-newest").path, words, options)).stdout;
  };
  /** What VolSync wrote into a resource's status. */
  const leave = async (plural: string, name: string, status: object): Promise<void> => {
    const patch = ["--subresource=status", "--type=merge", "-p", JSON.stringify({ status })];
    const done = await cluster.kubectl("patch", plural, name, "-n", NAMESPACE, ...patch);
    assert.equal(done.code, 0, done.stderr);
  };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "holdfast-takeover-"));
    server = await startRestServer();
    cluster = await startTestCluster();
    await cluster.namespace({ name: NAMESPACE });
    cluster.link.follow<Job>("/apis/batch/v1/jobs", stopping.signal, ({ metadata }) => {
      const { name, uid = "" } = metadata;
      jobs.set(name, (jobs.get(name) ?? new Set()).add(uid));
    });
    await cluster.apply(objects(server));
    const volume = await cluster.directoryOf(NAMESPACE, "filestore");
    writeFileSync(join(volume, "attachment"), "content");
    execFileSync("chown", ["-R", `${USER}:${USER}`, join(volume, "attachment")]);
    // Its snapshot of the evening before.
    execFileSync("cp", ["-a", volume, join(folder, "data")]);
    await restic("init");
    await restic("backup", ".", "--host", "volsync", "--exclude", "lost+found");

    const idle = condition("False", "WaitingForSchedule");
    const went = { latestMoverStatus: { result: "Successful", logs: "" } };
    const at = { lastSyncTime: YESTERDAY, lastSyncDuration: "24.1s" };
    await leave("replicationsource", "scheduled", { ...went, ...at, conditions: idle });
    const manual = { ...went, ...at, lastManualSync: "restore-once" };
    await leave("replicationdestination", "restored", {
      ...manual,
      conditions: condition("False", "WaitingForManual"),
    });
    await leave("replicationsource", "running", {
      ...at,
      ...went,
      lastManualSync: "first",
      lastSyncStartTime: new Date().toISOString().replace(/\.\d+Z/, "Z"),
      conditions: condition("True", "SyncInProgress"),
    });
    const owner = (await cluster.link.get<Resource>(path("replicationsources", "running")))!;
    await cluster.apply([volsyncJob(owner)]);
    await until("VolSync's mover", async () => (await phase("volsync-src-running")) === "Running");
    operator = await startOperator(cluster);
  });
  after(async () => {
    stopping.abort();
    await operator?.stop();
    await cluster?.stop();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function phase(job: string): Promise<string> {
    const only = ["-l", `job-name=${job}`, "-o", "jsonpath={.items[*].status.phase}"];
    return (await cluster.kubectl("get", "pods", "-n", NAMESPACE, ...only)).stdout;
  }

  test("VolSync's own Job is seen to its end, and the resource says its result", async () => {
    assert.equal(await phase("volsync-src-running"), "Running", "it was not killed");
    writeFileSync(join(await cluster.directoryOf(NAMESPACE, "other"), "enough"), "");
    const status = await waitFor(
      "replicationsources",
      "running",
      ({ lastManualSync, conditions }) =>
        lastManualSync === "second" && conditions?.[0]?.reason === "WaitingForManual",
    );
    assert.equal(status.latestMoverStatus?.result, "Successful");
    assert.notEqual(status.lastSyncTime, YESTERDAY);
    assert.equal(jobs.get("volsync-src-running")!.size, 1, "its Job, and none of ours");
    await until("the Job to be gone", async () => (await phase("volsync-src-running")) === "");
  });

  test("what VolSync did is not done again: no backup, no restore, and nothing for an old annotation", async () => {
    for (const [plural, name] of [
      ["replicationsources", "scheduled"],
      ["replicationdestinations", "restored"],
    ] as const) {
      const status = await waitFor(plural, name, ({ external }) => external !== undefined);
      assert.equal(status.lastSyncTime, YESTERDAY);
      assert.equal(status.conditions![0]!.status, "False");
    }
    assert.deepEqual([...jobs.keys()], ["volsync-src-running"]);
  });

  test("the next snapshot goes on from VolSync's, and both are kept by one rule", async () => {
    await cluster.kubectl(
      "annotate",
      "replicationsource/scheduled",
      "-n",
      NAMESPACE,
      "volsync.backube/trigger=new",
      "--overwrite",
    );
    await waitFor(
      "replicationsources",
      "scheduled",
      ({ external, conditions }) =>
        external?.["holdfast.dev/trigger"] === "new" &&
        conditions?.[0]?.reason === "WaitingForSchedule",
    );
    const all = JSON.parse(await restic("snapshots", "--json")) as {
      id: string;
      parent?: string;
      hostname: string;
      paths: string[];
    }[];
    assert.equal(all.length, 2);
    assert.deepEqual(all[1]!.paths, ["/data"]);
    assert.equal(all[1]!.hostname, all[0]!.hostname);
    await restic("check", "--read-data");
    assert.deepEqual([...jobs.keys()].toSorted(), ["volsync-src-running", "volsync-src-scheduled"]);
    assert.equal(jobs.get("volsync-src-scheduled")!.size, 1);
  });
});

function condition(status: string, reason: string): object[] {
  const message = reason === "SyncInProgress" ? "Synchronization in-progress" : "Waiting";
  return [{ type: "Synchronizing", status, reason, message, lastTransitionTime: YESTERDAY }];
}

function objects(server: RestServer): KubeObject[] {
  const spec = { repository: "repository", copyMethod: "Direct" };
  const mover = {
    ...spec,
    moverSecurityContext: { runAsUser: USER, runAsGroup: USER, fsGroup: USER },
  };
  const retain = { last: "5" };
  const place = (name: string): object => ({ namespace: NAMESPACE, name });
  const claim = (name: string): object => ({
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: place(name),
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  });
  const group = "volsync.backube/v1alpha1";
  return [
    claim("filestore"),
    claim("other"),
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: place("repository"),
      stringData: {
        RESTIC_REPOSITORY: `rest:${server.location("/odoo/")}`,
        RESTIC_PASSWORD: "right",
      },
    },
    {
      apiVersion: group,
      kind: "ReplicationSource",
      metadata: { ...place("scheduled"), annotations: { "volsync.backube/trigger": "1700000000" } },
      // Never due while this runs: what VolSync did yesterday was the slot before.
      spec: {
        sourcePVC: "filestore",
        trigger: { schedule: `0 0 1 ${HALF_A_YEAR_ON} *` },
        restic: { ...mover, retain },
      },
    },
    {
      apiVersion: group,
      kind: "ReplicationSource",
      metadata: place("running"),
      spec: { sourcePVC: "other", trigger: { manual: "second" }, restic: { ...mover, retain } },
    },
    {
      apiVersion: group,
      kind: "ReplicationDestination",
      metadata: place("restored"),
      spec: {
        trigger: { manual: "restore-once" },
        restic: { ...mover, destinationPVC: "filestore" },
      },
    },
  ] as unknown as KubeObject[];
}

/** It works until it is told. */
const WORK = "until [ -e /data/enough ]; do sleep 0.1; done; echo Restic completed in 6s";

/** A Job as VolSync makes it, as far as anybody can see: its name, label and owner, and a pod that works for a while. */
function volsyncJob({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const { name, uid } = metadata;
  const owner = { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true };
  const labels = { "app.kubernetes.io/created-by": "volsync", "volsync.backube/cleanup": uid };
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      namespace: NAMESPACE,
      name: `volsync-src-${name}`,
      labels,
      ownerReferences: [owner],
    },
    spec: {
      backoffLimit: 8,
      template: {
        metadata: { labels: { "app.kubernetes.io/created-by": "volsync" } },
        spec: {
          restartPolicy: "Never",
          securityContext: {
            runAsNonRoot: true,
            runAsUser: USER,
            seccompProfile: { type: "RuntimeDefault" },
          },
          volumes: [{ name: "data", persistentVolumeClaim: { claimName: "other" } }],
          containers: [
            {
              name: "restic",
              image: "busybox",
              command: ["sh", "-c", WORK],
              volumeMounts: [{ name: "data", mountPath: "/data" }],
              securityContext: {
                allowPrivilegeEscalation: false,
                capabilities: { drop: ["ALL"] },
              },
            },
          ],
        },
      },
    },
  } as unknown as KubeObject;
}
