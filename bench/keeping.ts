// `npm run bench:keeping`: what keeps a repository in order, by Holdfast and by restic on the same repositories, in turns: check
// with all data, prune after half of the snapshots were forgotten, copy, and the commands that people wait for.
//
//   npm run bench:keeping -- --scale 0.2 --snapshots 50 --runs 5
//   npm run bench:keeping -- --ops million-check,million-data,million-prune --blobs 1000000 --runs 1
//
// Every command starts from an equal copy of a repository that restic wrote, read once before, with an empty cache.

import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { changeDataSet, generateDataSet } from "./data-set.ts";
import { makeRepository, multiplySnapshots } from "./keeping/made-repository.ts";
import { measure, run, settle } from "./run/measure.ts";
import type { Command } from "./run/measure.ts";
import { readAll } from "./run/quiet.ts";
import { summarize, tableOf } from "./run/report.ts";
import type { Sample } from "./run/report.ts";
import { bytesBelow } from "./run/size.ts";
import { resticPath } from "../test/peers.ts";

const ROOT = join(import.meta.dirname, "..");
const PASSWORD = "correct horse battery staple";
const BASELINE = "restic";

/** What is done, on which repository; `changes`: each tool needs a copy of its own. */
const OPERATIONS: Record<string, { on: Stock; words: readonly string[]; changes?: true }> = {
  check: { on: "history", words: ["check", "--read-data"] },
  prune: { on: "forgotten", words: ["prune"], changes: true },
  copy: { on: "target", words: ["copy"], changes: true },
  snapshots: { on: "history", words: ["snapshots"] },
  ls: { on: "history", words: ["ls", "latest"] },
  "many-snapshots": { on: "many", words: ["snapshots"] },
  "million-check": { on: "million", words: ["check"] },
  "million-data": { on: "million", words: ["check", "--read-data"] },
  "million-prune": { on: "million-forgotten", words: ["prune"], changes: true },
};

/** Repositories, made when an operation asks for them. */
type Stock = "history" | "forgotten" | "target" | "many" | "million" | "million-forgotten";

const HELP = `Options:
  --profile NAME      data set: files, or S for an Odoo filestore              (files)
  --scale X           of the data set: 1 is 2 GB, 20,000 files or 12,000       (0.1)
  --snapshots N       of the history                                           (50)
  --change X          share of the files that is new in each of them           (0.02)
  --many N            snapshot files for many-snapshots                        (5000)
  --blobs N           for million-…                                            (1000000)
  --runs N            how often everything is done                             (5)
  --ops LIST          of ${Object.keys(OPERATIONS).join(", ")}
                      (all but million-…)
  --folder DIR        where everything goes                                    (a temporary folder)
  --no-build          use dist/ as it is
  --keep              leave the repositories behind`;

