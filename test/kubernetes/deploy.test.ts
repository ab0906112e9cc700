// What deploy/ holds, as a cluster takes it: built by kustomize, applied to a real API server, in a namespace that enforces restricted
// Pod Security; and the chart, where Helm is at hand.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";
import { kind, type Kind } from "../../src/operator/cluster/kinds.ts";
import type { KubeObject, Workload } from "../../src/operator/cluster/kube-object.ts";
import { OPERATOR_RIGHTS } from "../../src/operator/rights.ts";
import { peer, skipWithout } from "../peers.ts";
import { skipWithoutCluster } from "./cluster/binaries.ts";
import { startTestCluster, type TestCluster } from "./cluster/test-cluster.ts";

interface AccessReview extends KubeObject {
  spec: unknown;
  status?: { allowed?: boolean };
}
const ACCESS: Kind<AccessReview> = kind(
  "authorization.k8s.io/v1",
  "SubjectAccessReview",
  "subjectaccessreviews",
  { namespaced: false },
);

const DEPLOY = join(import.meta.dirname, "../../deploy");
const skip = skipWithoutCluster();
const skipHelm = skip || skipWithout("helm");

let cluster: TestCluster;
before(async () => {
  if (skip === false) cluster = await startTestCluster();
});
after(async () => await cluster?.stop());

async function build(folder: string): Promise<string> {
  const { stdout, stderr, code } = await cluster.kubectl("kustomize", join(DEPLOY, folder));
  assert.equal(code, 0, stderr);
  return stdout;
}

function objects(yaml: string): KubeObject[] {
  return parseAllDocuments(yaml)
    .map((each) => each.toJS() as KubeObject | null)
    .filter((each) => each !== null);
}

/** A pod of a Deployment's template, which Pod Security decides about. */
function podOf({ spec, metadata }: Workload): KubeObject {
  const { template } = spec;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...template?.metadata, name: "probe", namespace: metadata.namespace as string },
    spec: template?.spec,
  } as KubeObject;
}

async function runs(yaml: string): Promise<void> {
  const applied = await cluster.kubectlWith(yaml, "apply", "--server-side", "-f", "-");
  assert.equal(applied.code, 0, applied.stderr);
  assert.doesNotMatch(applied.stderr, /warning/i);
  const deployment = objects(yaml).find(({ kind }) => kind === "Deployment") as Workload;
  const pod = await cluster.kubectlWith(
    JSON.stringify(podOf(deployment)),
    "apply",
    "--dry-run=server",
    "-f",
    "-",
  );
  assert.equal(pod.code, 0, pod.stderr);
}

test(
  "the base is applied as it is, and its pod is let in where Pod Security is restricted",
  { skip },
  async () => {
    const yaml = await build("base");
    assert.ok(!objects(yaml).some(({ kind }) => kind === "CustomResourceDefinition"));
    await runs(yaml);
    const allowed = async (attributes: object): Promise<boolean> => {
      const review = {
        apiVersion: ACCESS.apiVersion,
        kind: ACCESS.kind,
        metadata: {} as KubeObject["metadata"],
        spec: {
          user: "system:serviceaccount:volsync-system:holdfast",
          resourceAttributes: attributes,
        },
      };
      return (await cluster.api().create(ACCESS, review)).status?.allowed === true;
    };
    for (const { group, resources, verbs } of OPERATOR_RIGHTS) {
      for (const resource of resources) {
        const [plural, subresource] = resource.split("/");
        for (const verb of verbs) {
          const asked = { group, resource: plural, verb, ...(subresource && { subresource }) };
          assert.ok(await allowed(asked), `${verb} ${resource}`);
        }
      }
    }
    const lease = { group: "coordination.k8s.io", resource: "leases", namespace: "volsync-system" };
    assert.ok(await allowed({ ...lease, verb: "update", name: "b95b3104.backube" }));
    assert.ok(!(await allowed({ ...lease, verb: "update", name: "other" })));
    assert.ok(!(await allowed({ group: "", resource: "secrets", verb: "list" })));
    const sources = { group: "volsync.backube", resource: "replicationsources" };
    assert.ok(!(await allowed({ ...sources, verb: "update" })));
  },
);

test(
  "a dry run of the takeover asks about the rights that the base has given",
  { skip },
  async () => {
    await cluster.apply(await build("base"));
    const run = async (...args: string[]): Promise<{ stdout: string; code: number }> =>
      new Promise((resolve) => {
        const words = ["migrate", "volsync", "--kubeconfig", cluster.kubeconfig, ...args];
        execFile(join(DEPLOY, "../bin/holdfast"), words, (error, stdout) =>
          resolve({ stdout, code: error === null ? 0 : Number(error.code) }),
        );
      });
    const { stdout, code } = await run("--dry-run");
    assert.match(stdout, /^Rights: volsync-system\/holdfast has all that it needs$/m);
    assert.equal(code, 0);
    const other = await run("--dry-run", "--json", "--service-account", "volsync-system/default");
    const report = JSON.parse(other.stdout) as { rights: { missing: { right: string }[] } };
    assert.ok(report.rights.missing.some(({ right }) => right === "get secrets"));
    assert.equal(other.code, 3);
    assert.equal((await run()).code, 1, "without --dry-run");
  },
);

