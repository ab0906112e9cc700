// `capture`: stores what is new in a filestore, once or until it is stopped, with the position of the database beside it.

import { basename } from "node:path";
import { HoldfastError } from "../../base/errors.ts";
import { parseDuration } from "../../base/duration.ts";
import { localZone, readOwnerNames } from "../../files/metadata.ts";
import { captureOnce, runCapture } from "../../odoo/capture.ts";
import type { CaptureOptions } from "../../odoo/capture-events.ts";
import { connect } from "../../postgres/connection.ts";
import { CaptureReport } from "../capture-report.ts";
import type { CommandModule, Context } from "../command.ts";
import {
  addDatabaseOptions,
  namedDatabase,
  requireDatabaseOf,
  type DatabaseFlags,
} from "../database-option.ts";
import { EXIT } from "../exit-status.ts";
import { addCapturesOption, addFilestoreOption, requireFilestore } from "../instance-options.ts";
import type { InstanceFlags } from "../instance-options.ts";
import { openCaptureWriter } from "../instance-session.ts";
import { PROGRAM_VERSION } from "../version.ts";

interface CaptureFlags extends InstanceFlags, DatabaseFlags {
  every?: string;
  once?: boolean;
  /** False with --no-database. */
  database: boolean;
}

/** Shorter pauses only cost; the folders are looked at in a few milliseconds, but every tick stores a capture. */
const EVERY_MIN_MS = 1000;

export const captureCommand: CommandModule = {
  configure(command) {
    addFilestoreOption(command);
    addDatabaseOptions(command);
    addCapturesOption(command);
    command
      .option("--no-database", "capture files alone: they then belong to no moment")
      .option("--once", "capture once (the default)")
      .option("--every <duration>", "go on until stopped, and capture this often: 20s")
      .addHelpText(
        "after",
        `
Examples:
  holdfast capture -r gs:company-backups:/filestore --filestore /var/lib/odoo/filestore/odoo -d "host=db1 dbname=odoo" --every 20s
  holdfast capture -r /srv/backup/filestore --filestore /var/lib/odoo/filestore/odoo --no-database --json

Captures are snapshots of a repository of their own, beside the main one and with its password: the main repository is
only read. Only what is not in the newest full snapshot is stored. The status is 3 when the database did not answer.`,
      );
  },

  async run(context, _, options) {
    const flags = options as unknown as CaptureFlags;
    const every = intervalOf(flags);
    const { clock, output, signal } = context;
    const captureOptions = await optionsOf(context, flags);
    const report = new CaptureReport({ output, clock });
    report.begin(captureOptions);
    const onEvent: CaptureOptions["onEvent"] = (event) => report.tell(event);
    if (every === undefined) {
      const tick = await captureOnce({ ...captureOptions, onEvent }, signal);
      report.once(tick);
      return captureOptions.connect === undefined || tick.isJoint ? EXIT.ok : EXIT.incomplete;
    }
    report.summary(await runCapture({ ...captureOptions, onEvent, every, signal }));
    return EXIT.ok;
  },
};

/** How often to capture; undefined for once. */
function intervalOf({ once, every }: CaptureFlags): number | undefined {
  if (once && every !== undefined) {
    throw new HoldfastError("USAGE", "--once and --every are mutually exclusive");
  }
  const interval = every === undefined ? undefined : parseDuration(every, "--every");
  if (interval === undefined || interval >= EVERY_MIN_MS) return interval;
  throw new HoldfastError("USAGE", `--every ${every} is too often`, {
    hint: "Use 1s or more; 20s is a good start.",
  });
}

async function optionsOf(
  context: Context,
  flags: CaptureFlags,
): Promise<Omit<CaptureOptions, "onEvent">> {
  const { settings, machine } = context;
  const folder = requireFilestore(context, flags);
  const database = flags.database ? await namedDatabase(context, flags) : undefined;
  const name = basename(folder);
  if (database !== undefined) await requireDatabaseOf(folder, database, context.signal);
  const { repository: main, captures } = await openCaptureWriter(context, flags);
  return {
    main,
    captures,
    folder,
    database: database?.database ?? name,
    connect: database && ((signal) => connect({ settings: database, signal })),
    metadata: { owners: readOwnerNames(), withAtime: false, ...localZone() },
    hostname: settings.host ?? machine.hostname,
    programVersion: `holdfast ${PROGRAM_VERSION}`,
    retryLock: settings.retryLock,
  };
}
