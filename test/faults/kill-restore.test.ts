// A restore that dies: no file under its own name is ever half there for the modes that would keep it, and the same
// command run again completes and leaves nothing behind.

import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { isCancellation } from "../../src/cli/exit-status.ts";
import type { Overwrite } from "../../src/files/restore-existing.ts";
import { forwarding } from "../../src/storage/forwarding.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { backUpPaths, openAt, restoreTo } from "./engine.ts";
import { plantTree } from "./source-tree.ts";
import { assertSameTree, describeTree, openWorkbench } from "./workbench.ts";

const bench = await openWorkbench({ after });
const source = bench.at("source");
plantTree(source, { large: 1_400_000, many: 8 });
await backUpPaths(await openAt(bench.repository), [source]);

/** Makes the target as a killed run of long ago left it: half a file, and other people's files. */
function spoil(target: string): void {
  mkdirSync(join(target, "many"), { recursive: true });
  writeFileSync(join(target, "large"), seededBytes("large", 600_000));
  writeFileSync(join(target, "many/file 3"), "something else");
  writeFileSync(join(target, "many/.holdfast-restore-0123456789abcdef"), "half");
}

/** Every file that is there under a name of the source is as in the source. */
function assertNothingHalf(target: string): void {
  const wanted = describeTree(source).lines;
  const content = (line: string | undefined): string =>
    /\d+ [0-9a-f]{64}/.exec(line ?? "")?.[0] ?? "";
  for (const [path, line] of Object.entries(describeTree(target).lines)) {
    if (content(line) !== "" && content(wanted[path]) !== "") {
      assert.equal(content(line), content(wanted[path]), path);
    }
  }
}

/** The system's mknod, which makes special files for the program, may outlive it for a moment. */
async function untilNoNodeIsMade(): Promise<void> {
  const isAtWork = (pid: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("mknod");
    } catch {
      return false;
    }
  };
  const deadline = Date.now() + 60_000;
  while (readdirSync("/proc").some((name) => /^\d+$/.test(name) && isAtWork(name))) {
    assert.ok(Date.now() < deadline, "somebody still makes nodes");
    await setTimeout(20);
  }
}

const restore = (target: string, overwrite: Overwrite): string[] => [
  "restore",
  `latest:${source}`,
  "--target",
  target,
  "--overwrite",
  overwrite,
  "--quiet",
];

const environment = { NODE_OPTIONS: `--import ${join(import.meta.dirname, "death.ts")}` };

type ThreadKind = "main" | "worker";

/** How many calls an undisturbed restore makes in threads of one kind, of which there may be two workers. */
async function countCalls(kind: ThreadKind): Promise<number> {
  const log = bench.at(`calls of ${kind}`);
  const env = { ...environment, DEATH_LOG: log, DEATH_IN: kind };
  await bench.holdfast(restore(bench.at(`probe of ${kind}`), "always"), { env, status: 0 });
  return statSync(log).size;
}

void suite("kill -9 of the program at one of its calls", () => {
  for (const kind of ["main", "worker"] as const) {
    void test(`into an empty target, in a ${kind} thread, then again`, async () => {
      const calls = await countCalls(kind);
      assert.ok(calls > 30, `${calls} calls`);
      const modes: readonly Overwrite[] = ["never", "always", "if-newer", "if-changed", "never"];
      let killed = 0;
      const total = 8;
      for (let kill = 0; kill < total; kill++) {
        const target = bench.at(`empty ${kind} ${kill}`);
        const overwrite = modes[kill % modes.length]!;
        // Calls of workers: on the first of several cores at least a third of them, and right after a write.
        const at = 1 + Math.floor((kill * calls) / (kind === "main" ? total : 3 * total));
        const env = { ...environment, DEATH_AT: String(at), DEATH_IN: kind };
        const run = await bench.holdfast(restore(target, overwrite), { env });
        if (run.signal === "SIGKILL") killed++;
        else assert.equal(run.status, 0, run.stderr);
        await untilNoNodeIsMade();
        const isCareful = overwrite === "never" || overwrite === "if-newer";
        if (existsSync(target) && isCareful) assertNothingHalf(target);
        const repository = await openAt(bench.repository);
        const again = await restoreTo(repository, `latest:${source}`, target, { overwrite });
        assert.equal(again.failures, 0);
        assertSameTree(target, source);
        rmSync(target, { recursive: true });
      }
      assert.ok(killed >= total / 2, `${killed} of ${total} were killed`);
    });
  }

  void test("again and again over the same target, until one completes", async () => {
    const calls = await countCalls("main");
    const target = bench.at("spoilt");
    spoil(target);
    const total = 10;
    for (let kill = 0; kill < total; kill++) {
      const kind = kill % 2 === 0 ? "main" : "worker";
      const at = String(2 + Math.floor((kill * calls) / total));
      const env = { ...environment, DEATH_AT: at, DEATH_IN: kind };
      await bench.holdfast(restore(target, "always"), { env });
    }
    const last = ["--delete", "--verify"];
    await bench.holdfast([...restore(target, "always"), ...last], { status: 0 });
    assertSameTree(target, source);
  });
});

void test("a cancelled restore leaves no temporary file and no half one", async () => {
  const controller = new AbortController();
  let reads = 0;
  const stopping = (storage: Storage): Storage =>
    forwarding(storage, {
      get: (key, options) => {
        if (key.startsWith("data/") && ++reads === 8) controller.abort();
        return storage.get(key, options);
      },
    });
  const repository = await openAt(bench.repository, stopping);
  const target = bench.at("cancelled");
  const restoring = restoreTo(repository, `latest:${source}`, target, {
    signal: controller.signal,
  });
  await assert.rejects(restoring, (error) => isCancellation(error));
  assertNothingHalf(target);
  const names = Object.keys(describeTree(target).lines);
  assert.deepEqual(
    names.filter((name) => name.includes(".holdfast-restore-")),
    [],
  );
  await restoreTo(await openAt(bench.repository), `latest:${source}`, target);
  assertSameTree(target, source);
});
