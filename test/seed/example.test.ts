// deploy/example/ is what the guide says of it, where the guide does not print its manifests: built by kustomize as Flux builds
// it, and compared with the guide's words.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { parse, parseAllDocuments } from "yaml";
import { scheduleOf } from "../../src/operator/machine/next-sync.ts";
import { readReplicationDestination } from "../../src/operator/resources/replication-destination.ts";
import { readReplicationSource } from "../../src/operator/resources/replication-source.ts";
import { peer, skipWithout } from "../peers.ts";
import { program } from "../sops-keys/programs.ts";
import { blockOf, readGuide } from "./read-guide.ts";

const DEPLOY = join(import.meta.dirname, "..", "..", "deploy");
const EXAMPLE = join(DEPLOY, "example");
const APPS = join(EXAMPLE, "kubernetes", "apps");
const ODOO = join(APPS, "base", "business-system", "odoo");
const guide = readGuide();
const said = (line: number): string => guide.lines[line - 1]!.text;

/** What the tests look at of any of these kinds. */
interface Spec {
  readonly sourcePVC: string;
  readonly trigger: unknown;
  readonly restic: {
    readonly repository: string;
    readonly copyMethod: string;
    readonly cacheCapacity: string;
    readonly retain: Readonly<Record<string, number>>;
  };
  readonly path: string;
  readonly prune: boolean;
  readonly dependsOn: readonly { readonly name: string; readonly namespace?: string }[];
  readonly healthCheckExprs: readonly unknown[];
}

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: Spec;
  readonly stringData?: Readonly<Record<string, string>>;
}

