// What a cluster does to a run in the middle, on a real control plane: the operator dies, the API server goes away, the mover is
// out of memory, its pod is deleted, the resource is deleted. No run is lost, and none is made twice.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { thisMachine } from "../../src/cli/machine.ts";
import { POD } from "../../src/operator/cluster/kinds.ts";
import type { Pod } from "../../src/operator/cluster/kube-object.ts";
import { acquireLock } from "../../src/repository/locks.ts";
import { openRepository } from "../../src/repository/open.ts";
import { openLocalStorage } from "../../src/storage/local.ts";
import { peer, skipWithout } from "../peers.ts";
import { skipWithoutCluster } from "./cluster/binaries.ts";
import { startOperator } from "./cluster/operator-process.ts";
import { done, Scene, startPlaybook, type Playbook } from "./playbooks/playbook.ts";

const run = promisify(execFile);
const OUT_OF_SERVICE = "node.kubernetes.io/out-of-service";
const skip = skipWithoutCluster() || skipWithout("rest-server", "restic-newest");

/** Leaves the lock of a backup behind that was at work in this pod. */
async function leaveLock(root: string, hostname: string): Promise<void> {
  const storage = await openLocalStorage({ root });
  const own = thisMachine();
  // Its refreshing waits for a time that does not come.
  const clock = { ...own.clock, sleep: (): Promise<void> => new Promise(() => {}) };
  const machine = { ...own, hostname, clock };
  const repository = await openRepository({ storage, password: "swordfish", machine });
  await acquireLock(repository, { exclusive: false, signal: new AbortController().signal });
}

