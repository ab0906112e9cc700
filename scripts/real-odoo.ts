// `npm run real-odoo`: the whole product against a real Odoo 19 and a real PostgreSQL, with commands as a user gives them. An
// Odoo with demo data works and is protected; then its database and files are destroyed, and every one of some moments that
// were picked while it worked is recovered and proved: rows, files, pages, attachments. docs/real-odoo.md has the output of a
// run. Needs Debian and its archive, 3 GB of disk, and some minutes; so it is no part of the tests.
//
//   --seconds N     how long Odoo works under protection (120)
//   --moments N     how many moments are recovered (5)
//   --rate N        transactions a second of the writer inside Odoo (33)
//   --modules LIST  what is installed (crm,website)
//   --plan          one `holdfast run -f plan.yaml` protects it, instead of a command for each thing
//   --transcript F  also writes what is said to a file
//   --keep          leaves the folder of the run
//
// Exit status 1 when anything did not come back as it was.

import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { query, serverAccount } from "../test/postgres/servers.ts";
import { proveAttachment, proveStaging, proveZip, type CopyOptions } from "./real-odoo/copies.ts";
import { debianRelease, installOdoo, type OdooProgram } from "./real-odoo/install.ts";
import { conninfoOf, DATABASE, startInstance, type Instance } from "./real-odoo/instance.ts";
import { timeWords, truthAt, type JournalLine } from "./real-odoo/journal.ts";
import { prove, type Proof } from "./real-odoo/proof.ts";
import { Protection, type Running } from "./real-odoo/protection.ts";
import { startTraffic } from "./real-odoo/traffic.ts";
import { Transcript } from "./real-odoo/transcript.ts";

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "120" },
    moments: { type: "string", default: "5" },
    rate: { type: "string", default: "33" },
    modules: { type: "string", default: "crm,website" },
    plan: { type: "boolean", default: false },
    transcript: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});

/** A moment to which the instance is recovered. */
interface Moment {
  readonly name: string;
  /** Words of `holdfast recover` that name it. */
  readonly words: readonly string[];
  /** Between which two it lies, in seconds since 1970. */
  readonly from: number;
  readonly to: number;
}

const RESTORE_POINT = "before-the-import";

/** One moment at a random place in each of `count` equal parts of the time between two moments. */
function pickMoments(from: number, to: number, count: number): Moment[] {
  const part = (to - from) / count;
  return Array.from({ length: count }, (_, number) => {
    const at = Math.round((from + part * (number + Math.random())) * 1000) / 1000;
    return { name: timeWords(at), words: ["--at", timeWords(at)], from: at, to: at };
  });
}

/** Names of the files below a folder. */
function filesOf(folder: string): Set<string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((one) => one.isFile() && !one.parentPath.includes("/checklist"));
  return new Set(files.map(({ name }) => name));
}

/** What the journals hold, by kind. */
function tellJournal(transcript: Transcript, journal: readonly JournalLine[]): void {
  const counts = new Map<string, number>();
  for (const { kind } of journal) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const removed = journal.reduce((sum, line) => sum + (line.removed ?? 0), 0);
  const told = [...counts].map(([kind, count]) => `${count} ${kind}`).join(", ");
  transcript.say(`transactions: ${told}; the garbage collections removed ${removed} files`);
}

/** A moment that has a name. */
async function createRestorePoint({ postgres }: Instance): Promise<Moment> {
  const from = Date.now() / 1000;
  const sql = "SELECT pg_create_restore_point($1)";
  await query(postgres.connection(DATABASE), sql, [RESTORE_POINT]);
  const words = ["--restore-point", RESTORE_POINT];
  return { name: `restore point ${RESTORE_POINT}`, words, from, to: Date.now() / 1000 };
}

/** Protects with a command for each thing. */
async function begin(run: { instance: Instance; protection: Protection }): Promise<Running[]> {
  const { instance, protection } = run;
  const receiver = protection.start(["pg", "receive", "--create-slot"]);
  await protection.run(["pg", "backup"]);
  await protection.run(["backup", instance.filestore]);
  return [protection.start(["capture", "--every", "5s"]), receiver];
}

/** Protects with one daemon and its plan. */
async function beginPlan(protection: Protection): Promise<Running[]> {
  const plan = protection.writePlan();
  await protection.run(["plan", "check", plan]);
  const daemon = protection.start(["run", "-f", plan]);
  await protection.run(["run", "-f", plan, "--once", "base"]);
  await protection.run(["run", "-f", plan, "--once", "snapshot"]);
  return [daemon];
}

/** Protects the instance while it works; moments and the journal. */
async function liveUnderProtection(run: {
  instance: Instance;
  protection: Protection;
  transcript: Transcript;
}): Promise<{ moments: Moment[]; journal: readonly JournalLine[] }> {
  const { instance, protection, transcript } = run;
  transcript.heading("Protection begins: receiver, base backup, full snapshot, captures");
  await protection.run(["init"]);
  const running = options.plan ? await beginPlan(protection) : await begin(run);
  await sleep(6000);

  transcript.heading(`Odoo works for ${options.seconds} s`);
  const rate = Number(options.rate);
  const traffic = await startTraffic({ instance, rate, collectEvery: 20, bundlesEvery: 15 });
  const from = Date.now() / 1000;
  const half = Number(options.seconds) * 500;
  await sleep(half);
  // 3: a collection took files away under its eyes; the captures have them.
  await protection.run(["backup", instance.filestore], { statuses: [0, 3] });
  const named = await createRestorePoint(instance);
  await sleep(half);
  const to = Date.now() / 1000;
  await traffic.stop();
  const journal = traffic.journal();
  tellJournal(transcript, journal);
  const { pages, faults } = traffic.visits;
  transcript.say(`visitors loaded ${pages} pages with all their assets, ${faults.length} faults`);
  for (const fault of faults) transcript.say(`  ${fault}`);
  await sleep(11_000);
  await protection.run(["verify"]);
  await protection.run(["status"]);
  const boot = join(import.meta.dirname, "real-odoo-drill.ts");
  await protection.run(["drill", "--command", `${process.execPath} ${boot}`]);
  for (const one of running) await one.stop();
  const moments = pickMoments(from, to, Number(options.moments));
  return { moments: [...moments, named], journal };
}