const { values: options } = parseArgs({
  options: {
    profile: { type: "string", default: "files" },
    scale: { type: "string", default: "0.1" },
    snapshots: { type: "string", default: "50" },
    change: { type: "string", default: "0.02" },
    many: { type: "string", default: "5000" },
    blobs: { type: "string", default: "1000000" },
    runs: { type: "string", default: "5" },
    ops: { type: "string" },
    folder: { type: "string", default: tmpdir() },
    build: { type: "boolean", default: true },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
  allowNegative: true,
});
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
const operations =
  options.ops?.split(",") ?? Object.keys(OPERATIONS).filter((name) => !name.startsWith("million"));
for (const name of operations) {
  if (!(name in OPERATIONS)) throw new Error(`no operation ${name}\n${HELP}`);
}

const base = mkdtempSync(join(options.folder, "holdfast-keeping-"));
const at = (name: string): string => join(base, name);
const restic = resticPath("newest");
const TOOLS: Record<string, string> = {
  holdfast: join(ROOT, "bin", "holdfast"),
  [BASELINE]: restic,
};

function command(program: string, repository: string, words: readonly string[]): Command {
  // restic's `init` refuses a source that it does not need.
  const isFrom = words.some((word) => word.includes("copy"));
  return {
    argv: [program, "--repo", repository, ...words],
    env: {
      RESTIC_PASSWORD: PASSWORD,
      RESTIC_CACHE_DIR: at("cache"),
      ...(isFrom && { RESTIC_FROM_REPOSITORY: at("history"), RESTIC_FROM_PASSWORD: PASSWORD }),
      HOLDFAST_DIST: "1",
    },
    cwd: base,
  };
}

function withRestic(repository: string, ...words: string[]): string {
  return run(command(restic, repository, words));
}

/** Forgets every other snapshot. */
function forgetHalf(repository: string): void {
  const found = JSON.parse(withRestic(repository, "snapshots", "--json")) as { id: string }[];
  const half = found.filter((_, i) => i % 2 === 0).map(({ id }) => id);
  withRestic(repository, "forget", "--quiet", ...half);
}

const made = new Set<Stock>();

const MAKERS: Record<Stock, () => Promise<void> | void> = {
  history: () => {
    const source = at("source");
    generateDataSet({
      out: source,
      profile: options.profile,
      scale: Number(options.scale),
    });
    withRestic(at("history"), "init", "--quiet");
    for (let snapshot = 0; snapshot < Number(options.snapshots); snapshot++) {
      if (snapshot > 0) changeDataSet(source, Number(options.change), `change ${snapshot}`);
      withRestic(at("history"), "backup", "--quiet", "source");
    }
    rmSync(source, { recursive: true });
  },
  forgotten: () => forgetHalf(copyOf("history", "forgotten")),
  target: () => {
    const words = ["init", "--quiet", "--copy-chunker-params"];
    withRestic(at("target"), ...words);
  },
  many: async () => {
    await multiplySnapshots(copyOf("history", "many"), PASSWORD, Number(options.many));
  },
  million: async () => {
    const blobs = Number(options.blobs);
    await makeRepository({
      path: at("million"),
      password: PASSWORD,
      blobs,
      snapshots: 8,
      seed: "1",
    });
  },
  "million-forgotten": () => forgetHalf(copyOf("million", "million-forgotten")),
};

const NEEDS: Partial<Record<Stock, Stock>> = {
  forgotten: "history",
  target: "history",
  many: "history",
  "million-forgotten": "million",
};

function copyOf(stock: string, name: string): string {
  cpSync(at(stock), at(name), { recursive: true, preserveTimestamps: true });
  return at(name);
}

async function make(stock: Stock): Promise<void> {
  const needed = NEEDS[stock];
  if (needed !== undefined) await make(needed);
  if (made.has(stock)) return;
  made.add(stock);
  console.error(`making ${stock}`);
  await MAKERS[stock]();
}

const samples: Sample[] = [];

function perform(runNumber: number, operation: string, tool: string): void {
  const { on, words, changes = false } = OPERATIONS[operation]!;
  const repository = changes ? copyOf(on, "work") : at(on);
  rmSync(at("cache"), { recursive: true, force: true });
  mkdirSync(at("cache"));
  settle();
  readAll(repository);
  if (operation === "copy") readAll(at("history"));
  const measured = measure(command(TOOLS[tool]!, repository, words));
  const bytes = bytesBelow(repository);
  samples.push({ run: runNumber, operation, tool, ...measured, repository: bytes });
  console.error(
    `run ${runNumber} ${operation.padEnd(14)} ${tool.padEnd(9)} ${measured.wall.toFixed(2)} s, ` +
      `CPU ${measured.cpu.toFixed(2)} s, ${(measured.memory / 1e6).toFixed(0)} MB`,
  );
  if (!changes) return;
  // A quick answer that left the repository broken would be no answer.
  if (runNumber === 1) withRestic(repository, "check");
  rmSync(repository, { recursive: true });
}

try {
  if (options.build) run({ argv: [process.execPath, join(ROOT, "scripts", "build.ts")] });
  for (const name of operations) await make(OPERATIONS[name]!.on);
  const names = Object.keys(TOOLS);
  const title = [
    `${options.profile} at ${options.scale}, ${options.snapshots} snapshots, ${options.runs} runs`,
    `${availableParallelism()} cores, ${cpus()[0]?.model.trim() ?? "unknown"}; load ${loadavg()[0]!.toFixed(1)}; Node ${process.versions.node}`,
    run({ argv: [restic, "version"] }).trim(),
  ];
  console.error(title.join("\n"));
  for (let runNumber = 1; runNumber <= Number(options.runs); runNumber++) {
    const order = runNumber % 2 === 0 ? names : names.toReversed();
    for (const operation of operations) {
      for (const tool of order) perform(runNumber, operation, tool);
    }
  }
  console.log(`${title.join("\n")}\n\n${tableOf(summarize(samples, BASELINE, names), BASELINE)}`);
} finally {
  if (!options.keep) rmSync(base, { recursive: true, force: true });
}
