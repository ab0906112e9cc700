// The operator as it is installed: its own Deployment's pod, in the cluster, with the token, the rights and the image that deploy/ gives
// it. Everywhere else it runs beside the cluster with a kubeconfig. The commands are those of docs/operations/kubernetes.md.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { join, relative } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import type { Pod } from "../../src/operator/cluster/kube-object.ts";
import { freePort } from "../free-port.ts";
import { peer, skipWithout } from "../peers.ts";
import { skipWithoutCluster } from "./cluster/binaries.ts";
import { SNAPSHOT_CRDS } from "./cluster/snapshot-crds.ts";
import { startTestCluster, until, type TestCluster } from "./cluster/test-cluster.ts";
import { plantTree, type Resource } from "./playbooks/playbook.ts";

const ROOT = join(import.meta.dirname, "../..");
const IMAGE = "registry.test/holdfast:mine";
const NAMESPACE = "volsync-system";
const LEASE = "lease.coordination.k8s.io/b95b3104.backube";
const skip = skipWithoutCluster();

/** Ports of a pod are ports of this machine here, and other tests run at the same time. */
interface Ports {
  readonly metrics: number;
  readonly probes: number;
}

suite("the operator as it is installed", { skip }, () => {
  let cluster: TestCluster;
  let ports: Ports;
  let commands: string[];

  before(async () => {
    const images = { [IMAGE]: { user: 65532, group: 65532 } };
    cluster = await startTestCluster({ crds: SNAPSHOT_CRDS, images });
    const [metrics, probes] = await Promise.all([freePort(), freePort()]);
    ports = { metrics, probes };
    const page = await readFile(join(ROOT, "docs/operations/kubernetes.md"), "utf8");
    const lines = page.slice(page.indexOf("docker buildx")).split("\n");
    commands = lines.slice(0, lines.indexOf("```"));
  });
  after(async () => await cluster?.stop());

  async function kubectl(...words: string[]): Promise<string> {
    const { stdout, stderr, code } = await cluster.kubectl(...words);
    assert.equal(code, 0, `kubectl ${words.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** A Kustomization of one's own: the image by the name that the page gives, and other ports. */
  async function ownBase(): Promise<string> {
    const folder = join(cluster.folder, "own");
    await mkdir(folder, { recursive: true });
    const [newName, newTag] = IMAGE.split(":");
    const args = ["operator", "run", ...addresses()];
    const value = { op: "replace", path: "/spec/template/spec/containers/0/args", value: args };
    const kustomization = {
      resources: [relative(folder, join(ROOT, "deploy/base"))],
      images: [{ name: "registry.example.org/holdfast", newName, newTag }],
      patches: [{ target: { kind: "Deployment" }, patch: JSON.stringify([value]) }],
    };
    await writeFile(join(folder, "kustomization.yaml"), JSON.stringify(kustomization));
    return folder;
  }

  function addresses(): string[] {
    return [`--metrics-address=:${ports.metrics}`, `--probes-address=:${ports.probes}`];
  }

  async function ready(): Promise<Pod> {
    return await until("the operator's pod", async () => {
      const answer = await fetch(`http://127.0.0.1:${ports.probes}/readyz`).catch(() => undefined);
      await answer?.arrayBuffer();
      const pods = await cluster.link.list<Pod>(`/api/v1/namespaces/${NAMESPACE}/pods`);
      return answer?.ok === true && pods.find(({ status }) => status?.phase === "Running");
    });
  }

  /** A volume, a repository on another volume, and a source, which begins at once. */
  async function backUp(namespace: string): Promise<void> {
    const metadata = (name: string): object => ({ name, namespace });
    const claim = (name: string): object => ({
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: metadata(name),
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
    });
    const secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: metadata("repository"),
      stringData: { RESTIC_REPOSITORY: "/mnt/repo", RESTIC_PASSWORD: "swordfish" },
    };
    await cluster.apply([claim("files"), claim("repo"), secret] as Resource[]);
    await plantTree(await cluster.directoryOf(namespace, "files"), 65532);
    const source = {
      apiVersion: "volsync.backube/v1alpha1",
      kind: "ReplicationSource",
      metadata: metadata("files"),
      spec: {
        sourcePVC: "files",
        trigger: { schedule: "0 4 1 1 *" },
        restic: {
          repository: "repository",
          copyMethod: "Direct",
          moverSecurityContext: { runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532 },
          moverVolumes: [
            {
              mountPath: "repo",
              volumeSource: { persistentVolumeClaim: { claimName: "repo" } },
            },
          ],
        },
      },
    };
    await cluster.apply([source] as Resource[]);
  }

  function sourceOf(namespace: string): Promise<Resource | undefined> {
    const place = `/apis/volsync.backube/v1alpha1/namespaces/${namespace}`;
    return cluster.link.get<Resource>(`${place}/replicationsources/files`);
  }

  async function backedUp(namespace: string): Promise<void> {
    await until(`a backup in ${namespace}`, async () => {
      const { status } = (await sourceOf(namespace)) ?? {};
      const { result, logs } = status?.latestMoverStatus ?? {};
      assert.notEqual(result, "Failed", logs);
      return result === "Successful";
    });
  }

  async function scrape(token?: string): Promise<{ status: number; text: string }> {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    return new Promise((resolve, reject) => {
      const url = `https://127.0.0.1:${ports.metrics}/metrics`;
      const asked = request(url, { headers, rejectUnauthorized: false }, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        answer.once("end", () => resolve({ status: answer.statusCode ?? 0, text }));
      });
      asked.once("error", reject);
      asked.end();
    });
  }

  test("kustomize, by the commands of the page: its pod runs, and backs up", async () => {
    const kustomizations = commands
      .map((line) => /^kubectl (apply .*)-k deploy\/(\w+)$/.exec(line))
      .filter((match) => match !== null);
    assert.deepEqual(
      kustomizations.map(([, , folder]) => folder),
      ["crds", "base"],
    );
    const own = await ownBase();
    for (const [, words = "", folder = ""] of kustomizations) {
      const from = folder === "base" ? own : join(ROOT, "deploy", folder);
      await kubectl(...words.trim().split(" "), "-k", from);
    }
    const pod = await ready();
    assert.match(pod.metadata.name, /^holdfast-/);
    const look = commands.at(-1)!.replace(/^kubectl /, "");
    assert.match(await kubectl(...look.split(" ")), /^holdfast-\S+ +1\/1 +Running/m);
    await cluster.namespace({ name: "business" });
    await backUp("business");
    // Whose image is the one that its own pod runs.
    const mover = await until("the mover's Job", async () => {
      const place = "/apis/batch/v1/namespaces/business/jobs/volsync-src-files";
      return await cluster.link.get<Resource>(place);
    });
    const { containers } = (mover.spec["template"] as { spec: { containers: { image: string }[] } })
      .spec;
    assert.deepEqual(
      containers.map(({ image }) => image),
      [IMAGE],
    );
    await backedUp("business");
    assert.equal((await kubectl("get", "lease", "-n", NAMESPACE, "-o", "name")).trim(), LEASE);
  });

  test("metrics are for whom the cluster lets read them", async () => {
    assert.equal((await scrape()).status, 401);
    const tokens: string[] = [];
    for (const account of ["stranger", "prometheus"]) {
      await kubectl("create", "serviceaccount", account, "-n", "default");
      tokens.push((await kubectl("create", "token", account, "-n", "default")).trim());
    }
    const bind = ["create", "clusterrolebinding", "prometheus"];
    const to = "--serviceaccount=default:prometheus";
    await kubectl(...bind, "--clusterrole=volsync-metrics-reader", to);
    assert.equal((await scrape(tokens[0])).status, 403);
    const { status, text } = await scrape(tokens[1]);
    assert.equal(status, 200, text);
    assert.match(text, /^holdfast_operator_leader 1$/m);
    assert.match(text, /^holdfast_sync_success_total\{[^}]*obj_namespace="business"[^}]*\} 1$/m);
  });

  test("it goes by the command of the page, and what it looked after stays", async () => {
    await kubectl("delete", "-k", await ownBase());
    assert.ok((await sourceOf("business"))?.status?.lastSyncTime);
    await until("the namespace's end", async () => {
      return (await cluster.kubectl("get", "namespace", NAMESPACE)).code !== 0;
    });
  });

  test("Helm, for one namespace alone", { skip: skip || skipWithout("helm") }, async () => {
    const renderer = join(cluster.folder, "ports.sh");
    const further = addresses().map((word) => `\\n\\1- ${word}`);
    const sed = `sed 's/^\\( *\\)- --mode=compat$/&${further.join("")}/'`;
    await writeFile(renderer, `#!/bin/sh\n${sed}\n`);
    await chmod(renderer, 0o755);
    await cluster.namespace({ name: "shop" });
    const [repository, tag] = IMAGE.split(":");
    const set = `image.repository=${repository},image.tag=${tag},manageCRDs=false,watchNamespaces={shop}`;
    const release = ["install", "volsync", join(ROOT, "deploy/chart"), "-n", NAMESPACE];
    const how = ["--create-namespace", "--set", set, "--post-renderer", renderer];
    const words = ["--kubeconfig", cluster.kubeconfig].concat(release, how);
    await promisify(execFile)(peer("helm").path, words);
    assert.match((await ready()).metadata.name, /^volsync-holdfast-/);
    await backUp("shop");
    await backedUp("shop");
    const token = (await kubectl("create", "token", "prometheus", "-n", "default")).trim();
    const { text } = await scrape(token);
    assert.match(text, /obj_namespace="shop"/);
    assert.doesNotMatch(text, /obj_namespace="business"/);
  });
});
