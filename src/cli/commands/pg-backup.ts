// `pg backup`: a base backup of a running server into its archive.

import { parseByteSize } from "../../base/byte-size.ts";
import { parseDuration } from "../../base/duration.ts";
import { HoldfastError } from "../../base/errors.ts";
import { Progress } from "../../base/progress.ts";
import { formatLsn } from "../../barman/lsn.ts";
import { makeBaseBackup } from "../../postgres/base-backup.ts";
import type { BaseBackupEvents, BaseBackupOptions } from "../../postgres/base-backup.ts";
import { connect } from "../../postgres/connection.ts";
import { addArchiveOptions, openNamedArchive } from "../archive-session.ts";
import type { ArchiveFlags } from "../archive-session.ts";
import { reportBaseBackup } from "../base-backup-report.ts";
import type { CommandModule, Context } from "../command.ts";
import { addDatabaseOptions, namedDatabase } from "../database-option.ts";
import type { DatabaseFlags } from "../database-option.ts";
import { EXIT } from "../exit-status.ts";
import { formatBytes } from "../format.ts";
import { ProgressDisplay } from "../progress.ts";
import { bytesView } from "../progress-views.ts";
import { PROGRAM_VERSION } from "../version.ts";

interface BackupFlags extends ArchiveFlags, DatabaseFlags {
  baseCompression: string;
  partSize: string;
  checkpoint: string;
  maxRate?: string;
  waitWal: string;
  name?: string;
}

/** Between these the server takes a limit, in KiB a second. */
const RATE_MIN = 32;
const RATE_MAX = 1_048_576;

export const pgBackupCommand: CommandModule = {
  configure(command) {
    addDatabaseOptions(command);
    addArchiveOptions(command);
    command
      .option("--base-compression <kind>", "gzip[:1-9] or none", "gzip:1")
      .option("--part-size <size>", "bytes of one tar before compression", "1G")
      .option("--checkpoint <kind>", "fast, or spread: begin later and spare the disks", "fast")
      .option("--max-rate <size>", "most bytes a second that the server sends: 50M")
      .option("--wait-wal <duration>", "how long to wait for the last WAL", "10m")
      .option("--name <name>", "a name beside the id, as Barman has it")
      .addHelpText(
        "after",
        `
Examples:
  holdfast pg backup --archive gs://company-backups/base --server odoo -d "host=db1 user=backup"
  holdfast pg backup -d postgresql://backup@db1/postgres --max-rate 50M

The role needs REPLICATION and a line for it in pg_hba.conf. Nothing is stored on this machine. The backup is done when
the WAL that it needs is in the archive as well: something has to bring it there, archive_command or a receiver.`,
      );
  },

  async run(context, _, options) {
    const flags = options as unknown as BackupFlags;
    const chosen = choices(flags);
    const connections = {
      sql: await namedDatabase(context, flags),
      replication: await namedDatabase(context, flags, { replication: true }),
    };
    const archive = await openNamedArchive(context, flags, { create: true });
    const { output, clock, random, signal, machine, settings, cores } = context;
    const progress = new Progress();
    const display = new ProgressDisplay({
      output,
      counters: progress,
      view: bytesView,
      clock,
      framesPerSecond: settings.progressFps,
    });
    if (chosen.checkpoint === "spread")
      output.print("waiting for the server's checkpoint, which takes minutes");
    try {
      const result = await makeBaseBackup({
        ...chosen,
        archive,
        connect: async ({ replication }) =>
          await connect({
            settings: replication ? connections.replication : connections.sql,
            replication,
            signal,
          }),
        clock,
        random,
        by: `holdfast ${PROGRAM_VERSION} on ${machine.hostname}`,
        lanes: Math.max(2, cores + 1),
        progress,
        events: eventsOf(context),
        signal,
      });
      display.stop("done");
      reportBaseBackup(output, result, archive);
      return EXIT.ok;
    } catch (error) {
      display.stop("failed");
      throw error;
    }
  },
};

type Choices = Pick<
  BaseBackupOptions,
  "level" | "partBytes" | "checkpoint" | "maxRate" | "walPatience" | "name"
>;

function choices(flags: BackupFlags): Choices {
  const { checkpoint, maxRate } = flags;
  if (checkpoint !== "fast" && checkpoint !== "spread")
    throw usage("--checkpoint", checkpoint, "Use fast or spread.");
  const level = /^(?:none|gzip(?::([1-9]))?)$/.exec(flags.baseCompression);
  if (!level)
    throw usage("--base-compression", flags.baseCompression, "Use gzip:1 to gzip:9, or none.");
  const partBytes = parseByteSize(flags.partSize, "--part-size");
  if (partBytes < 2 ** 20) throw usage("--part-size", flags.partSize, "Use 1M or more.");
  return {
    level: flags.baseCompression === "none" ? 0 : Number(level[1] ?? 1),
    partBytes,
    checkpoint,
    maxRate: maxRate === undefined ? undefined : rateOf(maxRate),
    walPatience: parseDuration(flags.waitWal, "--wait-wal"),
    name: flags.name,
  };
}

function rateOf(text: string): number {
  const rate = Math.round(parseByteSize(text, "--max-rate") / 1024);
  if (rate >= RATE_MIN && rate <= RATE_MAX) return rate;
  throw usage("--max-rate", text, `Use ${RATE_MIN}K to 1G: the server takes no other limit.`);
}

function usage(option: string, value: string, hint: string): HoldfastError {
  return new HoldfastError("USAGE", `${option}: "${value}" is not possible`, { hint });
}

function eventsOf({ output }: Context): BaseBackupEvents {
  return {
    started: ({ id, position, bytes }) => {
      if (output.isJson)
        output.json({
          message_type: "started",
          id,
          begin_lsn: formatLsn(position),
          total_bytes: bytes,
        });
      else
        output.print(
          `backup ${id} of about ${formatBytes(bytes)} begins at ${formatLsn(position)}`,
        );
    },
    waiting: (missing, count) => {
      if (output.isJson)
        output.json({ message_type: "waiting", first_missing: missing, missing: count });
      else
        output.print(
          `everything is stored; waiting for WAL: ${count === 1 ? missing : `${count} segments from ${missing} on`}`,
        );
    },
    warning: (text) => {
      if (output.isJson) output.jsonError({ message_type: "warning", message: text });
      else output.warn(`warning: ${text}`);
    },
  };
}