suite("outages in the middle of a run", { skip }, () => {
  let playbook: Playbook;
  before(async () => {
    playbook = await startPlaybook();
  });
  afterEach(() => playbook.cluster.kubelet.release());
  after(() => playbook?.stop());

  /** A source whose mover is said to run, and does nothing yet. */
  async function midRun(): Promise<{ scene: Scene; location: string; mover: Pod }> {
    const scene = await Scene.open(playbook);
    const location = await scene.secret("repository");
    await writeFile(join(await scene.claim("data"), "file"), "1");
    playbook.cluster.kubelet.hold();
    await scene.source("source", {
      sourcePVC: "data",
      trigger: { manual: "1" },
      restic: { repository: "repository", copyMethod: "Direct" },
    });
    return { scene, location, mover: await runningMover(scene) };
  }

  async function runningMover(scene: Scene, except = ""): Promise<Pod> {
    const api = playbook.cluster.api();
    return scene.until("running mover", async () => {
      const { items } = await api.list(POD, {
        namespace: scene.namespace,
        labelSelector: "job-name=volsync-src-source",
      });
      return items.find(
        ({ status, metadata }) => status?.phase === "Running" && metadata.name !== except,
      );
    });
  }

  async function restic(location: string, ...words: readonly string[]): Promise<string> {
    const env = { ...process.env, RESTIC_PASSWORD: "swordfish", RESTIC_REPOSITORY: location };
    const all = [...words, "--no-cache", ...(words[0] === "init" ? [] : ["--no-lock"])];
    const { stdout } = await run(peer("restic-newest").path, all, { env });
    return stdout;
  }

  async function snapshotsIn(location: string): Promise<number> {
    return (JSON.parse(await restic(location, "snapshots", "--json")) as unknown[]).length;
  }

  test("the operator is killed: the next one takes over the running mover", async () => {
    const { scene, location, mover } = await midRun();
    await playbook.operator.stop("SIGKILL");
    playbook.cluster.kubelet.release();
    const api = playbook.cluster.api();
    await scene.until("mover ended while nobody looked", async () => {
      const { name, namespace = "" } = mover.metadata;
      return (await api.get(POD, { namespace, name }))?.status?.phase === "Succeeded";
    });
    // The lease of one that was killed lasts: the next would wait for that, and what it does afterwards is what matters here.
    await playbook.cluster.kubectl("delete", "lease", "--all", "-n", "volsync-system");
    playbook.operator = await startOperator(playbook.cluster);
    await scene.sourceUntil("source", "run", done("1"));
    assert.equal(await snapshotsIn(location), 1);
  });

  test("the API server goes away for a while: the run ends as if nothing had been", async () => {
    const { scene, location } = await midRun();
    await playbook.cluster.controlPlane.restartApiServer(() =>
      Promise.resolve(playbook.cluster.kubelet.release()),
    );
    await scene.sourceUntil("source", "run", done("1"));
    assert.equal(await snapshotsIn(location), 1);
  });

  test("the mover's pod is deleted: another one does its work, once", async () => {
    const { scene, location, mover } = await midRun();
    const { name, namespace = "" } = mover.metadata;
    await playbook.cluster.kubectl("delete", "pod", name, "-n", namespace, "--wait=false");
    const next = await runningMover(scene, name);
    assert.notEqual(next.metadata.uid, mover.metadata.uid);
    playbook.cluster.kubelet.release();
    await scene.sourceUntil("source", "run", done("1"));
    assert.equal(await snapshotsIn(location), 1);
  });

  test("the mover is out of memory: that is said, and it is tried again", async () => {
    const { scene, location, mover } = await midRun();
    const { name, namespace = "" } = mover.metadata;
    await playbook.cluster.kubelet.runOutOfMemory(namespace, name);
    await runningMover(scene, name);
    await scene.until("the event", async () => {
      const { stdout } = await playbook.cluster.kubectl("get", "events", "-n", namespace);
      return /Warning .*memory/i.test(stdout);
    });
    playbook.cluster.kubelet.release();
    await scene.sourceUntil("source", "run", done("1"));
    assert.equal(await snapshotsIn(location), 1);
  });

  /** The next run, to its end. */
  async function again(scene: Scene): Promise<void> {
    const patch = JSON.stringify({ spec: { trigger: { manual: "2" } } });
    const words = ["patch", "replicationsource", "source", "--type=merge", "-p", patch];
    const { code, stderr } = await playbook.cluster.kubectl(...words, "-n", scene.namespace);
    assert.equal(code, 0, stderr);
    await scene.sourceUntil("source", "next run", done("2"));
  }

  /** Waits until the operator says so, with the fix. */
  async function nodeLost(scene: Scene): Promise<void> {
    const { conditions } = await scene.sourceUntil(
      "source",
      "problem",
      ({ conditions: all }) => all?.[1]?.reason === "NodeLost",
    );
    assert.match(conditions?.[1]?.message ?? "", /out-of-service/);
  }

  test("the mover's node is lost: that is told, its work is done on another one, and its lock goes with the next run", async () => {
    const { cluster } = playbook;
    const { scene, location, mover } = await midRun();
    const node = mover.spec.nodeName ?? "";
    await restic(location, "init");
    const place = join(playbook.server.folder, `${scene.namespace}-repository`);
    await leaveLock(place, mover.metadata.name);
    cluster.nodes.lose(node);
    try {
      await nodeLost(scene);
      // What an administrator says who knows that the machine is off: Kubernetes then gives up its pods.
      await cluster.kubectl("taint", "node", node, `${OUT_OF_SERVICE}=nodeshutdown:NoExecute`);
      const next = await runningMover(scene, mover.metadata.name);
      assert.notEqual(next.spec.nodeName, node);
      cluster.kubelet.release();
      const { conditions } = await scene.sourceUntil("source", "run", done("1"));
      assert.equal(conditions?.[1]?.reason, "None");
      assert.equal(await snapshotsIn(location), 1);
      await again(scene);
      assert.equal(await restic(location, "list", "locks"), "");
    } finally {
      await cluster.kubectl("taint", "node", node, `${OUT_OF_SERVICE}-`);
      await cluster.nodes.recover(node);
    }
  });

  test("a mover that holds a lock is deleted by force on a lost node: done elsewhere; the lock goes with the node", async () => {
    const { cluster } = playbook;
    const { scene, location, mover } = await midRun();
    const { name, namespace = "" } = mover.metadata;
    const { nodeName: node = "" } = mover.spec;
    await restic(location, "init");
    await leaveLock(join(playbook.server.folder, `${scene.namespace}-repository`), name);
    const lock = await restic(location, "list", "locks");
    assert.match(lock, /^[0-9a-f]{64}\n$/);
    cluster.nodes.lose(node);
    try {
      await nodeLost(scene);
      await cluster.kubectl("delete", "pod", name, "-n", namespace, "--force", "--wait=false");
      const next = await runningMover(scene, name);
      assert.notEqual(next.spec.nodeName, node);
      cluster.kubelet.release();
      await scene.sourceUntil("source", "run", done("1"));
      assert.equal(await snapshotsIn(location), 1);
      // Its pod is gone; that is no proof.
      assert.equal(await restic(location, "list", "locks"), lock);
      await cluster.kubectl("delete", "node", node);
      await again(scene);
      assert.equal(await restic(location, "list", "locks"), "");
    } finally {
      await cluster.nodes.recover(node);
    }
  });

  test("the resource is deleted: all that is its own goes, and the data stays", async () => {
    const { scene } = await midRun();
    await playbook.cluster.kubectl("delete", "replicationsource", "source", "-n", scene.namespace);
    await scene.until("all of it gone", async () => {
      const { stdout } = await playbook.cluster.kubectl(
        "get",
        "jobs,pods,pvc,sa,role,rolebinding",
        "-n",
        scene.namespace,
        "-o",
        "name",
      );
      return !stdout.includes("volsync-");
    });
    assert.ok(await scene.has("pvc", "data"));
  });

  test("the trigger annotation makes one run, beside the schedule, and its removal none", async () => {
    const scene = await Scene.open(playbook);
    const location = await scene.secret("repository");
    await writeFile(join(await scene.claim("data"), "file"), "1");
    await scene.source("source", {
      sourcePVC: "data",
      trigger: { schedule: "0 4 1 1 *" },
      restic: { repository: "repository", copyMethod: "Direct", retain: { last: "9" } },
    });
    const idle = ({ conditions }: { conditions?: { reason: string }[] }): boolean =>
      conditions?.[0]?.reason === "WaitingForSchedule";
    const first = await scene.sourceUntil("source", "first run", idle);
    const annotate = async (word: string): Promise<void> => {
      const { stderr, code } = await playbook.cluster.kubectl(
        "annotate",
        "replicationsource",
        "source",
        "-n",
        scene.namespace,
        "--overwrite",
        word,
      );
      assert.equal(code, 0, stderr);
    };
    await annotate("volsync.backube/trigger=1764000000");
    const second = await scene.sourceUntil(
      "source",
      "second run",
      (status) => idle(status) && status.lastSyncTime !== first.lastSyncTime,
    );
    assert.equal(second.lastManualSync, undefined);
    assert.equal(second.nextSyncTime, first.nextSyncTime);
    await annotate("volsync.backube/trigger-");
    await annotate("volsync.backube/trigger=1764000000");
    await annotate("volsync.backube/trigger=1764000001");
    await scene.sourceUntil(
      "source",
      "third run",
      (status) => idle(status) && status.lastSyncTime !== second.lastSyncTime,
    );
    assert.equal(await snapshotsIn(location), 3);
  });
});
