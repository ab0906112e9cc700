// `pg receive`: archives a server's WAL as it is written, until it is stopped.

import { join } from "node:path";
import { parseByteSize } from "../../base/byte-size.ts";
import { sha256Hex } from "../../base/bytes.ts";
import { parseDuration } from "../../base/duration.ts";
import { HoldfastError } from "../../base/errors.ts";
import { parseLsn, type Lsn } from "../../barman/lsn.ts";
import type { Archive } from "../../postgres/archive.ts";
import { connect } from "../../postgres/connection.ts";
import { dropReceiverSlot, receiveWal, type ReceiveOptions } from "../../postgres/receiver.ts";
import { addArchiveOptions, openNamedArchive, type ArchiveFlags } from "../archive-session.ts";
import type { CommandModule, Context } from "../command.ts";
import { addDatabaseOptions, namedDatabase, type DatabaseFlags } from "../database-option.ts";
import { EXIT } from "../exit-status.ts";
import { ReceiveReport } from "../receive-report.ts";

interface ReceiveFlags extends ArchiveFlags, DatabaseFlags {
  slot: string;
  createSlot?: boolean;
  unlimitedSlot?: boolean;
  dropSlot?: boolean;
  spool?: string;
  spoolLimit: string;
  partialAfter: string;
  /** False with --no-partial. */
  partial: boolean;
  sharedServer?: boolean;
  until?: string;
  stopWithin: string;
}

export const pgReceiveCommand: CommandModule = {
  configure(command) {
    addDatabaseOptions(command);
    addArchiveOptions(command);
    command
      .option(
        "--slot <name>",
        "the replication slot that keeps WAL on the server for us",
        "holdfast",
      )
      .option("--create-slot", "make the slot when it is missing, or when the server gave it up")
      .option("--unlimited-slot", "make it even where max_slot_wal_keep_size is not set")
      .option("--drop-slot", "drop the slot, and do nothing else")
      .option("--spool <folder>", "where WAL waits to be archived (or HOLDFAST_SPOOL)")
      .option("--spool-limit <size>", "most bytes that may wait there", "1G")
      .option("--partial-after <duration>", "archive what is not a whole segment yet after", "5s")
      .option("--no-partial", "archive whole segments alone")
      .option("--shared-server", "archive beside others under the same server name")
      .option("--until <position>", "stop when this position is archived; now: what there is")
      .option("--stop-within <duration>", "how long the last upload may take when stopped", "10s")
      .addHelpText(
        "after",
        `
Examples:
  holdfast pg receive --archive gs://company-backups/base --server odoo-stream -d "host=db1 user=backup" --create-slot
  holdfast pg receive --until now --json
  holdfast pg receive -d "host=db1 user=backup" --drop-slot

The role needs REPLICATION and a line for it in pg_hba.conf. Runs until it is stopped by SIGINT or SIGTERM, through
restarts of the server, promotions and outages of the storage. The server keeps what is not archived yet: set its
max_slot_wal_keep_size, so that it does not do so until its disk is full. The status is 3 when WAL was lost.`,
      );
  },

  async run(context, _, options) {
    const flags = options as unknown as ReceiveFlags;
    const { output, clock, random, signal } = context;
    const chosen = choices(flags);
    const connections = {
      sql: await namedDatabase(context, flags),
      replication: await namedDatabase(context, flags, { replication: true }),
    };
    const connectTo: ReceiveOptions["connect"] = async ({ replication, signal: until }) =>
      await connect({
        settings: replication ? connections.replication : connections.sql,
        replication,
        signal: until,
      });
    if (flags.dropSlot === true) {
      const isDropped = await dropReceiverSlot({ connect: connectTo, slot: flags.slot, signal });
      const what = isDropped ? "was dropped" : "did not exist";
      if (output.isJson)
        output.json({ message_type: "slot", slot: flags.slot, dropped: isDropped });
      else output.print(`replication slot ${flags.slot} ${what}`);
      return EXIT.ok;
    }
    const archive = await openNamedArchive(context, flags, { create: true });
    const report = new ReceiveReport({ output, clock, archive });
    const summary = await receiveWal({
      ...chosen,
      archive,
      connect: connectTo,
      spool: spoolFolder(context, flags, archive),
      clock,
      random,
      onEvent: (event) => report.tell(event),
      signal,
    });
    report.summary(summary);
    return summary.hasGap ? EXIT.incomplete : EXIT.ok;
  },
};

type Choices = Pick<
  ReceiveOptions,
  "slot" | "spoolLimit" | "shared" | "partialAfter" | "until" | "stopWithin"
>;

function choices(flags: ReceiveFlags): Choices {
  const { slot: name, createSlot, unlimitedSlot } = flags;
  return {
    slot: { name, create: createSlot === true, unlimited: unlimitedSlot === true },
    spoolLimit: parseByteSize(flags.spoolLimit, "--spool-limit"),
    shared: flags.sharedServer === true,
    partialAfter: flags.partial ? parseDuration(flags.partialAfter, "--partial-after") : undefined,
    until: untilOf(flags.until),
    stopWithin: parseDuration(flags.stopWithin, "--stop-within"),
  };
}

function untilOf(text: string | undefined): Lsn | "now" | undefined {
  if (text === undefined || text === "now") return text;
  return parseLsn(text, "--until");
}

/** One for each archive and server, so that two receivers of a person do not meet. */
function spoolFolder(context: Context, flags: ReceiveFlags, archive: Archive): string {
  const { environment } = context;
  const named = flags.spool || environment["HOLDFAST_SPOOL"];
  if (named) return named;
  const home = environment["HOME"];
  const state = environment["XDG_STATE_HOME"] || (home && join(home, ".local", "state"));
  if (state)
    return join(state, "holdfast", `wal-${sha256Hex(Buffer.from(archive.location)).slice(0, 12)}`);
  throw new HoldfastError("USAGE", "there is no folder for WAL that waits to be archived", {
    hint: "Use --spool FOLDER or the variable HOLDFAST_SPOOL.",
  });
}
