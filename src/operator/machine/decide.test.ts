// The state machine by itself: a table of what follows from what, and walks in which looks are cut off, writes are lost and views are
// old, after which every trigger was answered by a successful run, and none by two.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { ANNOTATION, EXTERNAL, type Role } from "../names.ts";
import { decide, type SeenJob } from "./decide.ts";
import {
  beginStatus,
  failureStatus,
  idleStatus,
  runningStatus,
  successStatus,
  type StatusStep,
} from "./next-status.ts";
import { pinnedPlan, planRun } from "./plan-run.ts";
import type { SyncResource, SyncStatus } from "./sync-resource.ts";

const START = Date.UTC(2026, 10, 26, 10);

function resourceOf(more: Partial<SyncResource> = {}, annotations = {}): SyncResource {
  return {
    apiVersion: "volsync.backube/v1alpha1",
    kind: "ReplicationSource",
    metadata: {
      name: "files",
      namespace: "n",
      uid: "u",
      generation: 1,
      creationTimestamp: "2026-11-26T09:00:00Z",
      annotations,
    },
    spec: { trigger: { manual: "a" } },
    ...more,
  };
}

const CLEANING: SyncStatus = {
  lastSyncTime: "2026-11-26T09:30:00Z",
  lastManualSync: "a",
  conditions: [
    {
      type: "Synchronizing",
      status: "False",
      reason: "CleaningUp",
      message: "Cleaning up",
      lastTransitionTime: "2026-11-26T09:30:00Z",
    },
  ],
};

function pinned(more: Record<string, string> = {}): SyncResource {
  const resource = resourceOf();
  const plan = planRun({
    resource,
    role: "source",
    cause: { kind: "manual", tag: "a" },
    secretHash: "h",
    defaultMode: "compat",
    now: START,
    id: "run1",
  });
  const status = beginStatus(
    { resource, role: "source", now: START },
    { plan, problem: undefined },
  );
  return { ...resource, status: { ...status, external: { ...status.external, ...more } } };
}

const job = (kind: SeenJob["kind"], more: Partial<SeenJob> = {}): SeenJob => ({
  kind,
  uid: "j1",
  run: "run1",
  isLeaving: false,
  ...more,
});

suite("what follows from what", () => {
  const later = { [EXTERNAL.retryAt]: "2026-11-26T11:00:00Z" };
  const rows: [string, SyncResource, SeenJob | undefined, string][] = [
    ["new", resourceOf(), undefined, "begin"],
    ["new, with a Job of before", resourceOf(), job("running"), "clean"],
    ["pinned", pinned(), undefined, "attempt"],
    ["its Job runs", pinned(), job("running"), "watch"],
    ["its Job is being deleted", pinned(), job("failed", { isLeaving: true }), "watch"],
    ["its Job succeeded", pinned(), job("succeeded"), "finish"],
    ["its Job failed", pinned(), job("failed"), "fail"],
    ["the failure is counted", pinned({ [EXTERNAL.failedJob]: "j1" }), job("failed"), "discard"],
    ["a Job of another run", pinned(), job("succeeded", { run: "run0" }), "discard"],
    ["a Job of VolSync", pinned(), job("succeeded", { run: undefined }), "finish"],
    ["waits for the next attempt", pinned(later), undefined, "hold"],
    ["the run is over", resourceOf({ status: CLEANING }), job("succeeded"), "clean"],
    ["its Job is gone already", resourceOf({ status: CLEANING }), undefined, "clean"],
    [
      "VolSync began it",
      resourceOf({ status: { lastSyncStartTime: "2026-11-26T09:00:00Z" } }),
      job("running", { run: undefined }),
      "adopt",
    ],
    [
      "VolSync went on with what we began",
      { ...pinned(), status: { ...pinned().status, lastSyncStartTime: "2026-11-26T12:00:00Z" } },
      undefined,
      "adopt",
    ],
  ];
  for (const [name, resource, seen, expected] of rows) {
    test(`${name}: ${expected}`, () => {
      const decision = decide({ resource, role: "source", now: START, job: seen });
      assert.equal(decision.kind, expected);
    });
  }

  test("a change of the resource ends the wait for the next attempt, once", () => {
    const waiting = pinned(later);
    const changed = { ...waiting, metadata: { ...waiting.metadata, generation: 2 } };
    const seen = { role: "source", now: START, job: undefined } as const;
    assert.equal(decide({ resource: changed, ...seen }).kind, "retry");
  });
});

