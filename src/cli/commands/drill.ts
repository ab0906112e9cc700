// `drill`: a real recovery into a scratch place, checked, measured, reported, removed. Also makes the key that reports are signed
// with, and checks signatures.

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { KeyObject } from "node:crypto";
import type { Command } from "commander";
import { parseByteSize } from "../../base/byte-size.ts";
import { parseDuration } from "../../base/duration.ts";
import { errnoOf, HoldfastError, isHoldfastError, messageOf } from "../../base/errors.ts";
import { refuseFailed, runDrill, type DrillReport } from "../../odoo/drill.ts";
import {
  listDrills,
  makeSigningKey,
  packReport,
  readSigningKey,
  reportText,
  rotationIn,
  storeReport,
  verifyReport,
  writeReport,
  type PackedReport,
} from "../../odoo/drill-reports.ts";
import { connect } from "../../postgres/connection.ts";
import type { Repository } from "../../repository/repository.ts";
import { byteStringToText } from "../../restic/byte-string.ts";
import type { CommandModule, Context } from "../command.ts";
import { addDatabaseOptions, namedDatabase, type DatabaseFlags } from "../database-option.ts";
import { reportDrill, StepDisplay } from "../drill-report.ts";
import { EXIT } from "../exit-status.ts";
import { addCapturesOption, type InstanceFlags } from "../instance-options.ts";
import { openInstance } from "../instance-session.ts";
import { readMoment } from "../recovery-target-option.ts";
import { createFile } from "../replace-file.ts";
import {
  addScratchOptions,
  openScratch,
  scratchFolder,
  type ScratchFlags,
} from "../scratch-session.ts";
import { PROGRAM_VERSION } from "../version.ts";

interface DrillFlags extends DatabaseFlags, InstanceFlags, ScratchFlags {
  at?: string;
  database?: string;
  sample?: string;
  files: boolean;
  quick?: boolean;
  command?: string;
  commandTimeout: string;
  patience: string;
  report?: string;
  store: boolean;
  signKey?: string;
  makeKey?: string;
  verify?: string;
  publicKey?: string;
}

function configure(command: Command): void {
  addScratchOptions(command);
  addDatabaseOptions(command);
  addCapturesOption(command);
  command
    .option("--at <time>", "drill this moment instead of now: no marker then")
    .option("--database <name>", "Odoo's database (default: that of --dbname, or the only one)")
    .option("--sample <size>", "read about so much of the files, others the next time: 2G")
    .option("--no-files", "drill the database alone")
    .option("--quick", "leave out the checks of indexes and pages")
    .option("--command <text>", "run this against what was recovered; it fails the drill")
    .option("--command-timeout <duration>", "how long that may take", "10m")
    .option("--patience <duration>", "how long to wait for the marker to be archived", "5m")
    .option("--report <directory>", "write the report there, too")
    .option("--no-store", "do not keep the report beside the captures")
    .option("--sign-key <file>", "sign the report with this key (or HOLDFAST_DRILL_KEY, the PEM)")
    .option("--make-key <file>", "make a key there, and FILE.pub, and do nothing else")
    .option("--verify <report>", "check the signature of a report, and do nothing else")
    .option("--public-key <file>", "the key to check it with")
    .addHelpText(
      "after",
      `
Examples:
  holdfast drill -d "host=db1 dbname=odoo user=holdfast" --archive gs://bucket/pg
  holdfast drill --sample 2G --report /var/lib/holdfast/drills --sign-key /etc/holdfast/drill.pem
  holdfast drill --at "2026-01-31 15:04:05" --database odoo --command 'psql -Atc "SELECT count(*) FROM res_partner"'
  holdfast drill --make-key /etc/holdfast/drill.pem
  holdfast drill --verify drill-20260131T150405Z-4bba301e.json --public-key drill.pem.pub

A marker is written into the live server's log, and the drill recovers to it: without --dbname it can be at best
incomplete, never passed. The status is 1 when a check failed. Nothing of the recovery is left.`,
    );
}

export const drillCommand: CommandModule = {
  configure,

  async run(context, _, options) {
    const flags = options as unknown as DrillFlags;
    if (flags.makeKey !== undefined) return await makeKey(context, flags.makeKey);
    if (flags.verify !== undefined) return await verify(context, flags.verify, flags.publicKey);
    const key = await signingKey(context, flags);
    const report = flags.files
      ? await drillInstance(context, flags, key)
      : await drillAndKeep(context, { flags, key, instance: undefined, signal: context.signal });
    refuseFailed(report);
    return EXIT.ok;
  },
};

async function drillInstance(
  context: Context,
  flags: DrillFlags,
  key: KeyObject | undefined,
): Promise<DrillReport> {
  await using instance = await openInstance(context, flags, { lock: "read" });
  return await drillAndKeep(context, { flags, key, instance, signal: instance.signal });
}

interface Drilling {
  readonly flags: DrillFlags;
  readonly key: KeyObject | undefined;
  readonly instance:
    | { readonly repository: Repository; readonly captures: Repository | undefined }
    | undefined;
  readonly signal: AbortSignal;
}

