// The guide on a cluster, in its order: the secret and the source applied as Flux applies them, the first sync, the annotation,
// `-o wide`, the logs during and after a run, real restic's list, and the way back after the filestore is destroyed. Commands and
// manifests are the guide's own; API server, Job controller and kubectl are real, and the operator is a process of its own.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { Job, KubeObject } from "../../src/operator/cluster/kube-object.ts";
import { assertSameTree } from "../faults/workbench.ts";
import { skipWithoutCluster } from "../kubernetes/cluster/binaries.ts";
import { startOperator, type OperatorProcess } from "../kubernetes/cluster/operator-process.ts";
import { startTestCluster, until, type TestCluster } from "../kubernetes/cluster/test-cluster.ts";
import { peer, skipWithout } from "../peers.ts";
import { DESK_PEERS, openDesk, SECRET_FILE, type Desk } from "./desk.ts";
import { blockOf, commandOf, readGuide } from "./read-guide.ts";

const guide = readGuide();
const skip = skipWithoutCluster() || skipWithout(...DESK_PEERS);
const NAMESPACE = "business-system";
/** As the image of Odoo has it. */
const ODOO = 101;

const ODOO_PHASE = `kubectl get pod odoo-0 -n ${NAMESPACE} -o jsonpath={.status.phase}`;

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

interface Resource {
  readonly status?: {
    readonly lastSyncTime?: string;
    readonly lastManualSync?: string;
    readonly nextSyncTime?: string;
    readonly latestMoverStatus?: { readonly result?: string; readonly logs?: string };
    readonly conditions?: readonly Condition[];
    readonly external?: Readonly<Record<string, string>>;
  };
}

