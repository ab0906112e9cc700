// What the operator costs with many resources: node scripts/run.mjs bench/operator.ts [--resources 500] [--idle 60] [--triggers 100] [--heavy 0]
// With --heavy each claim and each resource bears so many kilobytes of annotations that are no business of the operator's.
// The API server is our double in this process; the operator is the real program in another one, and is measured there: resident
// memory, CPU time while nothing happens, requests, and how long after a trigger its Job is there. Volumes are used directly, so
// no time of a storage is in it.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { CLAIM, JOB, SECRET } from "../src/operator/cluster/kinds.ts";
import { ANNOTATION, LABEL } from "../src/operator/names.ts";
import { allCrds } from "../src/operator/resources/crds.ts";
import { REPLICATION_SOURCE } from "../src/operator/resources/replication-source.ts";
import { startApiDouble } from "../test/kubernetes/api-double.ts";

const { values: given } = parseArgs({
  options: {
    resources: { type: "string", default: "500" },
    idle: { type: "string", default: "60" },
    triggers: { type: "string", default: "100" },
    heavy: { type: "string", default: "0" },
  },
});
const resources = Number(given.resources);
const idle = Number(given.idle);
const triggers = Math.min(Number(given.triggers), resources);
const heavy = Number(given.heavy) * 1024;

const NAMESPACE_NAME = "odoo";
const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-operator-"));
const double = await startApiDouble({
  namespaces: [NAMESPACE_NAME, "volsync-system"],
  crds: allCrds(),
});
const jobsSeen = new Map<string, number>();
double.play.boundClaims();
double.play.jobPods((job) => {
  jobsSeen.set(job.metadata.name, performance.now());
  const run = job.metadata.labels?.[LABEL.run];
  const verdict = { v: 1, result: "ok", run, snapshot: "5a".repeat(32), files: 3, bytes: 300 };
  return { exit: 0, message: JSON.stringify(verdict), log: "Restic completed in 1s\n" };
});
double.objects.put(SECRET, {
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: "restic-secret", namespace: NAMESPACE_NAME },
  data: {
    RESTIC_REPOSITORY: Buffer.from("gs:bucket:/files").toString("base64"),
    RESTIC_PASSWORD: Buffer.from("password").toString("base64"),
  },
});
const kubeconfig = join(folder, "kubeconfig");
writeFileSync(
  kubeconfig,
  JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "double", cluster: { server: double.url } }],
    users: [{ name: "me", user: { token: "t" } }],
    contexts: [{ name: "double", context: { cluster: "double", user: "me" } }],
    "current-context": "double",
  }),
);
const operator = spawn(
  join(import.meta.dirname, "../bin/holdfast"),
  ["operator", "run", "--namespace", "volsync-system", "--image", "holdfast:bench"],
  { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, KUBECONFIG: kubeconfig } },
);
const { pid } = operator;

interface Use {
  readonly residentMb: number;
  readonly cpuSeconds: number;
}

function use(): Use {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const [, kb] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  // Clock ticks of user and system time, 100 a second.
  return {
    residentMb: Number(kb) / 1024,
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100,
  };
}

async function until(what: string, holds: () => boolean, seconds = 300): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`${what} has not come`);
    if (operator.exitCode !== null) throw new Error("the operator has ended");
    await sleep(100);
  }
}

function ended(): number {
  return double.objects
    .list(REPLICATION_SOURCE)
    .filter(({ status }) => status?.conditions?.[0]?.reason === "WaitingForSchedule").length;
}

function report(name: string, value: string): void {
  console.log(`${name.padEnd(44)} ${value}`);
}

try {
  await until("the watch", () => double.countCalls({ verb: "watch" }) >= 5);
  await sleep(3000);
  report("resident memory, no resource", `${use().residentMb.toFixed(0)} MB`);

  const burden = (name: string): Record<string, string> =>
    heavy === 0
      ? {}
      : { "kubectl.kubernetes.io/last-applied-configuration": name.padEnd(heavy, `{"${name}"}`) };
  const names = Array.from({ length: resources }, (_, i) => `files-${i}`);
  for (const name of names) {
    double.objects.put(CLAIM, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name, namespace: NAMESPACE_NAME, annotations: burden(name) },
      spec: {
        accessModes: ["ReadWriteOnce"],
        storageClassName: "ceph",
        resources: { requests: { storage: "1Gi" } },
      },
    });
  }
  const began = performance.now();
  const before = double.calls.length;
  for (const name of names) {
    double.objects.put(REPLICATION_SOURCE, {
      apiVersion: "volsync.backube/v1alpha1",
      kind: "ReplicationSource",
      metadata: { name, namespace: NAMESPACE_NAME, annotations: burden(name) },
      spec: {
        sourcePVC: name,
        trigger: { schedule: "0 4 * * *" },
        restic: { repository: "restic-secret", copyMethod: "Direct", retain: { daily: 7 } },
      },
    });
  }
  await until("the first run of all", () => ended() === resources);
  report(`first run of ${resources}`, `${((performance.now() - began) / 1000).toFixed(1)} s`);
  report("requests of each", ((double.calls.length - before) / resources).toFixed(1));
  const busy = use();
  report("resident memory, after that", `${busy.residentMb.toFixed(0)} MB`);

  await sleep(5000);
  const quiet = use();
  const asked = double.calls.length;
  await sleep(idle * 1000);
  const later = use();
  report(`CPU in ${idle} s of rest`, `${(later.cpuSeconds - quiet.cpuSeconds).toFixed(2)} s`);
  report(`requests in ${idle} s of rest`, String(double.calls.length - asked));
  report("resident memory, at rest", `${later.residentMb.toFixed(0)} MB`);

  const trigger = (name: string, value: string): number => {
    double.objects.update(REPLICATION_SOURCE, NAMESPACE_NAME, name, (source) => {
      source.metadata.annotations = { ...source.metadata.annotations, [ANNOTATION.trigger]: value };
    });
    return performance.now();
  };
  const alone: number[] = [];
  for (const name of names.slice(0, triggers)) {
    const job = `volsync-src-${name}`;
    jobsSeen.delete(job);
    const at = trigger(name, "one by one");
    await until("the Job", () => jobsSeen.has(job));
    alone.push(jobsSeen.get(job)! - at);
    await until("the end", () => ended() === resources && double.objects.list(JOB).length === 0);
  }
  report(`trigger to Job, one by one (${triggers})`, quantiles(alone));
  jobsSeen.clear();
  const at = names.map((name) => trigger(name, "all at once"));
  await until("all Jobs", () => jobsSeen.size === resources);
  const together = names.map((name, i) => jobsSeen.get(`volsync-src-${name}`)! - at[i]!);
  report(`trigger to Job, all ${resources} at once`, quantiles(together));
  await until("the end", () => ended() === resources);
  report("resident memory, at the end", `${use().residentMb.toFixed(0)} MB`);
} finally {
  operator.kill("SIGTERM");
  await double.close();
  rmSync(folder, { recursive: true, force: true });
}

function quantiles(milliseconds: number[]): string {
  const sorted = milliseconds.toSorted((a, b) => a - b);
  const at = (quantile: number): string =>
    `${sorted[Math.ceil(quantile * sorted.length) - 1]!.toFixed(0)} ms`;
  return `p50 ${at(0.5)}, p99 ${at(0.99)}`;
}
