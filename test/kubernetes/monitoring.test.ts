// What ships for Prometheus and Grafana: the rules are right by promtool and fire when they should, and every metric that rules,
// dashboard and documentation name is one that the operator has.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parse, stringify } from "yaml";
import { EXTERNAL } from "../../src/operator/names.ts";
import { OperatorMetrics } from "../../src/operator/signals/metrics.ts";
import { FakeClock } from "../fake-clock.ts";
import { peer, type PeerName } from "../peers.ts";
import { readExposition } from "./exposition.ts";

const ROOT = join(import.meta.dirname, "../..");
const MONITORING = join(ROOT, "deploy/monitoring");

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** Metrics of an operator with one resource of each role in which everything is there. */
function everything(): string {
  const clock = new FakeClock();
  const metrics = new OperatorMetrics({
    clock,
    processUse: () => ({ residentBytes: 1, cpuSeconds: 1 }),
  });
  const now = new Date(clock.now()).toISOString();
  const resource = {
    apiVersion: "volsync.backube/v1alpha1",
    kind: "ReplicationSource",
    metadata: { name: "files", namespace: "odoo" },
    spec: { restic: {}, trigger: { schedule: "0 4 * * *" } },
    status: {
      lastSyncTime: now,
      lastSyncStartTime: now,
      lastSyncDuration: "3s",
      conditions: [
        {
          type: "Synchronizing",
          status: "True",
          reason: "SyncInProgress",
          message: "",
          lastTransitionTime: now,
        },
        {
          type: "Problem",
          status: "True",
          reason: "SourceEmpty",
          message: "",
          lastTransitionTime: now,
        },
      ],
      external: {
        [EXTERNAL.pointInTime]: now,
        [EXTERNAL.failures]: "1",
        [EXTERNAL.facts]: '{"files":1,"bytes":1,"added":1,"snapshots":1,"locks":0}',
      },
    },
  } as const;
  for (const observe of ["observeSource", "observeDestination"] as const) {
    metrics[observe]({ ...resource, status: {} });
    metrics[observe](resource);
  }
  metrics.watchQueue("sources", () => 0);
  metrics.reconciled("sources", 1, true);
  metrics.watchFailed();
  metrics.refused("pods", "403");
  return metrics.text();
}

const METRIC = /\b(?:holdfast|volsync)_[a-z_]+\b/g;

function familiesOf(text: string): Set<string> {
  return new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!));
}

test("every metric that rules, dashboard and documentation name exists, and each is documented", () => {
  const families = familiesOf(everything());
  const page = read("docs/operations/kubernetes-signals.md");
  for (const text of [
    read("deploy/monitoring/prometheusrule.yaml"),
    read("deploy/monitoring/grafana-dashboard.json"),
    page,
  ]) {
    for (const [name] of text.matchAll(METRIC)) assert.ok(families.has(name), name);
  }
  const documented = new Set([...page.matchAll(METRIC)].map(([name]) => name));
  const missing = [...families].filter(
    (name) => !documented.has(name) && !name.startsWith("process"),
  );
  assert.deepEqual(missing, []);
});

test("promtool takes the metrics", { skip: peer("promtool").skip }, () => {
  const text = everything();
  assert.ok(readExposition(text).length > 50);
  run("promtool", ["check", "metrics"], text);
});

test(
  "promtool takes the rules, and they fire when they should",
  { skip: peer("promtool").skip },
  (t) => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-rules-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const resource = parse(readFileSync(join(MONITORING, "prometheusrule.yaml"), "utf8")) as {
      spec: unknown;
    };
    writeFileSync(join(folder, "rules.yaml"), stringify(resource.spec));
    writeFileSync(join(folder, "tests.yaml"), read("deploy/monitoring/prometheusrule.test.yaml"));
    run("promtool", ["check", "rules", join(folder, "rules.yaml")]);
    run("promtool", ["test", "rules", join(folder, "tests.yaml")]);
  },
);

test("what is to be scraped is the Service of the base, as the chart has it scraped", () => {
  const monitor = parse(read("deploy/monitoring/servicemonitor.yaml")) as {
    metadata: { namespace: string };
    spec: { endpoints: { port: string }[]; selector: { matchLabels: Record<string, string> } };
  };
  const service = parse(read("deploy/base/service.yaml")) as {
    metadata: { labels: Record<string, string> };
    spec: { ports: { name: string }[] };
  };
  assert.equal(monitor.metadata.namespace, "volsync-system");
  for (const [label, value] of Object.entries(monitor.spec.selector.matchLabels))
    assert.equal(service.metadata.labels[label], value);
  assert.deepEqual(
    monitor.spec.endpoints.map(({ port }) => port),
    service.spec.ports.map(({ name }) => name),
  );
  const [, chart = ""] =
    /kind: ServiceMonitor[^]*?(\n {2}endpoints:[^]*?)\n {2}selector:/.exec(
      read("deploy/chart/templates/network.yaml"),
    ) ?? [];
  const { endpoints } = parse(chart) as { endpoints: unknown };
  assert.deepEqual(monitor.spec.endpoints, endpoints);
});

/** Fails with all that the program printed. */
function run(name: PeerName, args: readonly string[], input = ""): void {
  try {
    execFileSync(peer(name).path, args, { input, stdio: "pipe" });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: Buffer; stderr?: Buffer };
    assert.fail(`${args.join(" ")}:\n${String(stdout)}${String(stderr)}`);
  }
}
