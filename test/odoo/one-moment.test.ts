// The promise itself: an Odoo at work, on a real server, is protected by the program as its owner would; then random moments
// are recovered, each on its own. Every one has every transaction that was committed by then and none that came later, and
// exactly the files that its rows refer to. HOLDFAST_MOMENTS says how many moments, HOLDFAST_MOMENT_FILES how many files
// people attach, HOLDFAST_ODOO_RATE how many a second, HOLDFAST_ODOO which versions of Odoo are played ("18,19,19.5").

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { suite, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Lsn } from "../../src/barman/lsn.ts";
import { readCaptureMark } from "../../src/odoo/capture-mark.ts";
import { storePath } from "../../src/odoo/store-name.ts";
import { skipWithoutServer, until } from "../postgres/servers.ts";
import { openInstance, type InstanceBench, type RunningProgram } from "./instance-bench.ts";
import { judgeMoment } from "./recovered-moment.ts";
import type { OdooVersion } from "./simulated-filestore.ts";
import { position, readHistory } from "./truth.ts";

const MOMENTS = Number(process.env["HOLDFAST_MOMENTS"] ?? 2);
const FILES = Number(process.env["HOLDFAST_MOMENT_FILES"] ?? 160);
const RATE = Number(process.env["HOLDFAST_ODOO_RATE"] ?? 50);
const VERSIONS = (process.env["HOLDFAST_ODOO"] ?? "18,19").split(",") as OdooVersion[];
const CAPTURE_EVERY = "1s";
/** Whatever was at the source for so long must have been captured, unless captures themselves took longer. */
const BRIEF_MS = 5000;

for (const version of VERSIONS) {
  const major = version === "19" ? 18 : 15;
  suite(`Odoo ${version} on PostgreSQL ${major}`, { skip: skipWithoutServer(major) }, () => {
    test(`${MOMENTS} random moments: the state of each, and every file of it`, async (context) => {
      await using bench = await openInstance({
        version,
        major,
        rate: RATE,
        collectEvery: 2000,
        // Odoo collects once a day what a minute's capture has seen long before; here everything is faster.
        youngest: BRIEF_MS,
        grace: 2000,
      });
      const { odoo } = bench;
      await odoo.populate(200);
      const receiving = bench.start(RECEIVE);
      const capturing = bench.start(["capture", "--every", CAPTURE_EVERY, "--json"]);
      const slowestCaptures = timeCaptures(capturing);
      odoo.start();
      await Promise.all([
        bench.holdfast(["pg", "backup"]),
        bench.holdfast(["backup", bench.filestore, "--exclude", "checklist"]),
      ]);
      const begin = await now(bench);
      const already = odoo.counts.attached;
      await untilAttached(bench, FILES / 2);
      // A second backup and a second snapshot while people work: what recoveries begin with, and what captures follow.
      await Promise.all([
        bench.holdfast(["pg", "backup"]),
        bench.holdfast(["backup", bench.filestore, "--exclude", "checklist"]),
      ]);
      await untilAttached(bench, FILES / 2);
      const { lost, of } = await loseAsOdooDoes(bench);
      await odoo.stop();
      const end = odoo.truth.commits
        .map(({ time }) => time!)
        .toSorted((a, b) => Number(a - b))
        .at(-2)!;
      await untilCaptured(bench, await bench.position());
      await bench.untilArchived(await bench.position());
      await capturing.stop();
      await receiving.stop();
      const brief = Math.max(BRIEF_MS, slowestCaptures());

      const liveHistory = await readHistory(bench.ask);
      let [files, excused, took] = [0, 0, 0];
      for (let number = 0; number < MOMENTS; number++) {
        const time = begin + BigInt(randomInt(Number(end - begin)));
        const words = ["--at", timeOf(time)];
        const judged = await judgeMoment({
          bench,
          moment: { time },
          words,
          liveHistory,
          brief,
        });
        files += judged.referenced;
        excused += judged.excused;
        took += judged.took;
      }
      const newest = { lsn: await watermark(bench) };
      await judgeMoment({
        bench,
        moment: newest,
        words: ["--latest-complete"],
        liveHistory,
        brief,
      });
      const { attached, deleted, collected } = odoo.counts;
      const rate = (attached - already) / (Number(end - begin) / 1e6);
      context.diagnostic(
        `${attached} attached (${rate.toFixed(1)} a second), ${deleted} deleted, ${collected} files collected`,
      );
      context.diagnostic(
        `${MOMENTS} moments, ${files} files, none missing, wrong or extra (${excused} that Odoo itself had lost), ${(took / MOMENTS / 1000).toFixed(1)} s each`,
      );
      context.diagnostic(`Odoo's own order, files first, lost ${lost} of ${of}`);
      assert.ok(attached > 200 && deleted > 0 && collected > 0);
    });
  });
}