/** A cluster of one resource and one Job, and an operator that may be cut off anywhere. */
class World {
  readonly role: Role;
  resource: SyncResource;
  job: SeenJob | undefined;
  now = START;
  /** Runs that succeeded: tag and annotation that their plans answer. */
  readonly ended: { manual: string | undefined; trigger: string | undefined }[] = [];
  #old: { resource: SyncResource; job: SeenJob | undefined };
  #ids = 0;
  #jobPlan: string | undefined;
  readonly #succeeded = new Set<string>();

  constructor(role: Role) {
    this.role = role;
    this.resource = resourceOf();
    this.#old = { resource: this.resource, job: undefined };
  }

  /** The caches have everything that happened so far: each in its own time. */
  catchUp(what?: "resource" | "job"): void {
    if (what !== "job") this.#old = { ...this.#old, resource: this.resource };
    if (what !== "resource") this.#old = { ...this.#old, job: this.job };
  }

  newValue(): string {
    return `value ${++this.#ids}`;
  }

  spec(trigger: object): void {
    const { metadata } = this.resource;
    const generation = (metadata.generation ?? 0) + 1;
    this.resource = { ...this.resource, metadata: { ...metadata, generation }, spec: { trigger } };
  }

  annotate(value: string): void {
    const { metadata } = this.resource;
    const annotations = { [ANNOTATION.trigger]: value };
    this.resource = { ...this.resource, metadata: { ...metadata, annotations } };
  }

