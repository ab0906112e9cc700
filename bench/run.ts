// `npm run bench`: Holdfast and its neighbours doing the same work on the same data, in turns, so that a busy minute of
// the machine hits all of them alike. Prints medians and ratios to restic.
//
//   npm run bench -- --profile files --scale 0.1 --runs 5 --ops first,unchanged --tools holdfast,restic
//
// Each run starts from empty repositories and caches. The order of the tools rotates from run to run.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { changeDataSet, generateDataSet } from "./data-set.ts";
import { dropCaches, measure, run, settle } from "./run/measure.ts";
import { Attic, fillMemory, readAll } from "./run/quiet.ts";
import { summarize, tableOf, type Sample } from "./run/report.ts";
import { bytesBelow } from "./run/size.ts";
import {
  ourTool,
  peerTools,
  repositoryOf,
  restoredOf,
  type Places,
  type Tool,
} from "./run/tools.ts";

/** In this order: emptied caches come last, because they leave the next one worse off. */
const OPERATIONS = ["first", "unchanged", "changed", "restore", "check", "cold"] as const;
type Operation = (typeof OPERATIONS)[number];

const ROOT = join(import.meta.dirname, "..");
const BASELINE = "restic";
const CHANGED_SHARE = 0.05;
const SPARE_BYTES = 5e9;

const HELP = `Options:
  --profile NAME      data set: files, small, tiny, S, M, L, XL          (files)
  --scale X           multiplies its files and bytes                      (0.1)
  --seed TEXT         another data set of the same kind                   (1)
  --runs N            how often everything is done                        (5)
  --ops LIST          of ${OPERATIONS.join(", ")}
  --tools LIST        of holdfast, restic, restic-oldest, rustic, kopia, borg
                      (all that are here, except restic-oldest)
  --folder DIR        where data and repositories go                      (a temporary folder)
  --no-build          use dist/ as it is
  --keep              leave data and repositories behind
  --json FILE         every sample as JSON as well`;

const { values: options } = parseArgs({
  options: {
    profile: { type: "string", default: "files" },
    scale: { type: "string", default: "0.1" },
    seed: { type: "string", default: "1" },
    runs: { type: "string", default: "5" },
    ops: { type: "string", default: OPERATIONS.join(",") },
    tools: { type: "string" },
    folder: { type: "string", default: tmpdir() },
    build: { type: "boolean", default: true },
    keep: { type: "boolean", default: false },
    json: { type: "string" },
    help: { type: "boolean", default: false },
  },
  allowNegative: true,
});

/** The tools to compare, in the order of the table. Explains those that are missing. */
function chooseTools(): Tool[] {
  const wanted = options.tools?.split(",");
  const { tools: peers, missing } = peerTools();
  const tools = wanted ? peers : peers.filter(({ name }) => name !== "restic-oldest");
  if (!wanted || wanted.includes("holdfast")) {
    if (options.build) run({ argv: [process.execPath, join(ROOT, "scripts", "build.ts")] });
    const version = run({
      argv: [join(ROOT, "bin", "holdfast"), "version"],
      env: { HOLDFAST_DIST: "1" },
    });
    tools.unshift(ourTool(/\d+\.\d+\.\d+/.exec(version)?.[0] ?? "?"));
  }
  const chosen = wanted ? tools.filter(({ name }) => wanted.includes(name)) : tools;
  const absent = wanted?.filter((name) => !chosen.some((tool) => tool.name === name)) ?? [];
  if (absent.length > 0) throw new Error(`not here: ${absent.join(", ")} (${missing.join("; ")})`);
  for (const line of missing) console.error(`without ${line}`);
  if (!chosen.some(({ name }) => name === BASELINE))
    console.error(`without ${BASELINE}: no ratios`);
  return chosen;
}

