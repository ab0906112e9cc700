// The demonstration's story: an Odoo at work, its protection, a mistake, a disaster, and a moment that comes back. It runs the
// program's own commands and nothing else of it; whether what came back is right is judged by what the simulated Odoo knows
// (test/odoo/truth.ts), not by what the program says of itself.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { peerStatus } from "../../test/peers.ts";
import { SimulatedOdoo } from "../../test/odoo/simulated-odoo.ts";
import { assertStateAt, readHistory, type Step } from "../../test/odoo/truth.ts";
import { makePlace } from "./place.ts";
import { makeCluster, serverPrograms, startServer, type DemoServer } from "./server.ts";
import { clockTime, StoryEnded, Teller } from "./teller.ts";

const DATABASE = "odoo";
const PASSWORD = "only for the demonstration";
const CAPTURE_EVERY = "2s";
/** An Odoo collects once a day what was captured long before; here everything is faster, but not that much. */
const YOUNGEST_MS = 10_000;
const COLLECT_MS = 4000;
/** What the watermark may take to pass the mistake. */
const PATIENCE_MS = 60_000;

export interface StoryOptions {
  /** The checkout. */
  readonly root: string;
  /** Everything goes here; what is there is removed. */
  readonly place: string;
  /** Ask which moment is wanted. */
  readonly isAsking: boolean;
  /** How long people work before somebody makes a mistake. */
  readonly seconds: number;
}

interface Scene extends StoryOptions {
  readonly teller: Teller;
  readonly programs: string;
  readonly data: string;
  readonly filestore: string;
  readonly recovered: string;
}

/** What is known of the live instance when it is gone. */
interface Memory {
  readonly odoo: SimulatedOdoo;
  readonly history: ReadonlyMap<string, Step>;
  /** Microseconds since 1970. */
  readonly beforeMistake: bigint;
  readonly afterMistake: bigint;
  readonly end: bigint;
}

/** Tells it; true when everything came back. */
export async function tellStory(options: StoryOptions): Promise<boolean> {
  const { place, root } = options;
  makePlace(place);
  const programs = await serverPrograms();
  const [data, filestore] = [
    join(place, "live", "pgdata"),
    join(place, "live", "filestore", DATABASE),
  ];
  mkdirSync(filestore, { recursive: true });
  makeCluster(programs, data);
  const server = await startServer(programs, data);
  const environment = {
    RESTIC_REPOSITORY: join(place, "bucket", "odoo"),
    RESTIC_PASSWORD: PASSWORD,
    RESTIC_CACHE_DIR: join(place, "cache"),
    HOLDFAST_ARCHIVE: join(place, "bucket", "archive"),
    HOLDFAST_ARCHIVE_SERVER: "pg",
    HOLDFAST_SPOOL: join(place, "spool"),
    HOLDFAST_FILESTORE: filestore,
    HOLDFAST_DATABASE: `host=${server.host} user=postgres dbname=${DATABASE}`,
  };
  const teller = new Teller({ root, place, environment });
  const scene: Scene = {
    ...options,
    teller,
    programs,
    data,
    filestore,
    recovered: join(place, "recovered"),
  };
  try {
    const memory = await live(scene, server);
    const moment = await choose(scene, memory);
    return await recover(scene, memory, moment);
  } catch (error) {
    if (!(error instanceof StoryEnded)) throw error;
    console.error(`\n${error.message}\n${place} is left as it is.`);
    return false;
  } finally {
    await teller.endCompanions("SIGKILL");
    await server.process.stop("immediate");
  }
}

