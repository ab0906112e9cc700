// Upstream's playbooks of schedules, retention, choices of snapshots, what is cleaned up, quiescing, an authority of one's own and
// the volume populator, asserted on a real control plane with the operator as a process, in restricted namespaces.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import type { KubeObject } from "../../src/operator/cluster/kube-object.ts";
import { peer, skipWithout } from "../peers.ts";
import { startRestServer } from "../rest/server.ts";
import { skipWithoutCluster } from "./cluster/binaries.ts";
import { makeAuthority } from "./cluster/certificates.ts";
import { done, Scene, startPlaybook, type Playbook } from "./playbooks/playbook.ts";

const run = promisify(execFile);
const skip = skipWithoutCluster() || skipWithout("rest-server", "restic-newest");

/** Names in a volume, without what its file system has of itself. */
async function names(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => name !== "lost+found").toSorted();
}

suite("playbooks: choices", { skip, concurrency: 4 }, () => {
  let playbook: Playbook;
  before(async () => {
    playbook = await startPlaybook();
  });
  after(() => playbook?.stop());

  const annotate = async (
    scene: Scene,
    what: string,
    name: string,
    ...words: string[]
  ): Promise<void> => {
    const { code, stderr } = await playbook.cluster.kubectl(
      "annotate",
      what,
      name,
      "-n",
      scene.namespace,
      "--overwrite",
      ...words,
    );
    assert.equal(code, 0, stderr);
  };

  test("schedule: the first run at once, then at the minute", async () => {
    const scene = await Scene.open(playbook);
    await scene.secret("repository");
    await writeFile(join(await scene.claim("data"), "file"), "1");
    await scene.source("source", {
      sourcePVC: "data",
      trigger: { schedule: "*/1 * * * *" },
      restic: { repository: "repository", copyMethod: "Clone", retain: { hourly: 2 } },
    });
    const first = await scene.sourceUntil(
      "source",
      "first run",
      ({ lastSyncTime }) => lastSyncTime !== undefined,
    );
    assert.equal(first.latestMoverStatus?.result, "Successful");
    const idle = await scene.sourceUntil(
      "source",
      "wait for the minute",
      ({ conditions }) => conditions?.[0]?.reason === "WaitingForSchedule",
    );
    assert.match(idle.nextSyncTime ?? "", /:00Z$/);
    const second = await scene.sourceUntil(
      "source",
      "next run",
      // The minute may have come before anybody saw it wait for it.
      ({ lastSyncTime }) => lastSyncTime !== undefined && lastSyncTime !== idle.lastSyncTime,
    );
    assert.equal(second.latestMoverStatus?.result, "Successful");
    assert.ok((second.lastSyncTime ?? "") >= (idle.nextSyncTime ?? "~"));
  });

  test("retain, previous, restoreAsOf, file deletion: what is kept and which snapshot comes back", async () => {
    const scene = await Scene.open(playbook);
    const location = await scene.secret("repository");
    const data = await scene.claim("data");
    for (const tag of ["1", "2", "3"]) {
      await writeFile(join(data, "file"), `state ${tag}`);
      await writeFile(join(data, `only-${tag}`), tag);
      await scene.source("source", {
        sourcePVC: "data",
        trigger: { manual: tag },
        restic: { repository: "repository", copyMethod: "Direct", retain: { last: "2" } },
      });
      await scene.sourceUntil("source", `run ${tag}`, done(tag));
    }
    const env = { ...process.env, RESTIC_PASSWORD: "swordfish", RESTIC_REPOSITORY: location };
    const { stdout } = await run(
      peer("restic-newest").path,
      ["snapshots", "--json", "--no-cache"],
      { env },
    );
    const snapshots = JSON.parse(stdout) as { hostname: string; paths: string[] }[];
    assert.deepEqual(
      snapshots.map(({ hostname, paths }) => [hostname, paths]),
      [
        ["volsync", ["/data"]],
        ["volsync", ["/data"]],
      ],
    );
    const target = await scene.claim("restored");
    const restore = async (tag: string, more: object): Promise<string> => {
      await scene.destination("restore", {
        trigger: { manual: tag },
        restic: {
          repository: "repository",
          copyMethod: "Direct",
          destinationPVC: "restored",
          ...more,
        },
      });
      const status = await scene.destinationUntil("restore", tag, done(tag));
      return status.latestMoverStatus?.logs ?? "";
    };
    // A restore into a volume needs a mover that may write there: the volume is root's.
    await run("chown", ["65532:65532", target]);
    assert.match(
      await restore("before all", { restoreAsOf: "1980-08-10T23:59:59-04:00" }),
      /No data will be restored/,
    );
    assert.deepEqual(await names(target), []);
    assert.match(await restore("too many", { previous: 9999 }), /No data will be restored/);
    assert.deepEqual(await names(target), []);
    await restore("previous", { previous: 1 });
    assert.equal(await readFile(join(target, "file"), "utf8"), "state 2");
    await writeFile(join(target, "extra"), "not in the snapshot");
    await restore("latest", {});
    assert.deepEqual(await names(target), ["extra", "file", "only-1", "only-2", "only-3"]);
    assert.match(await restore("delete", { enableFileDeletion: true }), /RESTORE_OPTIONS/);
    assert.deepEqual(await names(target), ["file", "only-1", "only-2", "only-3"]);
    assert.equal(await readFile(join(target, "file"), "utf8"), "state 3");
  });

  test("without a trigger, one run follows the other", async () => {
    const scene = await Scene.open(playbook);
    await scene.secret("repository");
    await writeFile(join(await scene.claim("data"), "file"), "1");
    await scene.source("source", {
      sourcePVC: "data",
      restic: { repository: "repository", copyMethod: "Direct" },
    });
    const first = await scene.sourceUntil(
      "source",
      "first",
      ({ lastSyncTime }) => lastSyncTime !== undefined,
    );
    await scene.sourceUntil(
      "source",
      "second",
      ({ lastSyncTime }) => lastSyncTime !== undefined && lastSyncTime !== first.lastSyncTime,
    );
    await scene.sourceUntil(
      "source",
      "under way",
      ({ conditions }) =>
        conditions?.[0]?.type === "Synchronizing" && conditions[0].status === "True",
    );
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
  });

  test("cleanup: a destination's own claims go when it is told to, and its image stays", async () => {
    const scene = await Scene.open(playbook);
    await scene.secret("repository");
    await writeFile(join(await scene.claim("data"), "file"), "1");
    await scene.source("source", {
      sourcePVC: "data",
      trigger: { manual: "1" },
      restic: { repository: "repository", copyMethod: "Direct" },
    });
    await scene.sourceUntil("source", "run", done("1"));
    const restore = async (name: string, more: object): Promise<string> => {
      await scene.destination(name, {
        trigger: { manual: "1" },
        restic: {
          repository: "repository",
          copyMethod: "Snapshot",
          capacity: "1Gi",
          accessModes: ["ReadWriteOnce"],
          moverSecurityContext: { runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000 },
          ...more,
        },
      });
      const { latestImage } = await scene.destinationUntil(name, "restore", done("1"));
      assert.equal(latestImage?.kind, "VolumeSnapshot");
      return latestImage?.name ?? "";
    };
    const [image] = await Promise.all([
      restore("tidy", { cleanupTempPVC: true, cleanupCachePVC: true }),
      restore("keep", {}),
    ]);
    await scene.until(
      "own claims gone",
      async () =>
        !(await scene.has("pvc", "volsync-tidy-dest")) &&
        !(await scene.has("pvc", "volsync-dst-tidy-cache")),
    );
    assert.ok(await scene.has("volumesnapshot", image));
    assert.ok(await scene.has("pvc", "volsync-keep-dest"));
    assert.ok(await scene.has("pvc", "volsync-dst-keep-cache"));
  });

  test("copy trigger: no copy before the user says so", async () => {
    const scene = await Scene.open(playbook);
    await scene.secret("repository");
    await writeFile(
      join(
        await scene.claim("data", {}, { annotations: { "volsync.backube/use-copy-trigger": "" } }),
        "file",
      ),
      "1",
    );
    await scene.source("source", {
      sourcePVC: "data",
      trigger: { manual: "1" },
      restic: { repository: "repository", copyMethod: "Snapshot" },
    });
    const claim = async (): Promise<Record<string, string>> => {
      const path = `/api/v1/namespaces/${scene.namespace}/persistentvolumeclaims/data`;
      return (await playbook.cluster.link.get<KubeObject>(path))?.metadata.annotations ?? {};
    };
    await scene.until(
      "waits for the trigger",
      async () => (await claim())["volsync.backube/latest-copy-status"] === "WaitingForTrigger",
    );
    assert.ok((await claim())["volsync.backube/latest-copy-trigger-waiting-since"]);
    assert.equal(await scene.has("volumesnapshot", "volsync-source-src"), false);
    await annotate(scene, "pvc", "data", "volsync.backube/copy-trigger=first");
    await scene.sourceUntil("source", "run", done("1"));
    const after = await claim();
    assert.equal(after["volsync.backube/latest-copy-trigger"], "first");
    assert.equal(after["volsync.backube/latest-copy-status"], "Completed");
  });

  test("customCA: an authority in a Secret, and in a ConfigMap; without one the certificate is refused", async () => {
    const scene = await Scene.open(playbook);
    const authority = await makeAuthority(playbook.cluster.folder, "own");
    const { certificate, key } = await authority.issue({
      name: "own-server",
      subject: "/CN=repository",
      hosts: ["IP:127.0.0.1"],
    });
    const server = await startRestServer({
      args: ["--tls", "--tls-cert", certificate, "--tls-key", key],
    });
    try {
      const location = `rest:${server.location("/own/").replace("http:", "https:")}`;
      await scene.secret("repository", { RESTIC_REPOSITORY: location });
      await writeFile(join(await scene.claim("data"), "file"), "1");
      const text = await readFile(authority.certificate, "utf8");
      const metadata = { name: "authority", namespace: scene.namespace };
      await scene.apply([
        {
          apiVersion: "v1",
          kind: "Secret",
          metadata,
          stringData: { "own.crt": text },
        } as KubeObject,
        { apiVersion: "v1", kind: "ConfigMap", metadata, data: { "own.crt": text } } as KubeObject,
      ]);
      const source = (name: string, customCA?: object): Promise<void> =>
        scene.source(name, {
          sourcePVC: "data",
          trigger: { manual: "1" },
          restic: { repository: "repository", copyMethod: "Direct", ...(customCA && { customCA }) },
        });
      await source("secret", { secretName: "authority", key: "own.crt" });
      await scene.sourceUntil("secret", "run", done("1"));
      await source("map", { configMapName: "authority", key: "own.crt" });
      await scene.sourceUntil("map", "run", done("1"));
      await source("none");
      await scene.sourceUntil("none", "refused", ({ conditions, lastManualSync }) => {
        assert.equal(lastManualSync, undefined);
        return (
          conditions?.some(({ type, status }) => type === "Problem" && status === "True") === true
        );
      });
    } finally {
      await server.close();
    }
  });

  test("volume populator: claims are made of the latest image; one that is marked stays", async () => {
    const scene = await Scene.open(playbook);
    await scene.secret("repository");
    const data = await scene.claim("data");
    await writeFile(join(data, "file"), "state 1");
    const backUp = async (tag: string): Promise<void> => {
      await scene.source("source", {
        sourcePVC: "data",
        trigger: { manual: tag },
        restic: { repository: "repository", copyMethod: "Direct" },
      });
      await scene.sourceUntil("source", "run", done(tag));
    };
    const restore = async (tag: string): Promise<string> => {
      await scene.destination("restore", {
        trigger: { manual: tag },
        restic: {
          repository: "repository",
          copyMethod: "Snapshot",
          capacity: "1Gi",
          accessModes: ["ReadWriteOnce"],
          moverSecurityContext: { runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000 },
        },
      });
      const { latestImage } = await scene.destinationUntil("restore", tag, done(tag));
      return latestImage?.name ?? "";
    };
    const dataSourceRef = {
      apiGroup: "volsync.backube",
      kind: "ReplicationDestination",
      name: "restore",
    };
    await backUp("1");
    const first = await restore("1");
    const one = await scene.claim("one", { dataSourceRef });
    assert.equal(await readFile(join(one, "file"), "utf8"), "state 1");
    await playbook.cluster.kubectl(
      "label",
      "volumesnapshot",
      first,
      "-n",
      scene.namespace,
      "volsync.backube/do-not-delete=mine",
    );
    await writeFile(join(data, "file"), "state 2");
    await backUp("2");
    const second = await restore("2");
    assert.notEqual(second, first);
    const two = await scene.claim("two", { dataSourceRef });
    assert.equal(await readFile(join(two, "file"), "utf8"), "state 2");
    const third = await restore("3");
    await scene.until("old image gone", async () => !(await scene.has("volumesnapshot", second)));
    assert.ok(await scene.has("volumesnapshot", third));
    assert.ok(await scene.has("volumesnapshot", first), "marked to be kept");
    await scene.until("helper claims gone", async () => {
      const { stdout } = await playbook.cluster.kubectl(
        "get",
        "pvc",
        "-n",
        scene.namespace,
        "-o",
        "name",
      );
      return !stdout.includes("vs-prime-");
    });
  });
});
