// What others say of our resources: kstatus (kubectl, Flux by default) with and without the opt-in conditions, Flux with our CEL,
// Argo CD with our Lua. One table of states; kstatus is written here from its rules, CEL and Lua are run as they are shipped.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Environment } from "@marcbachmann/cel-js";
import { parse } from "yaml";
import type { Condition } from "../../src/operator/cluster/kube-object.ts";
import type { Role } from "../../src/operator/names.ts";
import {
  conditionsFor,
  problemOf,
  type ConditionsInput,
} from "../../src/operator/signals/conditions.ts";
import { peer } from "../peers.ts";

const HEALTH = join(import.meta.dirname, "../../deploy/health");
const NOW = "2026-01-02T03:04:05Z";

interface State {
  readonly name: string;
  readonly spec: {
    readonly trigger?: { readonly manual?: string; readonly schedule?: string };
    readonly paused?: boolean;
  };
  readonly status: {
    readonly lastSyncTime?: string;
    readonly lastManualSync?: string;
    readonly latestMoverStatus?: { readonly result: string };
  };
  readonly synchronizing: ConditionsInput["synchronizing"];
  readonly problem?: ConditionsInput["problem"];
  readonly kstatus: "InProgress" | "Failed" | "Current";
  readonly argo: "Progressing" | "Degraded" | "Healthy" | "Suspended";
}

const nightly = { trigger: { schedule: "0 4 * * *" } };
const manual = { trigger: { manual: "two" } };
const good = { lastSyncTime: NOW, latestMoverStatus: { result: "Successful" } };
const wrongPassword = problemOf({
  code: "WRONG_PASSWORD",
  message: "no key opens",
  hint: "Set it",
});

const STATES: readonly State[] = [
  {
    name: "the first run goes on",
    spec: nightly,
    status: {},
    synchronizing: "SyncInProgress",
    kstatus: "InProgress",
    argo: "Progressing",
  },
  {
    name: "waiting after a good run",
    spec: nightly,
    status: good,
    synchronizing: "WaitingForSchedule",
    kstatus: "Current",
    argo: "Healthy",
  },
  {
    name: "a routine run",
    spec: nightly,
    status: good,
    synchronizing: "SyncInProgress",
    kstatus: "Current",
    argo: "Healthy",
  },
  {
    name: "cleaning up",
    spec: nightly,
    status: good,
    synchronizing: "CleaningUp",
    kstatus: "Current",
    argo: "Healthy",
  },
  {
    name: "a good run that warns",
    spec: nightly,
    status: good,
    synchronizing: "WaitingForSchedule",
    problem: problemOf({ code: "SOURCE_EMPTY", message: "nothing there" }),
    kstatus: "Current",
    argo: "Healthy",
  },
  {
    name: "the first run fails again and again",
    spec: nightly,
    status: { latestMoverStatus: { result: "Failed" } },
    synchronizing: "SyncInProgress",
    problem: wrongPassword,
    kstatus: "Failed",
    argo: "Degraded",
  },
  {
    name: "a later run fails",
    spec: nightly,
    status: { lastSyncTime: NOW, latestMoverStatus: { result: "Failed" } },
    synchronizing: "SyncInProgress",
    problem: wrongPassword,
    kstatus: "Failed",
    argo: "Degraded",
  },
  {
    name: "nothing can be begun",
    spec: nightly,
    status: {},
    synchronizing: { error: "no such Secret" },
    kstatus: "Failed",
    argo: "Degraded",
  },
  {
    name: "an error after good runs",
    spec: nightly,
    status: good,
    synchronizing: { error: "no such Secret" },
    kstatus: "Failed",
    argo: "Degraded",
  },
  {
    name: "another tag than the last",
    spec: manual,
    status: { ...good, lastManualSync: "one" },
    synchronizing: "SyncInProgress",
    kstatus: "InProgress",
    argo: "Progressing",
  },
  {
    name: "the tag is answered",
    spec: manual,
    status: { ...good, lastManualSync: "two" },
    synchronizing: "WaitingForManual",
    kstatus: "Current",
    argo: "Healthy",
  },
  {
    name: "paused before the first run",
    spec: { ...nightly, paused: true },
    status: {},
    synchronizing: "WaitingForSchedule",
    kstatus: "Current",
    argo: "Suspended",
  },
];

function conditionsOf(state: State, role: Role, withHealth: boolean): Condition[] {
  const { spec, status } = state;
  const tag = spec.trigger?.manual;
  const health = {
    synced: status.lastSyncTime !== undefined,
    manualPending: tag !== undefined && tag !== status.lastManualSync,
    failed: status.latestMoverStatus?.result === "Failed",
    paused: spec.paused === true,
  };
  return conditionsFor({
    role,
    synchronizing: state.synchronizing,
    problem: state.problem,
    previous: undefined,
    now: NOW,
    generation: 3,
    ...(withHealth ? { health } : {}),
  });
}

function objectOf(
  state: State,
  kind: string,
  conditions: readonly Condition[],
): Record<string, unknown> {
  return {
    apiVersion: "volsync.backube/v1alpha1",
    kind,
    metadata: { name: "files", namespace: "odoo", generation: 3 },
    spec: state.spec,
    status: { ...state.status, conditions },
  };
}