/** Everything up to the disaster. */
async function live(scene: Scene, server: DemoServer): Promise<Memory> {
  const { teller, filestore, data, seconds } = scene;
  teller.chapter("An Odoo is at work: its database on PostgreSQL, its files in a folder");
  await server.ask("postgres", `CREATE DATABASE ${DATABASE}`);
  const odoo = new SimulatedOdoo({
    connection: server.connection(DATABASE),
    folder: filestore,
    seed: String(Date.now()),
    youngest: YOUNGEST_MS,
    collectEvery: COLLECT_MS,
  });
  await odoo.open();
  try {
    await odoo.populate(500);
    odoo.start();
    teller.note("people work: attachments come, are replaced and deleted");
    teller.say(
      `${odoo.counts.attached} attachments so far, and 40 more each second; the collector runs every ${COLLECT_MS / 1000} s`,
    );

    teller.chapter(
      "It is protected: the log as it is written, files as they appear, and a full copy of each",
    );
    await teller.holdfast("init");
    teller.accompany("receive", "pg", "receive", "--create-slot", "--partial-after", "2s");
    teller.accompany("capture", "capture", "--every", CAPTURE_EVERY);
    await teller.holdfast("pg", "backup");
    teller.note("base backup of the database");
    await teller.holdfast("backup", filestore, "--exclude", "checklist");
    teller.note("full snapshot of the files");

    teller.chapter("The watermark follows: the latest moment that both can return to");
    const captured = await watch(scene, odoo, Date.now() + seconds * 1000);

    teller.chapter("A mistake");
    const beforeMistake = await serverTime(server);
    const lost = await odoo.deleteDocuments(0.4, captured);
    const collected = await odoo.collect();
    const afterMistake = await serverTime(server);
    teller.note(`somebody deletes ${lost} documents, and Odoo removes ${collected} files`);
    teller.say(
      `somebody deletes ${lost} documents; Odoo's collector removes ${collected} files for good; work goes on`,
    );
    await watch(scene, odoo, Date.now() + 3000, Number(afterMistake / 1000n) + 1000);

    teller.chapter("Disaster: the disks are gone, database and files");
    await odoo.stop();
    const end = await serverTime(server);
    const history = await readHistory(async (text) => await server.ask(DATABASE, text));
    await teller.endCompanions("SIGKILL");
    await server.process.stop("kill");
    const files = odoo.referenced.size;
    for (const folder of [data, filestore]) rmSync(folder, { recursive: true, force: true });
    teller.note("the disks are gone: database and files");
    teller.say(
      `$ rm -r live   (${odoo.truth.commits.length} transactions, ${files} files that rows refer to)`,
    );
    return { odoo, history, beforeMistake, afterMistake, end };
  } finally {
    await odoo.close().catch(() => {});
  }
}

/** Prints the watermark now and then, until `until`, and until it is at `past` if given; what it is then. */
async function watch(
  scene: Scene,
  odoo: SimulatedOdoo,
  until: number,
  past?: number,
): Promise<number> {
  const { teller } = scene;
  const deadline = until + PATIENCE_MS;
  for (;;) {
    teller.requireCompanions();
    const at = await watermark(scene);
    const state = `${odoo.counts.attached} attached, ${odoo.counts.deleted} deleted, ${odoo.counts.collected} files collected`;
    const now = Date.now();
    teller.say(
      at === undefined
        ? `  ${clockTime(now)}  ${state}; no moment has both yet`
        : `  ${clockTime(now)}  ${state}; both can return to any moment until ${clockTime(at)}, ${((now - at) / 1000).toFixed(1)} s ago`,
    );
    const isPast = at !== undefined && at >= (past ?? 0);
    if (now >= until && isPast) return at;
    if (now > deadline) throw new StoryEnded("the watermark does not follow");
    await sleep(2500);
  }
}

/** The latest moment of both, in milliseconds since 1970, as `holdfast status` tells. */
async function watermark({ teller }: Scene): Promise<number | undefined> {
  const said = await teller.quietly("status", "--json");
  if (said === undefined) return undefined;
  const { filestores } = JSON.parse(said) as { filestores: { recoverable_until: string | null }[] };
  const time = Date.parse(filestores[0]?.recoverable_until ?? "");
  return Number.isFinite(time) ? time : undefined;
}

async function serverTime(server: DemoServer): Promise<bigint> {
  const [row] = await server.ask(
    DATABASE,
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text AS now",
  );
  return BigInt(row!["now"]!);
}

/** Which moment is wanted, in microseconds since 1970. */
async function choose(scene: Scene, memory: Memory): Promise<bigint> {
  const { teller, isAsking } = scene;
  const { beforeMistake, afterMistake } = memory;
  teller.chapter("Which moment shall come back?");
  teller.say(`  1   ${clockOf(beforeMistake)}  right before the documents were deleted`);
  teller.say(`  2   ${clockOf(afterMistake)}  right after it`);
  teller.say("  or any time between the snapshot and the disaster, such as 14:03:07.25");
  if (!isAsking) {
    teller.say("→ 1");
    return beforeMistake;
  }
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    for (;;) {
      const answer = (await terminal.question("→ [1] ")).trim();
      if (answer === "" || answer === "1") return beforeMistake;
      if (answer === "2") return afterMistake;
      const moment = readClock(answer);
      if (moment !== undefined && moment < memory.end) return moment;
      teller.say("  1, 2, or a time of today before the disaster, such as 14:03:07.25");
    }
  } finally {
    terminal.close();
  }
}