suite("the guide on a cluster", { skip }, () => {
  let cluster: TestCluster;
  let desk: Desk;
  let operator: OperatorProcess | undefined;
  let filestore: string;
  let kept: string;
  /** UIDs of every Job that was ever seen, by its name. */
  const jobs = new Map<string, Set<string>>();
  const stopping = new AbortController();

  const get = async (kind: string, name: string): Promise<Resource> => {
    const { stdout } = await cluster.kubectl("get", kind, name, "-n", NAMESPACE, "-o", "json");
    return stdout === "" ? {} : (JSON.parse(stdout) as Resource);
  };
  /** What a failed wait is to show. */
  const describe = async (): Promise<string> => {
    const seen = [
      await cluster.kubectl(
        "describe",
        "replicationsource,replicationdestination",
        "-n",
        NAMESPACE,
      ),
      await cluster.kubectl("get", "jobs,pods,pvc,volumesnapshots,events", "-n", NAMESPACE),
    ];
    return seen.map(({ stdout }) => stdout).join("\n");
  };
  const waitFor = async (
    kind: string,
    name: string,
    what: string,
    holds: (resource: Resource) => boolean,
  ): Promise<Resource> =>
    await until(
      what,
      async () => {
        const resource = await get(kind, name);
        return holds(resource) && resource;
      },
      { describe },
    );
  const isIdle = ({ status }: Resource): boolean =>
    status?.conditions?.[0]?.type === "Synchronizing" &&
    status.conditions[0].reason.startsWith("WaitingFor");
  const problemOf = ({ status }: Resource): Condition | undefined =>
    status?.conditions?.find(({ type }) => type === "Problem");
  const run = async (step: string): Promise<string> =>
    (await desk.run(blockOf(guide, step).text, { env: { KUBECONFIG: cluster.kubeconfig } })).stdout;
  const shell = async (script: string): Promise<string> =>
    (await desk.run(script, { env: { KUBECONFIG: cluster.kubeconfig } })).stdout;

  before(async () => {
    desk = await openDesk({ programs: { kubectl: peer("kubectl").path } });
    await desk.run(`sops --encrypt --in-place ${SECRET_FILE}`);
    const setUp = blockOf(guide, "Edit and encrypt the secret").text;
    await desk.run(`{\n${setUp}\n} | tee /tmp/screen`);
    cluster = await startTestCluster({ furtherCrds: FLUX_CRDS });
    await cluster.namespace({ name: NAMESPACE, enforce: "restricted" });
    cluster.link.follow<Job>("/apis/batch/v1/jobs", stopping.signal, ({ metadata }) => {
      const { name, uid = "" } = metadata;
      jobs.set(name, (jobs.get(name) ?? new Set()).add(uid));
    });
    await cluster.apply([claim(), ...odoo()] as KubeObject[]);
    filestore = await until(
      "Odoo's claim",
      async () => await cluster.directoryOf(NAMESPACE, "odoo-filestore"),
      { describe },
    );
    fill(filestore);
    kept = join(desk.folder, "kept");
    execFileSync("cp", ["-a", filestore, kept]);
    operator = await startOperator(cluster);
  });
  after(async () => {
    stopping.abort();
    await operator?.stop();
    await cluster?.stop();
    await desk?.close();
  });

  test("the overlay of the example is taken by the API server, with odoo where the guide looks for it", async () => {
    await cluster.kubectl("create", "namespace", "flux-system");
    await shell("kubectl apply -k kubernetes/apps/overlays/production");
    const found = await shell(
      commandOf(guide, "Wait for Flux reconciliation", "get kustomization"),
    );
    assert.match(found, /^odoo /m);
  });

  test("the secret and the source, as Flux applies them, begin the first sync at once", async () => {
    const folder = SECRET_FILE.replace(/[^/]+$/, "");
    await shell(`sops -d ${SECRET_FILE} | kubectl apply -f -
      kubectl apply -f ${folder}replicationsource.yaml`);
    const done = (each: Resource): boolean =>
      each.status?.lastSyncTime !== undefined && isIdle(each);
    const { status } = await waitFor("replicationsource", "odoo-filestore", "first sync", done);
    assert.equal(status!.latestMoverStatus!.result, "Successful");
    assert.match(status!.nextSyncTime!, /T04:00:00Z$/);
    assert.equal(jobs.get("volsync-src-odoo-filestore")!.size, 1);
  });

  test("describe tells how it went", async () => {
    const said = await run("Check initial sync status");
    assert.match(said, /Result: +Successful/);
    assert.match(said, /WaitingForSchedule/);
    assert.match(said, /Restic completed in/);
  });

  test("the annotation is one more run; logs -f show it while it lasts, and afterwards", async () => {
    const before = (await get("replicationsource", "odoo-filestore")).status!.lastSyncTime;
    addFile(filestore, "a second attachment");
    rmSync(kept, { recursive: true });
    execFileSync("cp", ["-a", filestore, kept]);
    desk.google.latency = 100;
    await run("Trigger manual sync");
    await until(
      "a running mover",
      async () => (await movers("source")).some((pod) => pod.endsWith(" Running")),
      { describe },
    );
    const during = await run("View backup logs");
    desk.google.latency = 0;
    // The first run had no parent: this is the log of the second.
    assert.match(during, /using parent snapshot [0-9a-f]{8}\n[^]*snapshot [0-9a-f]{8} saved/);
    const { status } = await waitFor(
      "replicationsource",
      "odoo-filestore",
      "second sync",
      (each) => each.status?.lastSyncTime !== before && isIdle(each),
    );
    const { stdout: value } = await cluster.kubectl(
      "get",
      "replicationsource/odoo-filestore",
      "-n",
      NAMESPACE,
      "-o",
      "jsonpath={.metadata.annotations.volsync\\.backube/trigger}",
    );
    assert.match(value, /^\d{10}$/);
    assert.equal(status!.external!["holdfast.dev/trigger"], value);
    assert.match(status!.nextSyncTime!, /T04:00:00Z$/, "the schedule stays");
    assert.equal(jobs.get("volsync-src-odoo-filestore")!.size, 2);

    // Nothing of the run pins a volume any more, and its log is there all the same.
    const after = await run("View backup logs");
    // With a selector, kubectl begins ten lines before the end.
    assert.match(after, /snapshot [0-9a-f]{8} saved/);
    const whole = await shell(
      `kubectl logs -n ${NAMESPACE} -l volsync.backube/source=odoo-filestore --tail=-1`,
    );
    assert.match(whole, /using parent snapshot [0-9a-f]{8}\n[^]*snapshot [0-9a-f]{8} saved/);
    assert.match(after, /Restic completed in/);
    assert.match(after.trimEnd().split("\n").at(-1)!, /^Verdict: successful: snapshot [0-9a-f]{8}/);
    assert.deepEqual(
      (await movers("source")).map((pod) => pod.split(" ")[1]),
      ["Succeeded"],
    );
  });

  test("Flux takes the annotation away again: that asks for nothing", async () => {
    await shell(
      `kubectl annotate replicationsource odoo-filestore -n ${NAMESPACE} volsync.backube/trigger-`,
    );
    const { status } = await get("replicationsource", "odoo-filestore");
    assert.equal(status!.conditions![0]!.reason, "WaitingForSchedule");
    assert.equal(jobs.get("volsync-src-odoo-filestore")!.size, 2);
  });

  test("get, and get -o wide, say result, snapshot and age", async () => {
    const narrow = commandOf(guide, "Verify VolSync deployment", "get replicationsource");
    assert.match(await shell(narrow), /^NAME +SOURCE +LAST SYNC +DURATION +NEXT SYNC/);
    const [head, row] = (await run("Check backup status")).split("\n");
    assert.match(head!, /RESULT .*SNAPSHOT .*RECOVERY POINT AGE/);
    assert.match(row!, /^odoo-filestore .* Successful .* [0-9a-f]{8,64} /);
  });

  test("real restic through rclone lists both snapshots with the guide's words", async () => {
    const list = blockOf(guide, "List snapshots in GCS").text;
    writeFileSync(join(desk.folder, "rclone.conf"), await desk.rcloneConfiguration());
    const { stdout } = await desk.run(list);
    assert.equal((stdout.match(/^[0-9a-f]{8} .* volsync .* \/data/gm) ?? []).length, 2, stdout);
    const ours = await desk.run(`holdfast --from-secret ${SECRET_FILE} snapshots --json`);
    assert.equal((JSON.parse(ours.stdout) as unknown[]).length, 2);
  });

  test("a restore under a running Odoo is refused in safe mode, with what to do", async () => {
    const manifest = blockOf(guide, "Create ReplicationDestination")
      .text.replace("odoo-filestore-restore", "careful")
      .replace("metadata:\n", 'metadata:\n  annotations: {"holdfast.dev/mode": safe}\n');
    await cluster.apply(manifest);
    const inUse = (each: Resource): boolean => problemOf(each)?.status === "True";
    const refused = await waitFor("replicationdestination", "careful", "a refusal", inUse);
    assert.match(problemOf(refused)!.message, /odoo-0/);
    assert.equal(jobs.get("volsync-dst-careful"), undefined);
    await cluster.kubectl("delete", "replicationdestination", "careful", "-n", NAMESPACE);
  });

  test("the filestore is lost; the guide's destination and annotation bring it back, once", async () => {
    // As on a new cluster: nothing says whose files they are but the snapshot.
    await cluster.kubectl("delete", "pod", "odoo-0", "-n", NAMESPACE, "--now");
    await cluster.kubectl("delete", "deployment", "odoo", "-n", NAMESPACE);
    const forget = [{ op: "remove", path: "/status/external/holdfast.dev~1owner" }];
    const patch = ["patch", "replicationsource", "odoo-filestore", "-n", NAMESPACE, "--type=json"];
    const text = JSON.stringify(forget);
    const forgotten = await cluster.kubectl(...patch, "--subresource=status", "-p", text);
    assert.equal(forgotten.code, 0, forgotten.stderr);
    for (const name of readdirSync(filestore).filter((each) => each !== "lost+found")) {
      rmSync(join(filestore, name), { recursive: true });
    }
    const manifest = blockOf(guide, "Create ReplicationDestination").text;
    await cluster.apply(manifest);
    await run("Trigger restore");
    const { status } = await waitFor(
      "replicationdestination",
      "odoo-filestore-restore",
      "restore",
      (each) => each.status?.lastManualSync === "restore-once" && isIdle(each),
    );
    assert.equal(status!.latestMoverStatus!.result, "Successful");
    assertSameTree(filestore, kept);
    assert.equal(status!.conditions![0]!.reason, "WaitingForManual");
    // The first one found whose they are, and wrote nothing.
    assert.equal(jobs.get("volsync-dst-odoo-filestore-restore")!.size, 2);
    assert.equal(problemOf({ status: status! })?.reason, "None");

    // Odoo is back, and somebody annotates again: another restore, and a warning. One Job more, so the first annotation was none.
    await cluster.apply(odoo() as KubeObject[]);
    await until("Odoo", async () => (await shell(ODOO_PHASE)) === "Running", { describe });
    await shell(
      `kubectl annotate replicationdestination odoo-filestore-restore -n ${NAMESPACE} \\
         volsync.backube/trigger=again --overwrite`,
    );
    await waitFor(
      "replicationdestination",
      "odoo-filestore-restore",
      "second restore",
      (each) => each.status?.external?.["holdfast.dev/trigger"] === "again" && isIdle(each),
    );
    assert.equal(jobs.get("volsync-dst-odoo-filestore-restore")!.size, 3);
    assertSameTree(filestore, kept);
    const told = await shell(`kubectl events -n ${NAMESPACE} --types=Warning`);
    assert.match(told, /ReplicationDestination\/odoo-filestore-restore .*odoo-0/);
    assert.equal(jobs.get("volsync-src-odoo-filestore")!.size, 2, "and nothing else ran meanwhile");
  });

  /** `NAME PHASE` of the pods that the guide's selector finds. */
  async function movers(role: "source"): Promise<string[]> {
    const { stdout } = await cluster.kubectl(
      "get",
      "pods",
      "-n",
      NAMESPACE,
      "-l",
      `volsync.backube/${role}=odoo-filestore`,
      "-o",
      `jsonpath={range .items[*]}{.metadata.name} {.status.phase}{"\\n"}{end}`,
    );
    return stdout.split("\n").filter((line) => line !== "");
  }
});

