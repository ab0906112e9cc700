// `npm run bench:storage`: the same work on a bucket, by Holdfast, by restic's gs: backend and by restic through rclone, in
// turns. The bucket is our double of Cloud Storage in a process of its own, which answers every request only after an
// artificial round trip. Prints medians, how many times as fast each was as restic in the pairs, and what was asked of the bucket.
//
//   npm run bench:storage -- --profile files --scale 0.5 --latency 30 --runs 3 --restored /dev/shm
//
// --restored names a folder in memory for what is restored, which leaves the disk's file system out of the comparison.

import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Counts } from "../test/gcs/double.ts";
import { peer } from "../test/peers.ts";
import { generateDataSet } from "./data-set.ts";
import { measure, run, settle } from "./run/measure.ts";
import type { Command, Measured } from "./run/measure.ts";
import { Attic, fillMemory } from "./run/quiet.ts";
import { median } from "./run/report.ts";

const ROOT = join(import.meta.dirname, "..");
const BUCKET = "bench";
const BASELINES = ["restic rclone", "restic gs"];
/** A repository of each tool, none larger than the data, and the pieces in which rclone sends large packs. */
const REPOSITORIES_MAX = 5;
const OPERATIONS = ["backup", "unchanged", "restore", "check"] as const;
type Operation = (typeof OPERATIONS)[number];

const { values: options } = parseArgs({
  options: {
    profile: { type: "string", default: "files" },
    scale: { type: "string", default: "0.5" },
    seed: { type: "string", default: "1" },
    runs: { type: "string", default: "3" },
    latency: { type: "string", default: "30" },
    ops: { type: "string", default: OPERATIONS.join(",") },
    tools: { type: "string" },
    folder: { type: "string", default: tmpdir() },
    restored: { type: "string" },
    build: { type: "boolean", default: true },
    json: { type: "string" },
  },
  allowNegative: true,
});

interface Tool {
  readonly name: string;
  readonly program: string;
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

interface Sample extends Measured {
  readonly run: number;
  readonly operation: Operation;
  readonly tool: string;
  readonly counts: Counts;
}

/** The double in its own process. */
class DoubleProcess {
  readonly #child: ChildProcess;
  readonly endpoint: string;

  private constructor(child: ChildProcess, endpoint: string) {
    this.#child = child;
    this.endpoint = endpoint;
  }

  static async start(latency: number, memory: number): Promise<DoubleProcess> {
    const settings = { latency, memory, buckets: [{ name: BUCKET, trusting: true }] };
    const main = join(ROOT, "test", "gcs", "double-main.ts");
    const child = fork(main, [JSON.stringify(settings)], { execArgv: [] });
    const [message] = (await once(child, "message")) as [{ endpoint: string }];
    return new DoubleProcess(child, message.endpoint);
  }