/** Brings the moment back and judges it; true when it is right. */
async function recover(scene: Scene, memory: Memory, moment: bigint): Promise<boolean> {
  const { teller, recovered, programs, place, root } = scene;
  teller.chapter(`Recovery of ${clockOf(moment)}`);
  const seconds = await teller.holdfast("recover", "--at", isoOf(moment), "--to", recovered);
  teller.note(`both are back as they were at ${clockOf(moment)}`);

  teller.chapter("Proof: compared with what the Odoo itself remembers");
  const verdict = await judge(scene, memory, moment);
  for (const line of verdict.lines) teller.say(line);

  const restic = peerStatus("restic-newest");
  if ("path" in restic) {
    teller.chapter(`The same repository, read by restic ${restic.version}`);
    await teller.run(restic.path, "check");
  }
  teller.chapter(verdict.isGood ? "The timeline" : "NOT everything came back");
  teller.say(teller.timeline());
  const rows = [
    ["recovered in", `${seconds.toFixed(1)} s`],
    ["recovered", `${recovered}/pgdata and ${recovered}/filestore/${DATABASE}`],
    ["backups", `${place}/bucket: a restic repository, its captures, a Barman archive`],
    [
      "look at them",
      `RESTIC_PASSWORD="${PASSWORD}" bin/holdfast -r ${place}/bucket/odoo snapshots`,
    ],
  ];
  // Where nobody but root can enter the checkout, a copy stood in for it and is gone by then.
  if (!root.startsWith(tmpdir())) {
    const program = join(programs, "postgres");
    rows.push(["start it", `${program} -D ${recovered}/pgdata -k /tmp`]);
  }
  teller.say("");
  for (const [title, text] of rows) teller.say(`   ${title!.padEnd(13)} ${text}`);
  teller.say(`\n   The next demonstration starts afresh; remove ${place} when you have seen it.`);
  return verdict.isGood;
}

async function judge(
  { recovered, programs }: Scene,
  { odoo, history }: Memory,
  moment: bigint,
): Promise<{ isGood: boolean; lines: string[] }> {
  const lines: string[] = [];
  const server = await startServer(programs, join(recovered, "pgdata"));
  try {
    const ask = async (text: string): Promise<Record<string, string | null>[]> =>
      await server.ask(DATABASE, text);
    const referenced = await assertStateAt({
      ask,
      truth: odoo.truth,
      moment: { time: moment },
      liveHistory: history,
    });
    const [row] = await ask("SELECT count(*)::text AS rows FROM ir_attachment");
    lines.push(
      `the database has every transaction up to that moment and none after it: ${row!["rows"]} attachments`,
    );
    const there = new Set<string>();
    let wrong = 0;
    const folder = join(recovered, "filestore", DATABASE);
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const content = readFileSync(join(entry.parentPath, entry.name));
      if (createHash("sha1").update(content).digest("hex") === entry.name) there.add(entry.name);
      else wrong++;
    }
    const missing = [...referenced].filter((sha1) => !there.has(sha1)).length;
    const extra = [...there].filter((sha1) => !referenced.has(sha1)).length;
    lines.push(
      `${referenced.size} files are referred to; ${there.size} are there with the SHA-1 that is their name`,
    );
    lines.push(`${missing} missing, ${wrong} wrong, ${extra} that nobody refers to`);
    return { isGood: missing === 0 && wrong === 0 && extra === 0, lines };
  } catch (error) {
    lines.push(`the database is not as it was: ${(error as Error).message}`);
    return { isGood: false, lines };
  } finally {
    await server.process.stop();
  }
}

function clockOf(micros: bigint): string {
  return clockTime(Number(micros / 1000n));
}

/** "2026-01-31 14:03:07.250123+00:00" */
function isoOf(micros: bigint): string {
  const date = new Date(Number(micros / 1000n)).toISOString().slice(0, -1).replace("T", " ");
  return `${date}${String(micros % 1000n).padStart(3, "0")}+00:00`;
}

/** A time of today, as microseconds since 1970. */
function readClock(text: string): bigint | undefined {
  const found = /^(\d{1,2}):(\d\d):(\d\d)(\.\d{1,6})?$/.exec(text);
  if (!found) return undefined;
  const [, hours, minutes, seconds, fraction = "."] = found;
  const date = new Date();
  date.setHours(Number(hours), Number(minutes), Number(seconds), 0);
  return BigInt(date.getTime()) * 1000n + BigInt(fraction.slice(1).padEnd(6, "0"));
}
