// Upstream's playbooks of single runs, asserted on a real control plane with the operator as a process, in namespaces that enforce
// Pod Security restricted: manual, long names, a repository on a claim, one that is empty, its own authority, and none.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { lstat, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import type { KubeObject, Pod } from "../../src/operator/cluster/kube-object.ts";
import { skipWithout } from "../peers.ts";
import { skipWithoutCluster } from "./cluster/binaries.ts";
import { done, plantTree, Scene, startPlaybook, type Playbook } from "./playbooks/playbook.ts";

const run = promisify(execFile);
const skip = skipWithoutCluster() || skipWithout("rest-server");

/** Mode, owner, size, time and content of all there is, in order. */
async function listing(directory: string): Promise<string> {
  const { stdout } = await run("sh", [
    "-c",
    `cd "$0" && find . -mindepth 1 -name lost+found -prune -o -mindepth 1 -printf '%y %m %U %G %s %T@ %l %p\\n' | sort -k 8 && find . -type f -exec sha256sum {} + | sort`,
    directory,
  ]);
  return stdout;
}

suite("playbooks: single runs", { skip, concurrency: 4 }, () => {
  let playbook: Playbook;
  before(async () => {
    playbook = await startPlaybook();
  });
  after(() => playbook?.stop());

  test("manual: a snapshot of the volume comes back as it was; the logs say what tools look for", async () => {
    const scene = await Scene.open(playbook);
    const security = { runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000, runAsNonRoot: true };
    await scene.secret("repository");
    const data = await scene.claim("data");
    await plantTree(data, 1000);
    await scene.source("source", {
      sourcePVC: "data",
      trigger: { manual: "once" },
      restic: {
        repository: "repository",
        copyMethod: "Snapshot",
        pruneIntervalDays: 1,
        retain: { hourly: 3, daily: 2 },
        cacheCapacity: "1Gi",
        moverSecurityContext: security,
      },
    });
    const saved = await scene.sourceUntil("source", "manual run", done("once"));
    const { logs = "" } = saved.latestMoverStatus ?? {};
    assert.match(logs, /processed.*files/);
    assert.match(logs, /snapshot.*saved/);
    assert.match(logs, /Restic completed in.*/);
    const idle = await scene.sourceUntil(
      "source",
      "idle",
      ({ conditions }) => conditions?.[0]?.reason !== "CleaningUp",
    );
    const [condition] = idle.conditions ?? [];
    assert.deepEqual(
      [condition?.type, condition?.status, condition?.reason, condition?.message],
      ["Synchronizing", "False", "WaitingForManual", "Waiting for manual trigger"],
    );
    const target = await scene.claim("restored");
    await scene.destination("restore", {
      trigger: { manual: "restore-once" },
      restic: {
        repository: "repository",
        copyMethod: "Direct",
        destinationPVC: "restored",
        moverSecurityContext: security,
      },
    });
    const restored = await scene.destinationUntil("restore", "restore", done("restore-once"));
    assert.match(restored.latestMoverStatus?.logs ?? "", /restoring.*/);
    assert.match(restored.latestMoverStatus?.logs ?? "", /Restic completed in.*/);
    assert.deepEqual(restored.latestImage?.name, "restored");
    assert.equal(await listing(target), await listing(data));
    assert.equal(await readlink(join(target, "broken")), "/nowhere");
    assert.ok(await scene.has("pvc", "volsync-dst-restore-cache"));
    assert.ok(await scene.has("pvc", "volsync-src-source-cache"));
    await scene.until("temporary objects gone", async () => {
      const kinds = await playbook.cluster.kubectl(
        "get",
        "volumesnapshots,jobs,pvc",
        "-n",
        scene.namespace,
        "-o",
        "name",
      );
      return !/volsync-source-src|job\.batch/.test(kinds.stdout);
    });
  });

  test("the logs of a run are there by label after it, without a pod that holds a volume", async () => {
    const scene = await Scene.open(playbook);
    await scene.secret("repository");
    await plantTree(await scene.claim("data"), 65532);
    await scene.source("source", {
      sourcePVC: "data",
      trigger: { manual: "once" },
      restic: { repository: "repository", copyMethod: "Clone" },
    });
    await scene.sourceUntil("source", "manual run", done("once"));
    const logs = await scene.until("logs by label", async () => {
      const { stdout } = await playbook.cluster.kubectl(
        "logs",
        "-n",
        scene.namespace,
        "-l",
        "volsync.backube/source=source",
      );
      return /Restic completed in/.test(stdout) && stdout;
    });
    assert.match(logs, /snapshot.*saved/);
    const items = async <T>(kind: string): Promise<T[]> => {
      const words = ["get", kind, "-n", scene.namespace, "-o", "json"];
      const { stdout } = await playbook.cluster.kubectl(...words);
      return (JSON.parse(stdout) as { items: T[] }).items;
    };
    // The one that makes the cache the movers' own comes after a run without a cache, ends at once, and goes.
    await scene.until("a cache for the next run, and no pod that holds a volume", async () => {
      const claims = await items<KubeObject>("pvc");
      const cache = claims.find(({ metadata }) => metadata.name === "volsync-src-source-cache");
      const pods = await items<{ spec: { volumes?: object[] } }>("pods");
      const volumes = pods.flatMap(({ spec }) => spec.volumes ?? []);
      const isHeld = volumes.some((volume) => "persistentVolumeClaim" in volume);
      return cache?.metadata.annotations?.["holdfast.dev/cache-group"] === "65532" && !isHeld;
    });
  });

  test("manual in a namespace of privileged movers: owners come back", async () => {
    const scene = await Scene.open(playbook, {
      enforce: "privileged",
      annotations: { "volsync.backube/privileged-movers": "true" },
    });
    await scene.secret("repository");
    const data = await scene.claim("data");
    await plantTree(data, 4242);
    await scene.source("source", {
      sourcePVC: "data",
      trigger: { manual: "once" },
      restic: { repository: "repository", copyMethod: "Direct" },
    });
    await scene.sourceUntil("source", "manual run", done("once"));
    const target = await scene.claim("restored");
    await scene.destination("restore", {
      trigger: { manual: "1" },
      restic: { repository: "repository", copyMethod: "Direct", destinationPVC: "restored" },
    });
    await scene.destinationUntil("restore", "restore", done("1"));
    assert.equal((await lstat(join(target, "file.txt"))).uid, 4242);
    assert.equal(await listing(target), await listing(data));
  });

  test("nothing says whose files they are: they are read and restored as their owner all the same", async () => {
    const scene = await Scene.open(playbook);
    await scene.secret("repository");
    const data = await scene.claim("data");
    await plantTree(data, 1000);
    await run("chmod", ["-R", "go=", data]);
    await run("chown", ["1000:1000", data]);
    const trigger = { manual: "once" };
    const restic = { repository: "repository", copyMethod: "Snapshot" };
    await scene.source("source", { sourcePVC: "data", trigger, restic });
    const saved = await scene.sourceUntil("source", "manual run", done("once"));
    assert.match(saved.external?.["holdfast.dev/owner"] ?? "", / 1000:1000$/);
    assert.equal(saved.conditions?.[1]?.reason, "None");
    // A claim of another class of rights: as a driver makes it, root's.
    const target = await scene.claim("restored");
    await scene.destination("restore", {
      trigger,
      restic: { repository: "repository", copyMethod: "Direct", destinationPVC: "restored" },
    });
    const restored = await scene.destinationUntil("restore", "restore", done("once"));
    assert.equal(restored.conditions?.[1]?.reason, "None");
    assert.equal(await listing(target), await listing(data));
  });

  test("an application that begins as root: its mover is root without capabilities, or whose the files are", async () => {
    // Not restricted, and nothing is privileged.
    const scene = await Scene.open(playbook, { enforce: "baseline" });
    await scene.secret("of-root");
    await scene.secret("of-database");
    const volumes = { "of-root": 0, "of-database": 999 };
    const restic = (repository: string): object => ({ repository, copyMethod: "Direct" });
    for (const [name, uid] of Object.entries(volumes)) {
      const data = await scene.claim(name);
      await plantTree(data, uid);
      await run("chown", [`${uid}:${uid}`, data]);
      await run("chmod", ["-R", "go=", data]);
    }
    await scene.apply([
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "app", namespace: scene.namespace },
        spec: {
          volumes: Object.keys(volumes).map((name) => {
            return { name, persistentVolumeClaim: { claimName: name } };
          }),
          containers: [
            {
              name: "app",
              image: "busybox",
              command: ["sleep", "1000"],
              securityContext: { runAsUser: 0 },
              volumeMounts: Object.keys(volumes).map((name) => ({ name, mountPath: `/${name}` })),
            },
          ],
        },
      } as KubeObject,
    ]);
    await scene.until("app runs", async () => {
      const { stdout } = await playbook.cluster.kubectl("get", "pod", "app", "-n", scene.namespace);
      return stdout.includes("Running");
    });
    const both = Object.entries(volumes).map(async ([name, uid]) => {
      await scene.source(name, { sourcePVC: name, trigger: { manual: "1" }, restic: restic(name) });
      const saved = await scene.sourceUntil(name, "manual run", done("1"));
      const found = saved.external?.["holdfast.dev/owner"];
      assert.equal(found?.split(" ")[1], uid === 0 ? undefined : `${uid}:${uid}`);
      assert.equal(saved.conditions?.[1]?.reason, "None");
      // The other one comes back as in the test above.
      if (uid !== 0) return;
      const target = await scene.claim(`${name}-back`);
      await scene.destination(name, {
        trigger: { manual: "1" },
        restic: { ...restic(name), destinationPVC: `${name}-back` },
      });
      await scene.destinationUntil(name, "restore", done("1"));
      const data = await playbook.cluster.directoryOf(scene.namespace, name);
      assert.equal(await listing(target), await listing(data));
    });
    await Promise.all(both);
    const { stdout } = await playbook.cluster.kubectl("get", "events", "-n", scene.namespace);
    assert.match(stdout, /MoverRunsAsRoot/);
  });

  test("long names: the Job's name ends in a checksum, and all works", async () => {
    const scene = await Scene.open(playbook);
    const name = `a-name-that-is-far-too-long-for-the-label-of-a-pod-${"x".repeat(100)}`;
    await scene.secret("repository");
    await plantTree(await scene.claim("data"), 65532);
    await scene.source(name, {
      sourcePVC: "data",
      trigger: { manual: "once" },
      restic: { repository: "repository", copyMethod: "Snapshot" },
    });
    await scene.sourceUntil(name, "manual run", done("once"));
  });

  test("a repository on a claim, mounted by moverVolumes", async () => {
    const scene = await Scene.open(playbook);
    await scene.secret("repository", { RESTIC_REPOSITORY: "/mnt/repo/inner" });
    const data = await scene.claim("data");
    await plantTree(data, 65532);
    await scene.claim("disk");
    const restic = {
      repository: "repository",
      moverSecurityContext: { runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532 },
      moverVolumes: [
        { mountPath: "repo", volumeSource: { persistentVolumeClaim: { claimName: "disk" } } },
      ],
    };
    await scene.source("source", {
      sourcePVC: "data",
      trigger: { manual: "once" },
      restic: { ...restic, copyMethod: "Snapshot" },
    });
    await scene.sourceUntil("source", "manual run", done("once"));
    const target = await scene.claim("restored");
    await scene.destination("restore", {
      trigger: { manual: "1" },
      restic: { ...restic, copyMethod: "Direct", destinationPVC: "restored" },
    });
    await scene.destinationUntil("restore", "restore", done("1"));
    assert.equal(await readFile(join(target, "file.txt"), "utf8"), "data to keep\n");
  });

  test("a restore from a repository that is not there makes it, restores nothing, and says so", async () => {
    const scene = await Scene.open(playbook);
    await scene.secret("repository");
    await scene.claim("restored");
    await scene.destination("restore", {
      trigger: { manual: "1" },
      restic: { repository: "repository", copyMethod: "Direct", destinationPVC: "restored" },
    });
    const { latestMoverStatus, conditions } = await scene.destinationUntil(
      "restore",
      "restore",
      done("1"),
    );
    const logs = latestMoverStatus?.logs ?? "";
    assert.match(logs, /Initialize Dir/);
    assert.match(logs, /created restic repository/);
    assert.match(logs, /No data will be restored/);
    const problem = conditions?.find(({ type }) => type === "Problem");
    assert.equal(problem?.status, "True", JSON.stringify(conditions));
  });

  test("Direct beside a running pod: the mover goes to the node that has the volume", async () => {
    const scene = await Scene.open(playbook);
    await scene.secret("repository");
    await plantTree(await scene.claim("data"), 1000);
    const user = { runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000 };
    await scene.apply([
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "app", namespace: scene.namespace },
        spec: {
          nodeSelector: { "kubernetes.io/hostname": "node-2" },
          securityContext: {
            ...user,
            runAsNonRoot: true,
            seccompProfile: { type: "RuntimeDefault" },
          },
          volumes: [{ name: "data", persistentVolumeClaim: { claimName: "data" } }],
          containers: [
            {
              name: "app",
              image: "busybox",
              command: ["sleep", "1000"],
              volumeMounts: [{ name: "data", mountPath: "/srv" }],
              securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
            },
          ],
        },
      } as KubeObject,
    ]);
    const { cluster } = playbook;
    await scene.until("app runs", async () => {
      const { stdout } = await cluster.kubectl("get", "pod", "app", "-n", scene.namespace);
      return stdout.includes("Running");
    });
    const seen: Pod[] = [];
    const over = new AbortController();
    cluster.link.follow<Pod>(`/api/v1/namespaces/${scene.namespace}/pods`, over.signal, (pod) =>
      seen.push(pod),
    );
    await scene.source("source", {
      sourcePVC: "data",
      trigger: { manual: "once" },
      restic: { repository: "repository", copyMethod: "Direct" },
    });
    await scene.sourceUntil("source", "run", done("once"));
    over.abort();
    const movers = seen.filter(({ metadata }) => metadata.labels?.["job-name"] !== undefined);
    const nodes = new Set(movers.map(({ spec }) => spec.nodeName).filter(Boolean));
    assert.deepEqual([...nodes], ["node-2"]);
    // Nobody said as whom to read it: as the pod that has it.
    const { runAsUser, fsGroup } = movers[0]?.spec.securityContext ?? {};
    assert.deepEqual({ runAsUser, fsGroup }, { runAsUser: 1000, fsGroup: 1000 });
  });
});
