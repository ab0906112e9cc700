// What `pg receive` says while it runs: what happened, and now and then how it stands. A line of status a minute is enough
// for a log; a terminal shows the newest, and --json gets every one.

import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { formatLsn, type Lsn } from "../barman/lsn.ts";
import type { Archive } from "../postgres/archive.ts";
import type { ReceiverEvent, ReceiveSummary } from "../postgres/receiver.ts";
import { describeStatus, type ReceiverStatus } from "../postgres/receiver-status.ts";
import { formatBytes } from "./format.ts";
import type { Output } from "./output.ts";

interface Options {
  output: Output;
  clock: Clock;
  archive: Archive;
}

type SlotWarning = (ReceiverEvent & { kind: "slot" })["warning"];

const LINE_MS = 60_000;

export class ReceiveReport {
  readonly #options: Options;
  #toldAt = -Infinity;
  #toldDurable: Lsn | undefined;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Says what is worth it. */
  tell(event: ReceiverEvent): void {
    if (this.#options.output.isJson) this.#tellJson(event);
    else this.#tellText(event);
  }

  /** Says how it ended. */
  summary({ status, segments, hasGap }: ReceiveSummary): void {
    const { output, clock, archive } = this.#options;
    if (output.isJson) {
      output.json({
        message_type: "summary",
        ...describeStatus(status, clock.now()),
        stored_segments: segments,
        gap: hasGap,
      });
      return;
    }
    output.status([]);
    const { durable } = status;
    const upTo =
      durable === undefined ? "nothing was received" : `archived up to ${formatLsn(durable)}`;
    if (status.waiting > 0) {
      output.warn(
        `${status.waiting} segments wait in the spool: the next run archives them, and the server keeps them until then`,
      );
    }
    output.print(
      `${upTo}, ${segments} ${segments === 1 ? "segment" : "segments"} stored in ${archive.location}`,
    );
  }

  #tellText(event: ReceiverEvent): void {
    const { output, archive } = this.#options;
    switch (event.kind) {
      case "connected": {
        const { place, version } = event;
        const number = `${Math.floor(version / 10_000)}.${version % 10_000}`;
        output.print(
          `connected to PostgreSQL ${number} at ${place}, archiving to ${archive.location}`,
        );
        break;
      }
      case "streaming":
        output.print(`receiving timeline ${event.timeline} from segment ${event.segment} on`);
        break;
      case "timeline":
        output.print(
          `the server went on to timeline ${event.timeline} at ${formatLsn(event.position)}`,
        );
        break;
      case "gap":
        output.warn(
          `WAL is lost: neither the server nor the archive has ${event.first} to ${event.last}. No backup made before can be followed past it: make a new base backup now`,
        );
        break;
      case "disconnected": {
        const delay = Math.max(1, Math.round(event.delay / 1000));
        output.warn(`${messageOf(event.error)}; trying again in ${delay} s`);
        break;
      }
      case "slot":
        if (event.warning.kind === "created") output.print(slotText(event.warning));
        else output.warn(slotText(event.warning));
        break;
      case "notice":
        output.warn(event.text);
        break;
      case "stored":
        output.verbose(`archived ${event.name}`);
        break;
      case "status":
        this.#tellStatus(event.status);
        break;
    }
  }

  #tellStatus(status: ReceiverStatus): void {
    const { output, clock } = this.#options;
    if (!status.isStreaming) return;
    const line = statusLine(status);
    output.status([line]);
    const now = clock.monotonic();
    const isDue = now - this.#toldAt >= LINE_MS && status.durable !== this.#toldDurable;
    if (output.canRedraw || !isDue) return;
    this.#toldAt = now;
    this.#toldDurable = status.durable;
    output.print(line);
  }

  #tellJson(event: ReceiverEvent): void {
    const { output, clock } = this.#options;
    switch (event.kind) {
      case "status":
        output.json({ message_type: "status", ...describeStatus(event.status, clock.now()) });
        break;
      case "timeline":
        output.json({
          message_type: "timeline",
          timeline: event.timeline,
          position: formatLsn(event.position),
        });
        break;
      case "disconnected":
        output.json({
          message_type: "disconnected",
          error: messageOf(event.error),
          delay_seconds: event.delay / 1000,
        });
        break;
      case "slot": {
        const { kind, name } = event.warning;
        output.json({
          message_type: "slot",
          state: kind,
          slot: name,
          text: slotText(event.warning),
        });
        break;
      }
      case "notice":
        output.json({ message_type: "notice", text: event.text });
        break;
      default: {
        const { kind, ...fields } = event;
        output.json({ message_type: kind, ...fields });
      }
    }
  }
}

function statusLine(status: ReceiverStatus): string {
  const { received, durable, serverEnd, lag, spoolBytes, waiting } = status;
  const position = (lsn: Lsn | undefined): string => (lsn === undefined ? "-" : formatLsn(lsn));
  const behind =
    serverEnd !== undefined && durable !== undefined && serverEnd > durable
      ? `${formatBytes(serverEnd - durable)} and ${(lag / 1000).toFixed(1)} s behind`
      : "up to date";
  const parts = [`received ${position(received)}`, `archived ${position(durable)}`, behind];
  if (waiting > 0) parts.push(`${waiting} segments waiting (spool ${formatBytes(spoolBytes)})`);
  return parts.join(", ");
}

function slotText(warning: SlotWarning): string {
  const slot = `the replication slot ${warning.name}`;
  switch (warning.kind) {
    case "created":
      return `${slot} was made: it keeps WAL on the server until it is archived`;
    case "recreated":
      return `the server had given up ${slot}, which was made anew`;
    case "filling":
      return `${slot} uses half of what max_slot_wal_keep_size allows, or more: the server gives it up after ${formatBytes(Math.max(0, warning.safeBytes))} more`;
    case "lost":
      return `the server has given up ${slot}: WAL that is not archived yet may be lost. Make a new base backup`;
    case "unwatched":
      return `${slot} cannot be watched, so nobody is warned before the server gives it up: ${warning.why}`;
  }
}