/** kstatus: deletion, observedGeneration, Reconciling, Stalled, Ready, in that order; otherwise Current. */
function kstatus(conditions: readonly Condition[]): string {
  const is = (type: string): string | undefined =>
    conditions.find((condition) => condition.type === type)?.status;
  if (is("Reconciling") === "True") return "InProgress";
  if (is("Stalled") === "True") return "Failed";
  const ready = is("Ready");
  return ready === "False" || ready === "Unknown" ? "InProgress" : "Current";
}

const KINDS = [
  ["source", "ReplicationSource"],
  ["destination", "ReplicationDestination"],
] as const;

test("kstatus: without the annotation as with VolSync, with it what really holds", () => {
  for (const state of STATES) {
    for (const [role] of KINDS) {
      assert.equal(kstatus(conditionsOf(state, role, false)), "Current", state.name);
      assert.equal(kstatus(conditionsOf(state, role, true)), state.kstatus, state.name);
    }
  }
});

test("conditions: Synchronizing first and VolSync's, Problem second, times kept, others' kept", () => {
  const other: Condition = {
    type: "Other/x",
    status: "True",
    reason: "R",
    message: "",
    lastTransitionTime: "2020-01-01T00:00:00Z",
  };
  const input = {
    role: "source",
    synchronizing: "WaitingForSchedule",
    now: NOW,
    generation: 3,
  } as const;
  const first = conditionsFor({ ...input, previous: [other] });
  assert.deepEqual(first[0], {
    type: "Synchronizing",
    status: "False",
    reason: "WaitingForSchedule",
    message: "Waiting for next scheduled synchronization",
    lastTransitionTime: NOW,
  });
  assert.deepEqual(
    [first[1]?.type, first[1]?.status, first[1]?.reason],
    ["Problem", "False", "None"],
  );
  assert.deepEqual(first[2], other);
  const later = "2026-01-03T00:00:00Z";
  const health = { synced: true, manualPending: false, failed: false, paused: false };
  const second = conditionsFor({
    ...input,
    now: later,
    synchronizing: "CleaningUp",
    previous: first,
    health,
    problem: wrongPassword,
  });
  assert.deepEqual(
    second.map(({ type, lastTransitionTime }) => [type, lastTransitionTime]),
    [
      ["Synchronizing", NOW],
      ["Problem", later],
      ["Ready", later],
      ["Reconciling", later],
      ["Stalled", later],
      ["Other/x", other.lastTransitionTime],
    ],
  );
  assert.equal(second[1]?.message, "no key opens. Set it");
  const third = conditionsFor({ ...input, now: later, previous: second });
  assert.deepEqual(
    third.map(({ type }) => type),
    ["Synchronizing", "Problem", "Other/x"],
  );
});

test("a hostile text is one bounded line, and a code that a pod made up is none", () => {
  const message = `\u001b[31mred\n${"ü".repeat(2000)}`;
  const problem = problemOf({ code: "EVIL\nCODE" as "BUG", message });
  assert.equal(problem.reason, "MoverFailed");
  assert.ok(Buffer.byteLength(problem.message) <= 1024);
  assert.match(problem.message, /^\[31mred ü+…$/);
});

test("Flux, with the expressions that we ship", () => {
  const { healthCheckExprs } = parse(readFileSync(join(HEALTH, "flux.yaml"), "utf8")) as {
    healthCheckExprs: { kind: string; failed: string; current: string }[];
  };
  const cel = new Environment({ unlistedVariablesAreDyn: true });
  for (const [role, kind] of KINDS) {
    const { failed, current } = healthCheckExprs.find((one) => one.kind === kind)!;
    for (const state of STATES) {
      const object = objectOf(state, kind, conditionsOf(state, role, false));
      // Flux asks in this order, and takes InProgress when nothing is true.
      const is = (expression: string): boolean => cel.evaluate(expression, object) === true;
      const verdict = is(failed) ? "Failed" : is(current) ? "Current" : "InProgress";
      assert.equal(verdict, state.kstatus, `${kind}: ${state.name}`);
    }
  }
});

test("Argo CD, with the Lua that we ship", { skip: peer("lua").skip }, () => {
  const { data } = parse(readFileSync(join(HEALTH, "argocd-cm.yaml"), "utf8")) as {
    data: Record<string, string>;
  };
  for (const [role, kind] of KINDS) {
    const lua = data[`resource.customizations.health.volsync.backube_${kind}`]!;
    const programs = STATES.map((state) => {
      const object = objectOf(state, kind, conditionsOf(state, role, false));
      return `(function() local obj = ${luaOf(object)}\nreturn (function()\n${lua}\nend)() end)()`;
    });
    const script = programs.map((program) => `print((${program}).status)`).join("\n");
    const out = execFileSync(peer("lua").path, ["-"], { input: script, encoding: "utf8" });
    const expected = STATES.map(({ argo }) => argo);
    assert.deepEqual(out.trim().split("\n"), expected, kind);
  }
});

/** A JSON value as Lua writes it. */
function luaOf(value: unknown): string {
  if (Array.isArray(value)) return `{${value.map(luaOf).join(",")}}`;
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).filter(([, field]) => field !== undefined);
    return `{${fields.map(([name, field]) => `["${name}"]=${luaOf(field)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}