const RECEIVE = ["pg", "receive", "--create-slot", "--unlimited-slot", "--partial-after", "1s"];

/** Resolves when people have attached that many files more. */
async function untilAttached({ odoo }: InstanceBench, more: number): Promise<void> {
  const goal = odoo.counts.attached + more;
  const patience = 180_000 + (more / RATE) * 10_000;
  await until(`${goal} files`, () => Promise.resolve(odoo.counts.attached >= goal), patience);
}

/**
 * Watches a program that captures; gives the longest time, in milliseconds, that two captures in a row have taken, with the
 * pauses before them. Whatever was there for so long was there during a whole one.
 */
function timeCaptures({ child }: RunningProgram): () => number {
  const ends = [Date.now(), Date.now()];
  createInterface({ input: child.stdout! }).on("line", (line) => {
    if (line.includes('"message_type":"tick"')) ends.push(Date.now());
  });
  return () => Math.max(...ends.slice(2).map((end, number) => end - ends[number]!));
}

/** Microseconds since 1970 by the clock of the server. */
async function now(bench: InstanceBench): Promise<bigint> {
  const [row] = await bench.ask(
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text AS now",
  );
  return BigInt(row!["now"]!);
}

function timeOf(micros: bigint): string {
  const seconds = new Date(Number(micros / 1000n)).toISOString().slice(0, -5).replace("T", " ");
  return `${seconds}.${String(micros % 1_000_000n).padStart(6, "0")}+00:00`;
}

/** Resolves when a capture stands for that position. */
async function untilCaptured(bench: InstanceBench, text: string): Promise<void> {
  const wanted = position(text);
  await until(`a capture of ${text}`, async () => {
    const { stdout } = await bench.holdfast([
      "-r",
      bench.captures,
      "--no-lock",
      "snapshots",
      "--json",
    ]);
    const snapshots = JSON.parse(stdout) as { tags?: string[] }[];
    return snapshots.some(({ tags }) => {
      const at = readCaptureMark(tags ?? [])?.position;
      return at !== undefined && at.lsn >= wanted;
    });
  });
}

/** The newest position that has all its files, as `status` tells; it is behind everything that was written. */
async function watermark(bench: InstanceBench): Promise<Lsn> {
  const { stdout } = await bench.holdfast(["status", "--json"]);
  const { filestores } = JSON.parse(stdout) as { filestores: { watermark: { lsn: string } }[] };
  const lsn = position(filestores[0]!.watermark.lsn);
  const last = bench.odoo.truth.commits.map(({ after }) => after).reduce((a, b) => (a > b ? a : b));
  assert.ok(lsn >= last, `the watermark is ${lsn}, the last transaction ended before ${last}`);
  return lsn;
}

/** A backup as Odoo makes it: a copy of the filestore, then the database. How many files of the latter the former lacks. */
async function loseAsOdooDoes(bench: InstanceBench): Promise<{ lost: number; of: number }> {
  const copy = join(bench.root, "as-odoo-does");
  for (const entry of readdirSync(bench.filestore, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    // What the collector took meanwhile is not there to be copied.
    if (!entry.isFile() || !existsSync(path)) continue;
    const target = join(copy, relative(bench.filestore, path));
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(path, target);
    await nextTurn();
  }
  const rows = await bench.ask(
    "SELECT DISTINCT store_fname AS name FROM ir_attachment WHERE store_fname IS NOT NULL",
  );
  const names = rows.map(({ name }) => name!.slice(name!.indexOf("/") + 1));
  const lost = names.filter((sha1) => !existsSync(join(copy, storePath(sha1)))).length;
  rmSync(copy, { recursive: true });
  return { lost, of: names.length };
}