function tellProof(transcript: Transcript, { facts, faults }: Proof): void {
  for (const fact of facts) transcript.say(`  ✓ ${fact}`);
  for (const fault of faults.slice(0, 20)) transcript.say(`  ✗ ${fault}`);
  if (faults.length > 20) transcript.say(`  ✗ … and ${faults.length - 20} more`);
}

/** The ways back that are no recovery of the whole instance. */
async function otherWays(run: CopyOptions & { transcript: Transcript }): Promise<string[]> {
  const { transcript } = run;
  const faults: string[] = [];
  const ways = {
    "A single attachment that somebody deleted": proveAttachment,
    "A copy for tests, neutralised": proveStaging,
    "A zip that Odoo's own database manager loads": proveZip,
  };
  for (const [heading, way] of Object.entries(ways)) {
    transcript.heading(heading);
    const proof = await way(run);
    tellProof(transcript, proof);
    faults.push(...proof.faults);
  }
  return faults;
}

/** Recovers a moment and proves it; what is wrong. */
async function recoverAndProve(run: {
  moment: Moment;
  number: number;
  journal: readonly JournalLine[];
  odoo: OdooProgram;
  protection: Protection;
  transcript: Transcript;
  folder: string;
  atTheEnd: ReadonlySet<string>;
}): Promise<readonly string[]> {
  const { moment, number, journal, odoo, protection, transcript, folder, atTheEnd } = run;
  const target = join(folder, `recovered-${number}`);
  transcript.heading(`Recovery of ${moment.name}`);
  await protection.run(["recover", ...moment.words, "--to", target]);
  let gone = 0;
  const { facts, faults } = await prove({
    odoo,
    dataDirectory: join(target, "pgdata"),
    odooData: target,
    database: DATABASE,
    folder: join(folder, "odoo-of-copy"),
    truth: truthAt(journal, moment),
    meanwhile: async (postgres, filestore) => {
      gone = [...filesOf(filestore)].filter((name) => !atTheEnd.has(name)).length;
      const copy = conninfoOf(postgres);
      await protection.run(["verify", "-d", copy, "--filestore", filestore]);
    },
  });
  const old = `${gone} of its files were no longer in the live filestore when that was destroyed`;
  tellProof(transcript, { facts: [...facts, old], faults });
  if (!options.keep) rmSync(target, { recursive: true, force: true });
  return faults;
}

/** The story of one instance, from its birth to its recoveries; how much was wrong. */
async function story(transcript: Transcript, folder: string): Promise<number> {
  transcript.heading("A real Odoo");
  const odoo = installOdoo(debianRelease());
  const { modules } = options;
  mkdirSync(join(folder, "live"));
  const instance = await startInstance({ odoo, folder: join(folder, "live"), modules });
  const protection = new Protection({ instance, folder: join(folder, "holdfast"), transcript });
  let isDestroyed = false;
  try {
    const [server] = await instance.postgres.sql<{ version: string }>("SELECT version()");
    transcript.say(`Odoo ${odoo.version}, ${server?.version.split(" on ")[0]}, modules ${modules}`);
    const seconds = instance.initialSeconds.toFixed(0);
    transcript.say(`its database and filestore were made in ${seconds} s`);
    const { moments, journal } = await liveUnderProtection({ instance, protection, transcript });

    transcript.heading("Disaster: the database and the filestore are gone");
    const atTheEnd = filesOf(instance.filestore);
    await instance.destroy();
    isDestroyed = true;
    const faults: string[] = [];
    const run = { journal, odoo, protection, transcript, folder, atTheEnd };
    for (const [index, moment] of moments.entries())
      faults.push(...(await recoverAndProve({ ...run, moment, number: index + 1 })));
    faults.push(...(await otherWays(run)));
    transcript.heading(`${moments.length} moments recovered, ${faults.length} faults`);
    return faults.length;
  } finally {
    protection.abandon();
    if (!isDestroyed) await instance.destroy();
  }
}

const transcript = new Transcript();
const folder = mkdtempSync(join(tmpdir(), "holdfast-real-odoo-"));
chmodSync(folder, 0o755);
const account = serverAccount();
if (account) chownSync(folder, account.uid, account.gid);
transcript.rename(folder, "…");
transcript.rename(process.execPath, "node");
transcript.rename(`${join(import.meta.dirname, "..")}/`, "");
try {
  if ((await story(transcript, folder)) > 0) process.exitCode = 1;
} catch (error) {
  transcript.say(`\nThe run failed: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  if (options.transcript !== undefined) transcript.write(options.transcript);
  if (options.keep) console.log(`\nleft: ${folder}`);
  else rmSync(folder, { recursive: true, force: true });
}