  /** What was asked since the last reset, and the seconds of CPU it took. */
  async ask(question: "counts" | "reset" | "forget"): Promise<{ counts: Counts; cpu: number }> {
    this.#child.send(question);
    const [message] = (await once(this.#child, "message")) as [{ counts: Counts; cpu: number }];
    return message;
  }

  stop(): void {
    this.#child.kill();
  }
}

function toolsAt(endpoint: string): Tool[] {
  const gs = {
    RESTIC_REPOSITORY: `gs:${BUCKET}:/RUN`,
    STORAGE_EMULATOR_HOST: endpoint.slice("http://".length),
    GOOGLE_ACCESS_TOKEN: "any",
    GOOGLE_PROJECT_ID: "project",
  };
  // The guide's own way to name a bucket.
  const rclone = {
    RESTIC_REPOSITORY: `rclone:gcs:${BUCKET}/RUN`,
    RCLONE_CONFIG: "/dev/null",
    RCLONE_CONFIG_GCS_TYPE: "google cloud storage",
    RCLONE_CONFIG_GCS_ANONYMOUS: "true",
    RCLONE_CONFIG_GCS_BUCKET_POLICY_ONLY: "true",
    RCLONE_CONFIG_GCS_ENDPOINT: `${endpoint}/storage/v1/`,
  };
  const ours = { program: join(ROOT, "bin", "holdfast"), words: [] };
  const restic = peer("restic-newest").path;
  const all: Tool[] = [
    { name: "holdfast gs", ...ours, env: { ...gs, HOLDFAST_DIST: "1" } },
    { name: "holdfast rclone", ...ours, env: { ...rclone, HOLDFAST_DIST: "1" } },
    { name: "restic gs", program: restic, words: [], env: gs },
    {
      name: "restic rclone",
      program: restic,
      words: ["-o", `rclone.program=${peer("rclone").path}`],
      env: rclone,
    },
  ];
  const wanted = options.tools?.split(",");
  return wanted ? all.filter(({ name }) => wanted.includes(name)) : all;
}

function commandOf(tool: Tool, args: readonly string[], place: string, source: string): Command {
  const env = {
    ...tool.env,
    RESTIC_REPOSITORY: tool.env["RESTIC_REPOSITORY"]!.replace("RUN", place),
    RESTIC_PASSWORD: "correct horse battery staple",
    RESTIC_CACHE_DIR: join(base, "caches", place),
  };
  return { argv: [tool.program, ...tool.words, ...args], env, cwd: source };
}

async function performAll(
  number: number,
  tools: readonly Tool[],
  double: DoubleProcess,
): Promise<void> {
  const placeOf = ({ name }: Tool): string => `${name.replace(" ", "-")}-${number}`;
  await double.ask("forget");
  fillMemory(base);
  for (const tool of tools) run(commandOf(tool, ["init"], placeOf(tool), source));
  for (const operation of OPERATIONS.filter((each) => wantedOperations.includes(each))) {
    for (const tool of tools) {
      const restored = join(restoredFolder, "restored");
      const args = {
        backup: ["backup", "."],
        unchanged: ["backup", "."],
        restore: ["restore", "latest", "--target", restored],
        check: ["check", "--read-data"],
      }[operation];
      settle();
      await double.ask("reset");
      const measured = measure(commandOf(tool, args, placeOf(tool), source));
      const { counts, cpu } = await double.ask("counts");
      if (restoredFolder === base) attic.take(restored);
      else rmSync(restored, { recursive: true, force: true });
      samples.push({ run: number, operation, tool: tool.name, ...measured, counts });
      console.error(
        `run ${number} ${operation.padEnd(9)} ${tool.name.padEnd(15)} ${measured.wall.toFixed(2)} s, ` +
          `CPU ${measured.cpu.toFixed(2)} s, ${(measured.memory / 1e6).toFixed(0)} MB, ${counts.requests} requests; the bucket CPU ${cpu.toFixed(2)} s`,
      );
    }
  }
}

function table(tools: readonly Tool[], gigabytes: number): string {
  const ratios = BASELINES.map((baseline) => `${baseline} / it`);
  const lines = [
    `| operation | tool | wall s | ${ratios.join(" | ")} | CPU s | memory MB, most | requests | requests per GB |`,
    `|---|---|---:|${"---:|".repeat(BASELINES.length)}---:|---:|---:|---:|`,
  ];
  for (const operation of wantedOperations) {
    const ofTool = (tool: string): Sample[] =>
      samples.filter((each) => each.operation === operation && each.tool === tool);
    for (const { name } of tools) {
      const own = ofTool(name);
      const ratio = (baseline: string): string => {
        const pairs = own.flatMap(({ run, wall }) => {
          const other = ofTool(baseline).find((each) => each.run === run);
          return other === undefined ? [] : [other.wall / wall];
        });
        if (baseline === name || pairs.length === 0) return "";
        const ends = [Math.min(...pairs), Math.max(...pairs)].map((each) => each.toFixed(2));
        return `${median(pairs).toFixed(2)} (${ends.join(" to ")})`;
      };
      const requests = median(own.map(({ counts }) => counts.requests));
      const cells = [
        operation,
        name,
        median(own.map(({ wall }) => wall)).toFixed(2),
        ...BASELINES.map(ratio),
        median(own.map(({ cpu }) => cpu)).toFixed(2),
        (Math.max(...own.map(({ memory }) => memory)) / 1e6).toFixed(0),
        requests,
        (requests / gigabytes).toFixed(0),
      ];
      lines.push(`| ${cells.join(" | ")} |`);
    }
  }
  return lines.join("\n");
}

const wantedOperations = options.ops.split(",") as Operation[];
const samples: Sample[] = [];
const base = mkdtempSync(join(options.folder, "holdfast-bench-"));
const source = join(base, "source");
mkdirSync(join(base, "caches"));
const restoredFolder = options.restored
  ? mkdtempSync(join(options.restored, "holdfast-bench-"))
  : base;
let double: DoubleProcess | undefined;
let attic: Attic;
try {
  if (options.build) run({ argv: [process.execPath, join(ROOT, "scripts", "build.ts")] });
  const { profile, seed } = options;
  const made = generateDataSet({ out: source, profile, seed, scale: Number(options.scale) });
  attic = new Attic(base, 3 * made.bytes);
  double = await DoubleProcess.start(Number(options.latency), REPOSITORIES_MAX * made.bytes);
  const tools = toolsAt(double.endpoint);
  const title = [
    `${profile} at ${options.scale}: ${made.files} files, ${(made.bytes / 1e6).toFixed(0)} MB; ${options.runs} runs; ` +
      `${options.latency} ms a request`,
    `${availableParallelism()} cores, ${cpus()[0]?.model.trim() ?? "unknown"}; load ${loadavg()[0]!.toFixed(1)}; the bucket runs on the same cores`,
  ].join("\n");
  console.error(title);
  for (let number = 1; number <= Number(options.runs); number++) {
    const turn = number % tools.length;
    await performAll(number, [...tools.slice(turn), ...tools.slice(0, turn)], double);
  }
  console.log(`${title}\n\n${table(tools, made.bytes / 1e9)}`);
  if (options.json) writeFileSync(options.json, JSON.stringify({ title, samples }, undefined, 2));
} finally {
  double?.stop();
  for (const each of [base, restoredFolder]) rmSync(each, { recursive: true, force: true });
}
