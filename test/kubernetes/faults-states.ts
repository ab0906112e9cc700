// The states of a run in which faults strike: how a world gets into each, is held there, and let go on.

import { EXTERNAL } from "../../src/operator/names.ts";
import { CLAIM, JOB, VOLUME_SNAPSHOT } from "../../src/operator/cluster/kinds.ts";
import type { ApiCall, CallMatch } from "./api-double/faults.ts";
import { badEnd, type FaultWorld, type WorldOptions } from "./fault-world.ts";

export interface FaultState {
  readonly name: string;
  readonly options?: WorldOptions;
  /** Prepares what holds the run there. Called before an operator begins. The result tells when it is there, and lets it go. */
  hold(world: FaultWorld): Held;
}

export interface Held {
  reached(): boolean;
  release(): void;
}

/** The first call that matches is carried out, or answered, when it is let go. */
function gate(world: FaultWorld, match: CallMatch, where: "before" | "after"): Held {
  const { promise, resolve } = Promise.withResolvers<void>();
  const how = where === "before" ? { until: promise } : { answerAfter: promise };
  const fault = world.double.fault(match, how);
  return {
    reached: () => fault.hits > 0,
    release: () => {
      resolve();
      fault.remove();
    },
  };
}

const STATUS = { verb: "update", subresource: "status" } as const;

function writesStatus(says: (status: Record<string, unknown>) => boolean): CallMatch {
  return (call: ApiCall) =>
    call.verb === STATUS.verb &&
    call.subresource === STATUS.subresource &&
    ["ReplicationSource", "ReplicationDestination"].includes(call.kind) &&
    says(((call.body ?? {}) as { status?: Record<string, unknown> }).status ?? {});
}

export const STATES: readonly FaultState[] = [
  {
    name: "before the plan is written",
    hold: (world) =>
      gate(
        world,
        writesStatus((status) => "lastSyncStartTime" in status),
        "before",
      ),
  },
  {
    name: "plan written, nobody told",
    hold: (world) =>
      gate(
        world,
        writesStatus((status) => "lastSyncStartTime" in status),
        "after",
      ),
  },
  {
    name: "snapshot waiting",
    options: { snaps: false },
    hold: ({ double }) => ({
      reached: () => double.objects.list(VOLUME_SNAPSHOT).length > 0,
      release: () => void double.play.readySnapshots(),
    }),
  },
  {
    name: "claim of the copy not made yet",
    hold: (world) =>
      gate(
        world,
        (call) => call.verb === "create" && call.kind === "PersistentVolumeClaim",
        "before",
      ),
  },
  {
    name: "claims waiting",
    options: { binds: false },
    hold: ({ double }) => ({
      reached: () => double.objects.list(CLAIM).length > 1,
      release: () => void double.play.boundClaims(),
    }),
  },
  {
    name: "cache not made yet",
    hold: (world) =>
      gate(
        world,
        (call) =>
          call.verb === "create" &&
          call.kind === "PersistentVolumeClaim" &&
          bodyName(call).endsWith("-cache"),
        "before",
      ),
  },
  {
    name: "Job made, nobody told",
    hold: (world) => gate(world, { verb: "create", kind: "Job" }, "after"),
  },
  {
    name: "Job running",
    hold: (world) => {
      world.answers = false;
      return { reached: () => world.movers.length > 0, release: () => world.letMoversEnd() };
    },
  },
  {
    name: "Job succeeded, status unwritten",
    hold: (world) =>
      gate(
        world,
        writesStatus((status) => "lastSyncTime" in status),
        "before",
      ),
  },
  {
    name: "success written, nobody told",
    hold: (world) =>
      gate(
        world,
        writesStatus((status) => "lastSyncTime" in status),
        "after",
      ),
  },
  {
    name: "cleaning up",
    hold: (world) => gate(world, { verb: "delete", kind: "Job" }, "after"),
  },
  {
    name: "failed, waiting for the next attempt",
    hold: (world) => {
      const problem = { code: "STORAGE_UNAVAILABLE", message: "no answer", retryable: false };
      world.failNext((job) => badEnd(job, problem));
      return {
        reached: () =>
          Number(world.resource()?.status?.external?.[EXTERNAL.failures] ?? 0) > 0 &&
          world.double.objects.list(JOB).length === 0,
        release: () => {},
      };
    },
  },
  {
    name: "image of a restore waiting",
    options: { role: "destination", snaps: false },
    hold: ({ double }) => ({
      reached: () => double.objects.list(VOLUME_SNAPSHOT).length > 0,
      release: () => void double.play.readySnapshots(),
    }),
  },
];

function bodyName(call: ApiCall): string {
  return ((call.body ?? {}) as { metadata?: { name?: string } }).metadata?.name ?? "";
}