/** As much of Flux's kinds as the guide looks at. */
const FLUX_CRDS = [
  fluxCrd("kustomize.toolkit.fluxcd.io", "Kustomization"),
  fluxCrd("source.toolkit.fluxcd.io", "GitRepository"),
];

function fluxCrd(group: string, kind: string): KubeObject {
  const singular = kind.toLowerCase();
  const plural = singular.replace(/y$/, "ie") + "s";
  const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  const version = { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}` },
    spec: { group, scope: "Namespaced", names: { kind, plural, singular }, versions: [version] },
  } as KubeObject;
}

function claim(): object {
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { namespace: NAMESPACE, name: "odoo-filestore" },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  };
}

/** What stands for Odoo: its Deployment, and the pod of it, which holds the volume and has the files' owner as its user. */
function odoo(): object[] {
  const labels = { "app.kubernetes.io/name": "odoo" };
  const spec = {
    securityContext: {
      runAsNonRoot: true,
      runAsUser: ODOO,
      runAsGroup: ODOO,
      fsGroup: ODOO,
      seccompProfile: { type: "RuntimeDefault" },
    },
    volumes: [{ name: "filestore", persistentVolumeClaim: { claimName: "odoo-filestore" } }],
    containers: [
      {
        name: "odoo",
        image: "busybox",
        command: ["sleep", "3600"],
        volumeMounts: [{ name: "filestore", mountPath: "/var/lib/odoo" }],
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
      },
    ],
  };
  return [
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace: NAMESPACE, name: "odoo-0", labels },
      spec,
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { namespace: NAMESPACE, name: "odoo" },
      spec: {
        replicas: 0,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec },
      },
    },
  ];
}

/** A filestore as Odoo makes it: files named for the SHA-1 of their content. */
function fill(folder: string): void {
  for (let i = 0; i < 30; i++) addFile(folder, `attachment ${i}\n`.repeat(i * 100 + 1));
  mkdirSync(join(folder, "filestore", "production", "checklist"), { recursive: true });
  execFileSync("chown", ["-R", `${ODOO}:${ODOO}`, join(folder, "filestore")]);
}

function addFile(folder: string, content: string): void {
  const name = createHash("sha1").update(content).digest("hex");
  const parent = join(folder, "filestore", "production", name.slice(0, 2));
  mkdirSync(parent, { recursive: true });
  writeFileSync(join(parent, name), content);
  execFileSync("chown", ["-R", `${ODOO}:${ODOO}`, parent]);
}
