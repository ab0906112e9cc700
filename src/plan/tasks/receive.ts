// The service that archives WAL as it is written (src/postgres/receiver.ts).

import { join } from "node:path";
import type { Lsn } from "../../barman/lsn.ts";
import { formatLsn } from "../../barman/lsn.ts";
import { describeStatus, type ReceiverStatus } from "../../postgres/receiver-status.ts";
import { receiveWal, type ReceiverEvent } from "../../postgres/receiver.ts";
import type { InstanceAccess } from "../access.ts";
import type { InstancePlan, ReceivePlan } from "../plan.ts";
import type { ServiceRun, ServiceTask } from "../task.ts";

/** Storing what arrived may take this long when it is told to stop, in milliseconds. */
const STOP_MS = 10_000;

export interface ReceiveTaskOptions {
  readonly instance: InstancePlan;
  readonly receive: ReceivePlan;
  readonly access: InstanceAccess;
  /** Folder of the plan's state. */
  readonly state: string;
  /** Told up to where the archive has everything. */
  readonly onDurable: (durable: { readonly timeline: number; readonly lsn: Lsn }) => void;
}

export function receiveTask(options: ReceiveTaskOptions): ServiceTask {
  const { instance, receive, access, state, onDurable } = options;
  const { slot, createSlot, unlimitedSlot, spoolLimit, partialAfter, shared } = receive;
  return {
    instance: instance.name,
    name: "receive",
    async run(run) {
      const { clock, random } = access.machine;
      await receiveWal({
        archive: await access.archive(),
        connect: async (how) => await access.connect(how),
        slot: { name: slot, create: createSlot, unlimited: unlimitedSlot },
        spool: receive.spool ?? join(state, `wal-${instance.name}`),
        spoolLimit,
        shared,
        partialAfter,
        stopWithin: STOP_MS,
        clock,
        random,
        signal: run.signal,
        onEvent: (event) => {
          const status = event.kind === "status" ? event.status : undefined;
          if (status?.isStreaming && status.durable !== undefined && status.timeline !== undefined)
            onDurable({ timeline: status.timeline, lsn: status.durable });
          tell(event, run, clock.now());
        },
      });
    },
  };
}

function tell(event: ReceiverEvent, run: ServiceRun, now: number): void {
  switch (event.kind) {
    case "status":
      if (event.status.isStreaming)
        run.working({
          text: statusText(event.status),
          fields: { ...describeStatus(event.status, now) },
        });
      break;
    case "disconnected":
      run.failing(event.error, now + event.delay);
      break;
    case "gap":
      run.notice(
        `WAL is lost: neither the server nor the archive has ${event.first} to ${event.last}. No backup made before can be followed past it: make a new base backup now`,
      );
      break;
    case "timeline":
      run.notice(
        `the server went on to timeline ${event.timeline} at ${formatLsn(event.position)}`,
      );
      break;
    case "notice":
      run.notice(event.text);
      break;
    case "slot":
      if (event.warning.kind !== "created")
        run.notice(`the replication slot ${event.warning.name}: ${SLOT[event.warning.kind]}`);
      break;
    default:
      break;
  }
}

const SLOT = {
  recreated: "the server had given it up, and it was made anew",
  filling: "it uses half of what max_slot_wal_keep_size allows, or more",
  lost: "the server has given it up: WAL may be lost. Make a new base backup",
  unwatched: "it cannot be watched, so nobody is warned before the server gives it up",
} as const;

function statusText({ durable, lag, waiting }: ReceiverStatus): string {
  const place = durable === undefined ? "nothing archived yet" : `archived ${formatLsn(durable)}`;
  const behind = lag >= 1000 ? `, ${(lag / 1000).toFixed(0)} s behind` : "";
  return `${place}${behind}${waiting > 0 ? `, ${waiting} segments waiting` : ""}`;
}
