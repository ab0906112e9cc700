// How a receiver stands: for people, for the messages of --json, and as a snapshot in its spool that other programs read.

import { formatLsn, type Lsn } from "../barman/lsn.ts";
import type { SlotState } from "./receiver/slot.ts";

/** A snapshot of what a receiver does. */
export interface ReceiverStatus {
  readonly isStreaming: boolean;
  readonly timeline: number | undefined;
  /** Position behind the last byte that arrived. */
  readonly received: Lsn | undefined;
  /** Everything before is in the archive. */
  readonly durable: Lsn | undefined;
  /** Where the server's WAL ends, as it last said. */
  readonly serverEnd: Lsn | undefined;
  /** Milliseconds since the oldest byte that is not in the archive arrived. */
  readonly lag: number;
  /** Bytes of the spool. */
  readonly spoolBytes: number;
  /** Whole segments that wait to be stored. */
  readonly waiting: number;
  readonly slot: SlotState | undefined;
}

/** The status as JSON: positions as PostgreSQL prints them, sizes in bytes; what is not known is null. */
export function describeStatus(status: ReceiverStatus, now: number): object {
  const { received, durable, serverEnd, slot } = status;
  return {
    time: new Date(now).toISOString(),
    streaming: status.isStreaming,
    timeline: status.timeline ?? null,
    received: positionOf(received),
    durable: positionOf(durable),
    server_end: positionOf(serverEnd),
    lag_seconds: Math.round(status.lag) / 1000,
    lag_bytes: distance(serverEnd, durable),
    spool_bytes: status.spoolBytes,
    waiting_segments: status.waiting,
    slot: slot && {
      name: slot.name,
      restart: positionOf(slot.restart),
      wal_status: slot.walStatus ?? null,
      safe_bytes: slot.safeBytes ?? null,
    },
  };
}

function positionOf(position: Lsn | undefined): string | null {
  return position === undefined ? null : formatLsn(position);
}

function distance(end: Lsn | undefined, from: Lsn | undefined): number | null {
  if (end === undefined || from === undefined) return null;
  return end > from ? Number(end - from) : 0;
}
