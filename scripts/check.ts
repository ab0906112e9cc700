// `npm run check`: everything that must hold before a commit, in under a minute. Prints one line a step, and the
// output of a step only when it fails. Names of steps as arguments run only those.

import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";

/** Folders with our TypeScript. Named, because a linter that walks everything also walks what is not ours. */
const FOLDERS = ["src", "test", "bench", "scripts"] as const;

interface Step {
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
}

const STEPS: readonly Step[] = [
  { name: "format", command: ["oxfmt", "--check", ...FOLDERS, "package.json", ".oxlintrc.json"] },
  { name: "lint", command: ["oxlint", "--type-aware", "--deny-warnings", ...FOLDERS] },
  { name: "types", command: ["tsc", "-p", "tsconfig.json"] },
  { name: "unused", command: ["knip"] },
  { name: "tidy", command: [process.execPath, "--test", "test/tidy.test.ts"] },
  { name: "unit", command: [process.execPath, "--test", "src/**/*.test.ts"] },
];

interface Outcome {
  readonly step: Step;
  readonly passed: boolean;
  readonly output: string;
  readonly seconds: number;
}

function run(step: Step): Promise<Outcome> {
  const [program, ...args] = step.command;
  const begun = performance.now();
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    const parts: Buffer[] = [];
    const finish = (passed: boolean, note = ""): void =>
      resolve({
        step,
        passed,
        output: Buffer.concat(parts).toString() + note,
        seconds: (performance.now() - begun) / 1000,
      });
    child.stdout.on("data", (part: Buffer) => parts.push(part));
    child.stderr.on("data", (part: Buffer) => parts.push(part));
    child.on("error", (error) => finish(false, error.message));
    child.on("close", (code) => finish(code === 0));
  });
}

/** Runs `steps` with at most `width` at a time; calls `done` as each one ends. */
async function runAll(
  steps: readonly Step[],
  width: number,
  done: (outcome: Outcome) => void,
): Promise<void> {
  const waiting = [...steps];
  const lane = async (): Promise<void> => {
    for (let step = waiting.shift(); step; step = waiting.shift()) done(await run(step));
  };
  await Promise.all(Array.from({ length: width }, lane));
}

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !STEPS.some((step) => step.name === name));
if (unknown.length > 0) {
  console.error(`no step ${unknown.join(", ")}; there are ${STEPS.map((s) => s.name).join(", ")}`);
  process.exit(1);
}
const steps = STEPS.filter((step) => asked.length === 0 || asked.includes(step.name));

await runAll(steps, Math.min(2, availableParallelism()), ({ step, passed, output, seconds }) => {
  console.log(`${passed ? "ok  " : "FAIL"}  ${step.name.padEnd(7)} ${seconds.toFixed(1)} s`);
  if (passed) return;
  process.exitCode = 1;
  console.log(output.trimEnd());
});
