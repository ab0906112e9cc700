// Receives a server's WAL as it is written, and archives it: whole segments, and the one that grows every few seconds. What
// it reports to the server as flushed is durable in the archive, so that the server drops nothing that is not. It goes on
// through restarts of the server, promotions and outages of the storage (docs/decisions/receiver.md).

import type { Clock, Random } from "../base/clock.ts";
import type { Lsn } from "../barman/lsn.ts";
import type { Archive } from "./archive.ts";
import type { Connection } from "./connection.ts";
import type { ReceiverStatus } from "./receiver-status.ts";
import { ReceiverRun } from "./receiver/receiver-run.ts";
import type { SessionEvent } from "./receiver/session.ts";
import type { SlotOptions, SlotWarning } from "./receiver/slot-keeper.ts";
import { dropSlot, requireSlotName } from "./receiver/slot.ts";
import { claimSpool } from "./receiver/spool.ts";

export interface ReceiveOptions {
  readonly archive: Archive;
  /** Connects to the server, for replication and, to look at the slot where the role may, for SQL. */
  readonly connect: (options: {
    readonly replication: boolean;
    readonly signal: AbortSignal;
  }) => Promise<Connection>;
  readonly slot: SlotOptions;
  /** A private folder for WAL that is not in the archive yet. */
  readonly spool: string;
  /** Bytes that it may hold; at least two segments. */
  readonly spoolLimit: number;
  /** Archive beside others under the same server name; without partial segments, which could cut their recovery short. */
  readonly shared: boolean;
  /** Milliseconds after which WAL that arrived is archived as a partial segment; undefined for never. */
  readonly partialAfter: number | undefined;
  /** Stop when everything before is durable: a position, or "now" for where the server is at the beginning. */
  readonly until?: Lsn | "now" | undefined;
  /** Milliseconds that storing what arrived may take after `signal` was aborted. */
  readonly stopWithin: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly onEvent: (event: ReceiverEvent) => void;
  /** Ends it well: what arrived is stored, and the call resolves. */
  readonly signal: AbortSignal;
}

export type ReceiverEvent =
  | Exclude<SessionEvent, { kind: "heard" }>
  | { readonly kind: "connected"; readonly place: string; readonly version: number }
  /** Tried again after `delay` milliseconds. */
  | { readonly kind: "disconnected"; readonly error: unknown; readonly delay: number }
  | { readonly kind: "stored"; readonly name: string }
  | { readonly kind: "slot"; readonly warning: SlotWarning }
  | { readonly kind: "notice"; readonly text: string }
  | { readonly kind: "status"; readonly status: ReceiverStatus };

export interface ReceiveSummary {
  readonly status: ReceiverStatus;
  /** Segments that were stored. */
  readonly segments: number;
  /** WAL was lost: neither the server nor the archive has it. */
  readonly hasGap: boolean;
}

/**
 * Receives until `signal` is aborted or `until` is reached. Throws what cannot pass: ARCHIVE_FOREIGN, WAL_DIFFERS, a slot
 * that is missing or lost, a role that may not replicate; once it has streamed, other errors of the server are waited out.
 */
export async function receiveWal(options: ReceiveOptions): Promise<ReceiveSummary> {
  requireSlotName(options.slot.name);
  const claim = await claimSpool(options.spool);
  try {
    return await new ReceiverRun(options, claim).run();
  } finally {
    await claim.close();
  }
}

/** Drops the slot of a receiver; false when there was none. Throws POSTGRES_SETTING while somebody uses it. */
export async function dropReceiverSlot(
  options: Pick<ReceiveOptions, "connect" | "signal"> & { readonly slot: string },
): Promise<boolean> {
  const { slot, signal } = options;
  requireSlotName(slot);
  const replication = await options.connect({ replication: true, signal });
  try {
    return await dropSlot(slot, { replication, signal });
  } finally {
    await replication.close();
  }
}
