// A stream of WAL from a server (START_REPLICATION, physical): what it sends, what we answer, and where a timeline ends.
// The one who answers decides what `flush` says: the server drops WAL that was reported there, so it must be durable.

import { parseLsn, formatLsn } from "../barman/lsn.ts";
import type { Lsn } from "../barman/lsn.ts";
import { HoldfastError } from "../base/errors.ts";
import { quoteIdentifier } from "./connection.ts";
import type { Connection } from "./connection.ts";

export type StreamMessage =
  | {
      readonly kind: "wal";
      /** Position of the first byte. */
      readonly start: Lsn;
      /** Where the server's WAL ends. */
      readonly serverEnd: Lsn;
      /** Microseconds since 1970, by the server's clock. */
      readonly sentAt: bigint;
      /** Memory that stays as it is. */
      readonly bytes: Buffer;
    }
  | {
      readonly kind: "keepalive";
      readonly serverEnd: Lsn;
      readonly sentAt: bigint;
      /** The server hangs up unless it gets a status soon. */
      readonly wantsReply: boolean;
    }
  /** The server's copy is over: this timeline has no more. Nothing but `next-timeline` follows. */
  | { readonly kind: "end" }
  /** Which timeline goes on from where. */
  | { readonly kind: "next-timeline"; readonly timeline: number; readonly position: Lsn };

/** How far we are, as positions behind the last byte. */
export interface ReceiverStatus {
  readonly write: Lsn;
  /** Everything before is durable: the server may forget it. */
  readonly flush: Lsn;
  /** Microseconds since 1970, by our clock. */
  readonly now: bigint;
  /** Ask the server to answer at once. */
  readonly wantsReply?: boolean;
}

export interface StreamOptions {
  /** A physical slot that keeps WAL for us. */
  slot?: string | undefined;
  timeline: number;
  /** Where to begin: the start of a segment, as only whole segments are stored. */
  position: Lsn;
  signal?: AbortSignal | undefined;
}

/** Microseconds from 1970 to 2000, where the server's clock begins. */
const EPOCH = 946_684_800_000_000n;

/**
 * What the server sends from `position` on, without end but for that of the timeline. Answer through `sendStatus` while
 * it runs. Throws WAL_MISSING when the server has removed it already, POSTGRES_SETTING for a slot in use.
 */
export async function* streamWal(
  connection: Connection,
  { slot, timeline, position, signal }: StreamOptions,
): AsyncGenerator<StreamMessage, void> {
  const from = slot === undefined ? "" : `SLOT ${quoteIdentifier(slot)} `;
  const command = `START_REPLICATION ${from}PHYSICAL ${formatLsn(position)} TIMELINE ${timeline}`;
  for await (const event of connection.run(command, { signal })) {
    if (event.kind === "data") {
      const message = readStreamMessage(event.bytes);
      if (message !== undefined) yield message;
    } else if (event.kind === "copy-done") {
      // The server waits for ours before it says what comes next.
      connection.endCopy();
      yield { kind: "end" };
    } else if (event.kind === "row") {
      const next = Number(event.row["next_tli"]);
      const lsn = parseLsn(event.row["next_tli_startpos"] ?? "", "the server's next timeline");
      yield { kind: "next-timeline", timeline: next, position: lsn };
    }
  }
}

/** Tells the server how far we are. */
export function sendStatus(connection: Connection, status: ReceiverStatus): void {
  connection.sendCopy(formatStatus(status));
}

/** A message of the stream; undefined for a kind that we do not know. Throws POSTGRES_FAILED for one cut short. */
export function readStreamMessage(body: Buffer): StreamMessage | undefined {
  const kind = body[0];
  if (kind === 0x77 /* w */) {
    requireLength(body, 25);
    return {
      kind: "wal",
      start: body.readBigUInt64BE(1),
      serverEnd: body.readBigUInt64BE(9),
      sentAt: body.readBigInt64BE(17) + EPOCH,
      bytes: body.subarray(25),
    };
  }
  if (kind === 0x6b /* k */) {
    requireLength(body, 18);
    return {
      kind: "keepalive",
      serverEnd: body.readBigUInt64BE(1),
      sentAt: body.readBigInt64BE(9) + EPOCH,
      wantsReply: body[17] !== 0,
    };
  }
  return undefined;
}

/** A standby status update: nothing is ever replayed here, so `apply` is 0. */
export function formatStatus({ write, flush, now, wantsReply = false }: ReceiverStatus): Buffer {
  const body = Buffer.alloc(34);
  body.write("r", 0, "latin1");
  body.writeBigUInt64BE(write, 1);
  body.writeBigUInt64BE(flush, 9);
  body.writeBigInt64BE(now - EPOCH, 25);
  body[33] = wantsReply ? 1 : 0;
  return body;
}

function requireLength(body: Buffer, length: number): void {
  if (body.length >= length) return;
  throw new HoldfastError("POSTGRES_FAILED", "the server sent a message of WAL that is cut short", {
    hint: "Connect to the server itself: something between changes what it says.",
    retryable: true,
  });
}