async function drillAndKeep(context: Context, drilling: Drilling): Promise<DrillReport> {
  const { output, clock, random, machine } = context;
  const { flags, key, instance, signal } = drilling;
  const live = await liveSettings(context, flags);
  const steps = new StepDisplay(context);
  const patience = parseDuration(flags.patience, "--patience");
  const folder = flags.report === undefined ? undefined : pathFrom(context, flags.report);
  const settings = {
    ...(await openScratch(context, flags)),
    target:
      flags.at === undefined
        ? ({ kind: "latest" } as const)
        : ({ kind: "time", micros: readMoment(flags.at, "--at") } as const),
    connectLive: live && (async () => await connect({ settings: live, signal })),
    database: flags.database ?? (flags.dbname === undefined ? undefined : live?.database),
    files: instance,
    sample: flags.sample === undefined ? undefined : parseByteSize(flags.sample, "--sample"),
    quick: flags.quick === true,
    command: commandOf(context, flags),
    patience: { archive: patience, capture: patience },
    scratch: scratchFolder(context, flags),
    machine,
    program: `holdfast ${PROGRAM_VERSION}`,
    clock,
    random,
    signal,
  };
  let report: DrillReport;
  try {
    report = await runDrill({
      ...settings,
      after: await lastRotation(folder, instance?.captures, signal),
      onStep: steps.begin,
      onNotice: (text) => output.warn(text),
      onLine: (line) => output.veryVerbose(line),
    });
  } finally {
    steps.end();
  }
  const packed = packReport(report, key);
  const path = folder === undefined ? undefined : await writeReport(folder, packed);
  const snapshot = flags.store ? await stored(context, instance?.captures, packed) : undefined;
  reportDrill(output, report, { path, snapshot });
  return report;
}

/** How to reach the live server, when one is named; the variables of other programs alone do not name one. */
async function liveSettings(
  context: Context,
  flags: DrillFlags,
): Promise<Awaited<ReturnType<typeof namedDatabase>> | undefined> {
  const { environment } = context;
  const isNamed = flags.dbname ?? environment["HOLDFAST_DATABASE"] ?? environment["PGHOST"];
  return isNamed === undefined ? undefined : await namedDatabase(context, flags);
}

function commandOf(
  { environment }: Context,
  { command, commandTimeout }: DrillFlags,
): { text: string; limit: number; environment: Record<string, string> } | undefined {
  if (command === undefined) return undefined;
  const passed = ["PATH", "HOME", "LANG", "TMPDIR"].flatMap((name): [string, string][] => {
    const value = environment[name];
    return value === undefined ? [] : [[name, value]];
  });
  return {
    text: command,
    limit: parseDuration(commandTimeout, "--command-timeout"),
    environment: Object.fromEntries(passed),
  };
}

/** Where the sample before ended, as the newest report tells. */
async function lastRotation(
  folder: string | undefined,
  captures: Repository | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  const stored = captures === undefined ? [] : await listDrills(captures, { signal });
  return stored.at(-1)?.rotation ?? (folder === undefined ? undefined : await rotationIn(folder));
}

/** Keeps the report beside the captures. A viewer may not, which is told, and fails nothing. */
async function stored(
  { output, settings, signal }: Context,
  captures: Repository | undefined,
  packed: PackedReport,
): Promise<string | undefined> {
  if (captures === undefined) return undefined;
  try {
    return await storeReport(captures, packed, {
      program: `holdfast ${PROGRAM_VERSION}`,
      retryFor: settings.retryLock,
      signal,
    });
  } catch (error) {
    if (!isHoldfastError(error) || isHoldfastError(error, "BUG", "CANCELLED")) throw error;
    output.warn(`the report is not kept beside the captures: ${messageOf(error)}`);
    return undefined;
  }
}

async function signingKey(
  context: Context,
  { signKey }: DrillFlags,
): Promise<KeyObject | undefined> {
  const given = context.environment["HOLDFAST_DRILL_KEY"];
  if (signKey === undefined) return given ? readSigningKey(given) : undefined;
  return readSigningKey((await readNamed(context, signKey)).toString("utf8"));
}

async function makeKey(context: Context, name: string): Promise<number> {
  const path = pathFrom(context, name);
  const { privateKey, publicKey } = makeSigningKey();
  await createFile(path, Buffer.from(privateKey));
  await createFile(`${path}.pub`, Buffer.from(publicKey));
  const { output } = context;
  if (output.isJson) output.json({ message_type: "key", key: path, public_key: `${path}.pub` });
  else {
    output.print(`the key is in ${path}: keep it where drills run, and nowhere else`);
    output.print(`the public key is in ${path}.pub: give it to whoever reads reports`);
  }
  return EXIT.ok;
}

async function verify(
  context: Context,
  name: string,
  publicKey: string | undefined,
): Promise<number> {
  if (publicKey === undefined) {
    throw new HoldfastError("USAGE", "no key is named to check the signature with", {
      hint: "Name the public key with --public-key FILE.",
    });
  }
  const json = await readNamed(context, name);
  const signature = await readNamed(context, `${name}.sig`);
  const key = await readNamed(context, publicKey);
  const { report, key: print } = verifyReport(json, signature, key.toString("utf8"));
  const { output } = context;
  if (output.isJson) output.json({ message_type: "verified", key: print, report });
  else {
    output.print(reportText(report));
    output.print(`signed by the key ${print}`);
  }
  return EXIT.ok;
}

async function readNamed(context: Context, name: string): Promise<Buffer> {
  try {
    return await readFile(pathFrom(context, name));
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    throw new HoldfastError("USAGE", `${name} cannot be read: ${messageOf(error)}`);
  }
}

function pathFrom({ cwd }: Context, name: string): string {
  return resolve(byteStringToText(cwd), name);
}