  endJob(kind: "succeeded" | "failed"): void {
    if (this.job?.kind !== "running") return;
    this.job = { ...this.job, kind };
    if (kind === "failed") return;
    const plan = this.#jobPlan ?? "";
    assert.ok(!this.#succeeded.has(plan), "one run succeeded twice");
    this.#succeeded.add(plan);
  }

  /** One decision and what it does. `lost`: what would be written never arrives. */
  look({ lost = false } = {}): string {
    const written = this.#lookAt(this.#old.resource, lost);
    // What was written is gone on with, though no cache has it yet.
    return written === "pinned" ? this.#lookAt(this.resource, lost) : written;
  }

  #lookAt(given: SyncResource, lost: boolean): string {
    const { job: seen } = this.#old;
    let resource = given;
    const at = { role: this.role, now: this.now };
    let decision = decide({ resource, ...at, job: seen });
    if (["attempt", "discard", "clean", "finish"].includes(decision.kind)) {
      resource = this.resource;
      decision = decide({ resource, ...at, job: seen });
    }
    const step: StatusStep = { resource, ...at };
    const write = (status: SyncStatus): void => {
      if (lost || resource !== this.resource) return;
      this.resource = { ...resource, status };
    };
    const remove = (): void => {
      if (lost || this.job === undefined || this.job.uid !== seen?.uid) return;
      const { kind, run } = this.job;
      const isAtWork = kind === "running" && run === pinnedPlan(this.resource)?.id;
      assert.ok(!isAtWork, "a mover that is at work was removed");
      this.job = undefined;
    };
    switch (decision.kind) {
      case "begin":
      case "adopt":
      case "retry": {
        const before = decision.kind === "retry" ? decision.plan : undefined;
        const { cause } = decision.kind === "retry" ? decision.plan : decision;
        const id = before?.id ?? `run${++this.#ids}`;
        const hash = { secretHash: "h", defaultMode: "compat" } as const;
        const plan = planRun({ resource, ...at, cause, ...hash, id, started: before?.started });
        const isRetry = before !== undefined;
        write(beginStatus(step, { plan, problem: undefined, isRetry }));
        if (pinnedPlan(this.resource)?.id === id) return "pinned";
        break;
      }
      case "attempt":
        if (lost || this.job !== undefined) break;
        assert.ok(!this.#succeeded.has(decision.plan.id), "a run that succeeded is begun again");
        this.#jobPlan = decision.plan.id;
        this.job = {
          kind: "running",
          uid: `j${++this.#ids}`,
          run: this.#jobPlan,
          isLeaving: false,
        };
        break;
      case "finish": {
        const { plan } = decision;
        const end = { plan, verdict: undefined, logs: "", problem: undefined, pruned: false };
        if (!lost && resource === this.resource) {
          this.ended.push({ manual: plan.manualTag, trigger: plan.trigger });
        }
        write(successStatus(step, { ...end, pointInTime: undefined, unlocked: false }));
        break;
      }
      case "fail": {
        const problem = { reason: "X", message: "x" };
        const { plan } = decision;
        const end = { plan, verdict: undefined, logs: "", problem, jobUid: seen?.uid ?? "" };
        write(failureStatus(step, end));
        break;
      }
      case "discard":
        remove();
        break;
      case "clean":
        remove();
        if (this.job === undefined) write(idleStatus(step, undefined));
        break;
      case "idle":
        write(idleStatus(step, undefined));
        break;
      case "hold":
      case "watch":
        write(runningStatus(step, undefined));
        break;
    }
    return decision.kind;
  }

  /** Everything works from now on: until nothing is left to do. */
  settle(): void {
    for (let i = 0; i < 60; i++) {
      this.catchUp();
      const kind = this.look();
      this.catchUp();
      if (kind === "watch") this.endJob("succeeded");
      if (kind === "hold") this.now += 3_600_000;
      if (kind === "idle") return;
    }
    assert.fail(`never at rest: ${JSON.stringify(this.resource.status)}`);
  }
}

// Often enough the cache of resources is the one that lags: that is where a run could be begun twice.
const action = fc.oneof(
  { weight: 12, arbitrary: fc.constant("look" as const) },
  { weight: 10, arbitrary: fc.constant("see Job" as const) },
  { weight: 3, arbitrary: fc.constantFrom("see resource" as const, "look, and lose it" as const) },
  { weight: 3, arbitrary: fc.constant("succeed" as const) },
  fc.constantFrom("fail" as const, "hour" as const),
  fc.constantFrom("tag" as const, "annotate" as const),
);

function take(world: World, name: string): void {
  if (name === "look") world.look();
  else if (name === "look, and lose it") world.look({ lost: true });
  else if (name === "see Job") world.catchUp("job");
  else if (name === "see resource") world.catchUp("resource");
  else if (name === "succeed") world.endJob("succeeded");
  else if (name === "fail") world.endJob("failed");
  else if (name === "hour") world.now += 3_600_000;
  else if (name === "tag") world.spec({ manual: world.newValue() });
  else world.annotate(world.newValue());
}

suite("walks", () => {
  for (const role of ["source", "destination"] as const) {
    test(`${role}: no trigger is lost, and no run is made twice`, () => {
      fc.assert(
        fc.property(fc.array(action, { maxLength: 120, size: "max" }), (names) => {
          const world = new World(role);
          for (const name of names) take(world, name);
          world.settle();
          const { spec, status, metadata } = world.resource;
          assert.equal(status?.lastManualSync, spec?.trigger?.manual);
          assert.equal(status?.lastSyncStartTime, undefined);
          assert.equal(pinnedPlan(world.resource), undefined);
          assert.equal(world.job, undefined);
          const value = metadata.annotations?.[ANNOTATION.trigger];
          if (value !== undefined) assert.equal(status?.external?.[EXTERNAL.trigger], value);
          // Each success answers something that none before it has answered.
          let last: { manual?: string | undefined; trigger?: string | undefined } = {};
          for (const end of world.ended) {
            const isNew = end.manual !== last.manual || end.trigger !== last.trigger;
            assert.ok(isNew, `${JSON.stringify(end)} twice in ${JSON.stringify(names)}`);
            last = end;
          }
          const before = world.ended.length;
          world.settle();
          assert.equal(world.ended.length, before, "at rest nothing more runs");
        }),
        { numRuns: 1500 },
      );
    });
  }
});