test("beside VolSync's own release nothing is ours that is its", { skip }, async () => {
  const title = ({ kind, metadata }: KubeObject): string => `${kind} ${metadata.name}`;
  const all = objects(await build("base")).map(title);
  const beside = objects(await build("beside-volsync")).map(title);
  assert.deepEqual(
    all.filter((one) => !beside.includes(one)),
    ["Namespace volsync-system", "ClusterRole volsync-metrics-reader", "Service volsync-metrics"],
  );
  assert.equal(beside.length, all.length - 3);
});

test("the kinds alone are in the component of the kinds", { skip }, async () => {
  const kinds = objects(await build("crds")).map(({ kind }) => kind);
  assert.deepEqual(kinds, ["CustomResourceDefinition", "CustomResourceDefinition"]);
});

test("the images run as a user that is not root, on the Node of the tests", () => {
  const [plain = "", full = ""] = ["Containerfile", "Containerfile.full"].map((name) =>
    readFileSync(join(DEPLOY, "image", name), "utf8"),
  );
  for (const recipe of [plain, full]) {
    assert.equal(recipe.match(/^USER .*$/gm)?.at(-1), "USER 65532:65532");
  }
  const { devDependencies } = JSON.parse(readFileSync(join(DEPLOY, "../package.json"), "utf8")) as {
    devDependencies: { node: string };
  };
  const nodes = `${plain}${full}`.match(/library\/node:[\d.]+/g) ?? [];
  assert.deepEqual([...new Set(nodes)], [`library/node:${devDependencies.node}`]);
});

test("what the recipe of the image copies is there, and let in", () => {
  const root = join(DEPLOY, "..");
  const recipe = readFileSync(join(DEPLOY, "image/Containerfile"), "utf8");
  const ignored = readFileSync(join(root, ".dockerignore"), "utf8").trim().split("\n");
  const letIn = ignored.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
  assert.equal(ignored[0], "*");
  for (const name of letIn) assert.ok(existsSync(join(root, name)), name);
  const made = ["dist", "node_modules"];
  const copies = [...recipe.matchAll(/^COPY (--from=build )?(.+) \S+$/gm)];
  assert.equal(copies.length, 6);
  for (const [, from, words = ""] of copies) {
    for (const word of words.split(" ").filter((each) => each !== ".")) {
      const name = word.replace(/^\/src\//, "");
      assert.ok(letIn.includes(name) || (from !== undefined && made.includes(name)), name);
    }
  }
  // What the build reads beside these: its own script, the sources, and what tells the compiler how.
  for (const needed of ["src", "scripts", "bin", "tsconfig.json", "tsconfig.build.json"])
    assert.ok(letIn.includes(needed), needed);
});

test("the chart gives what the base gives", { skip: skipHelm }, async () => {
  const template = async (...args: string[]): Promise<string> =>
    (
      await promisify(execFile)(
        peer("helm").path,
        [
          "template",
          "volsync",
          join(DEPLOY, "chart"),
          "--kube-version",
          "1.36.0",
          "--namespace",
          "volsync-chart",
          ...args,
        ],
        { maxBuffer: 64 << 20 },
      )
    ).stdout;
  await cluster.namespace({ name: "volsync-chart" });
  await cluster.namespace({ name: "shop" });
  const whole = await template();
  assert.equal(objects(whole).filter(({ kind }) => kind === "CustomResourceDefinition").length, 2);
  await runs(await template("--set", "manageCRDs=false"));
  const names = objects(whole).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  assert.ok(names.includes("Service volsync-metrics"));
  const narrow = await template("--set", "watchNamespaces={shop}", "--set", "manageCRDs=false");
  await runs(narrow);
  const wide = objects(narrow).find(
    ({ kind, metadata }) => kind === "ClusterRole" && metadata.name === "volsync-holdfast",
  ) as unknown as { rules: { resources: string[] }[] };
  assert.ok(!wide.rules.some(({ resources }) => resources.includes("secrets")));
  await assert.rejects(template("--set", "mode=bold"), /mode/);
  // The tag is a value of its own: a second one would make no name of an image.
  const named = (repository: string): string[] => ["--set", `image.repository=${repository}`];
  await assert.rejects(template(...named("registry.test/holdfast:1")), /repository/);
  assert.match(await template(...named("registry.test:5000/holdfast")), /:5000\/holdfast:\d/);
});