function build(folder: string): Manifest[] {
  const text = execFileSync(peer("kubectl").path, ["kustomize", folder], { encoding: "utf8" });
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

function read(path: string): Manifest {
  return parse(readFileSync(path, "utf8")) as Manifest;
}

suite("the example's manifests", () => {
  test("the ReplicationSource is the guide's", () => {
    const source = read(join(ODOO, "app", "replicationsource.yaml"));
    assert.deepEqual(source.metadata, { name: "odoo-filestore", namespace: "business-system" });
    const { sourcePVC, trigger, restic } = source.spec!;
    assert.ok(said(3).includes(`\`${sourcePVC}\``));
    assert.deepEqual(trigger, { schedule: "0 4 * * *" });
    const { daily, weekly, monthly } = restic.retain;
    assert.ok(said(98).includes(`${daily} daily, ${weekly} weekly, ${monthly} monthly`));
    assert.equal(restic.copyMethod, "Snapshot");
    assert.ok(said(100).includes(restic.cacheCapacity));
    assert.ok(blockOf(guide, "Create ReplicationDestination").text.includes(restic.repository));
    assert.equal(readReplicationSource(source).spec.sourcePVC, "odoo-filestore");
  });

  test("the ReplicationDestination is the guide's, letter for letter", () => {
    const path = join(ODOO, "restore", "replicationdestination.yaml");
    const { text } = blockOf(guide, "Create ReplicationDestination");
    assert.equal(readFileSync(path, "utf8"), text);
    assert.equal(readReplicationDestination(parse(text)).spec.restic?.copyMethod, "Direct");
  });

  test("the Secret has the guide's keys, and nothing secret", () => {
    const { stringData, metadata } = read(join(ODOO, "app", "secret-filestore-restic.enc.yaml"));
    assert.equal(metadata.name, "odoo-filestore-restic");
    assert.ok(said(89).includes(`\`${stringData!["RESTIC_REPOSITORY"]}\``));
    for (const key of ["RESTIC_PASSWORD", "RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS"]) {
      assert.match(stringData![key]!, /^REPLACE-WITH-/);
    }
    assert.equal(stringData!["RCLONE_CONFIG_GCS_TYPE"], "google cloud storage");
  });

  test("4:00 UTC is 15:00 in Sydney in summer alone; the other schedule is so all year", () => {
    const hour = (at: number): string =>
      new Intl.DateTimeFormat("en", {
        timeZone: "Australia/Sydney",
        hour: "numeric",
        hourCycle: "h23",
      }).format(at);
    const after = (schedule: string, at: string): string =>
      hour(scheduleOf(schedule).next(Date.parse(at))!);
    assert.equal(after("0 4 * * *", "2026-12-01T00:00:00Z"), "15");
    assert.equal(after("0 4 * * *", "2026-07-01T00:00:00Z"), "14");
    const local = "CRON_TZ=Australia/Sydney 0 15 * * *";
    assert.equal(after(local, "2026-12-01T00:00:00Z"), "15");
    assert.equal(after(local, "2026-07-01T00:00:00Z"), "15");
  });

  test("its health expressions are those of deploy/health/flux.yaml", () => {
    const [own] = read(join(ODOO, "ks.yaml")).spec!.healthCheckExprs;
    const all = read(join(DEPLOY, "health", "flux.yaml")) as unknown as {
      healthCheckExprs: { kind: string }[];
    };
    assert.deepEqual(
      own,
      all.healthCheckExprs.find(({ kind }) => kind === "ReplicationSource"),
    );
  });
});

suite("the example, built by kustomize", { skip: skipWithout("kubectl") }, () => {
  test("the cluster's overlay has the operator, its kinds, and the Kustomization odoo behind them", () => {
    const all = build(join(APPS, "overlays", "production"));
    const odoo = all.find(({ metadata }) => metadata.name === "odoo")!;
    assert.equal(odoo.metadata.namespace, "business-system");
    assert.match(said(116), /kubectl get kustomization -n business-system odoo/);
    const [needed] = odoo.spec!.dependsOn;
    const holdfast = all.find(({ metadata }) => metadata.name === needed!.name)!;
    assert.equal(holdfast.metadata.namespace, needed!.namespace);
    assert.equal(holdfast.spec!.path, "./deploy/base");
    const kinds = all.find(({ metadata }) => metadata.name === holdfast.spec!.dependsOn[0]!.name)!;
    assert.equal(kinds.spec!.path, "./deploy/crds");
    assert.equal(kinds.spec!.prune, false, "with a kind go all its resources");
  });

  test("what these Kustomizations point at is there, and builds", () => {
    const app = build(join(EXAMPLE, read(join(ODOO, "ks.yaml")).spec!.path));
    assert.deepEqual(app.map(({ kind }) => kind).toSorted(), ["ReplicationSource", "Secret"]);
    const apps = read(join(EXAMPLE, "kubernetes", "clusters", "production", "apps.yaml"));
    assert.ok(build(join(EXAMPLE, apps.spec!.path)).length > 3);
    const restore = build(join(ODOO, "restore"));
    assert.deepEqual(
      restore.map(({ kind }) => kind),
      ["ReplicationDestination"],
    );
  });

  test("`kubectl get pods -n volsync-system` is where the operator is", () => {
    assert.match(said(121), /kubectl get pods -n volsync-system/);
    const deployments = build(join(DEPLOY, "base")).filter(({ kind }) => kind === "Deployment");
    assert.deepEqual(
      deployments.map(({ metadata }) => metadata.namespace),
      ["volsync-system"],
    );
  });
});

suite("the example's Terraform", () => {
  const folder = join(EXAMPLE, "terraform", "gcp");
  const all = ["main.tf", "outputs.tf", "variables.tf", "versions.tf"]
    .map((name) => readFileSync(join(folder, name), "utf8"))
    .join("\n");
  const terraform = program("terraform");

  test("it is Terraform's language, in its format", { skip: terraform.skip }, () => {
    execFileSync(terraform.path, ["fmt", "-check", "-recursive", folder], { stdio: "pipe" });
  });

  test("it makes what the guide names", () => {
    for (const name of ["hayden-odoo-backups", "odoo-pg-backup", "backup-encryption"]) {
      assert.ok(all.includes(`"${name}"`), name);
      assert.ok(
        guide.lines.some(({ text }) => text.includes(`\`${name}\``)),
        name,
      );
    }
    assert.match(said(62), /output -raw odoo_backup_sa_key/);
    assert.match(all, /output "odoo_backup_sa_key" \{[^}]*sensitive\s*= true/);
  });

  test("the account may write objects of this bucket, and nothing else", () => {
    const granted = [...all.matchAll(/"(storage\.[\w.]+)"/g)].map(([, right]) => right!);
    assert.deepEqual(
      granted.toSorted((a, b) => (a < b ? -1 : 1)),
      [
        "storage.buckets.get",
        "storage.objects.create",
        "storage.objects.delete",
        "storage.objects.get",
        "storage.objects.list",
      ],
    );
    assert.doesNotMatch(
      all,
      /google_project_iam_(?:member|binding|policy)|roles\/(?:owner|editor|storage)/,
    );
  });
});