/** Does `operation` with `tool`, and measures it. */
function perform(operation: Operation, tool: Tool, places: Places): void {
  settle();
  if (operation === "cold" && !dropCaches()) throw new Error("only root may empty the page cache");
  const action = operation === "restore" || operation === "check" ? operation : "backup";
  // Whether a backup leaves its packs in the page cache or writes past it must not decide who restores faster.
  if (action !== "backup") readAll(repositoryOf(places));
  const measured = measure(tool.command(action, places));
  const repository = bytesBelow(repositoryOf(places));
  samples.push({ run: runNumber, operation, tool: tool.name, ...measured, repository });
  console.error(
    `run ${runNumber} ${operation.padEnd(9)} ${tool.name.padEnd(13)} ${measured.wall.toFixed(2)} s, ` +
      `CPU ${measured.cpu.toFixed(2)} s, ${(measured.memory / 1e6).toFixed(0)} MB`,
  );
  if (operation === "restore") {
    const [got, wanted] = [bytesBelow(restoredOf(places)), bytesBelow(places.source)];
    if (got !== wanted) throw new Error(`${tool.name} restored ${got} of ${wanted} bytes`);
    attic.take(restoredOf(places));
  }
}

/** One run: every operation, each tool in turn. A tool that fails is left out of the rest of the run. */
function performAll(operations: readonly Operation[], tools: readonly Tool[], base: string): void {
  const source = join(base, "source");
  const placesOf = (tool: Tool): Places => ({ source, state: join(base, tool.name) });
  const failed = new Set<Tool>();
  const attempt = (tool: Tool, what: () => void): void => {
    if (failed.has(tool)) return;
    try {
      what();
    } catch (error) {
      failed.add(tool);
      failures += 1;
      console.error(`${tool.name}: ${(error as Error).message}`);
    }
  };
  for (const tool of tools) {
    attic.take(placesOf(tool).state);
    mkdirSync(placesOf(tool).state, { recursive: true });
    attempt(tool, () => run(tool.command("init", placesOf(tool))));
  }
  fillMemory(base);
  for (const operation of OPERATIONS.filter((name) => operations.includes(name))) {
    if (operation === "changed") changeDataSet(source, CHANGED_SHARE, `run ${runNumber}`);
    for (const tool of tools) attempt(tool, () => perform(operation, tool, placesOf(tool)));
  }
}

if (options.help) {
  console.log(HELP);
  process.exit(0);
}
const operations = options.ops.split(",").map((name) => {
  const operation = OPERATIONS.find((known) => known === name);
  if (!operation) throw new Error(`no operation ${name}; there are ${OPERATIONS.join(", ")}`);
  return operation;
});
const tools = chooseTools();
const samples: Sample[] = [];
let runNumber = 0;
let failures = 0;

const base = mkdtempSync(join(options.folder, "holdfast-bench-"));
let attic: Attic;
try {
  const { profile, seed } = options;
  const scale = Number(options.scale);
  const made = generateDataSet({ out: join(base, "source"), profile, seed, scale });
  attic = new Attic(base, 4 * made.bytes + SPARE_BYTES);
  const machine = `${availableParallelism()} cores, ${cpus()[0]?.model.trim() ?? "unknown"}`;
  const title = [
    `${profile} at ${scale}: ${made.files} files, ${(made.bytes / 1e6).toFixed(0)} MB; ${options.runs} runs`,
    `${machine}; load ${loadavg()[0]!.toFixed(1)}; Node ${process.versions.node}`,
    tools.map(({ name, version }) => `${name} ${version}`).join(", "),
  ];
  console.error(title.join("\n"));
  for (runNumber = 1; runNumber <= Number(options.runs); runNumber++) {
    const turn = runNumber % tools.length;
    performAll(operations, [...tools.slice(turn), ...tools.slice(0, turn)], base);
  }
  const order = tools.map(({ name }) => name);
  const rows = summarize(samples, BASELINE, order);
  console.log(`${title.join("\n")}\n\n${tableOf(rows, BASELINE)}`);
  if (options.json) {
    writeFileSync(options.json, `${JSON.stringify({ title, rows, samples }, undefined, 2)}\n`);
  }
} finally {
  if (!options.keep) rmSync(base, { recursive: true, force: true });
}
if (failures > 0) {
  console.error(`${failures} failed`);
  process.exitCode = 1;
}
