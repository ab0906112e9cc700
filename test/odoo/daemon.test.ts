// `holdfast run` on a live instance: protected from an empty repository on, through outages of the storage and the server and
// a kill -9, and stopped well; what it says of itself is what `holdfast status` finds in the bucket.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { readLsn } from "../../src/barman/lsn.ts";
import { parseJournal } from "../../src/plan/journal.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { runProgram, type ProgramRun } from "../postgres/program.ts";
import { skipWithoutServer, until } from "../postgres/servers.ts";
import { openInstance, type InstanceBench, type RunningProgram } from "./instance-bench.ts";

/** A plan for the bench, with what `more` says of the instance. */
export function writePlan(bench: InstanceBench, more: string): string {
  const path = join(bench.root, "plan.yaml");
  writeFileSync(
    path,
    `state: state
window: 7d
instances:
  - name: production
    filestore: ${bench.filestore}
    database: { connect: "host=${bench.server.host} user=postgres dbname=odoo" }
    repository: { owned: true }
    archive: { owned: true, receive: { unlimitedSlot: true, partialAfter: 300ms } }
${more}`,
  );
  return path;
}

const PLAN = `    capture: { interval: 1s }
    schedules: { base: "0 1 1 1 *", snapshot: "0 2 1 1 *", expire: "0 3 1 1 *", prune: "0 4 1 1 *", drill: "0 5 1 1 *" }
`;

/** The messages that a program has printed. */
function messages(program: RunningProgram): () => Record<string, unknown>[] {
  let text = "";
  program.child.stdout!.on("data", (data: string) => (text += data));
  return () =>
    text
      .split("\n")
      .slice(0, -1)
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
}

interface StatusMessage {
  sentence: string;
  filestores: {
    watermark: { lsn: string; missing: number; corrupt: number } | null;
    joint_moments: unknown[];
  }[];
}

async function statusOf(bench: InstanceBench): Promise<StatusMessage> {
  const { stdout } = await bench.holdfast(["status", "--json"]);
  return JSON.parse(stdout) as StatusMessage;
}

/** Resolves when the bucket proves that everything up to `position` can come back. */
async function untilProtected(bench: InstanceBench, position: string): Promise<void> {
  await until(`the watermark to pass ${position}`, async () => {
    const [found] = (await statusOf(bench)).filestores;
    const lsn = found?.watermark?.lsn;
    return lsn !== undefined && readLsn(lsn)! >= readLsn(position)!;
  });
}

void suite("holdfast run", { skip: skipWithoutServer() }, () => {
  void test("protects, survives what happens to it, and stops well", async () => {
    await using bench = await openInstance({ seed: "daemon" });
    await bench.odoo.populate(30);
    const plan = writePlan(bench, PLAN);
    const words = ["run", "-f", plan, "--json"];

    // Nothing was ever made, so everything begins at once.
    const first = bench.start(words);
    const said = messages(first);
    const isDone = (task: string): boolean =>
      said().some((one) => one["task"] === task && one["event"] === "done");
    await until("the first backups", () => Promise.resolve(isDone("base") && isDone("snapshot")));
    await bench.odoo.work(30);
    await untilProtected(bench, await bench.position());
    const other = await bench.holdfast(["run", "-f", plan], 1);
    assert.match(other.stderr, /another `holdfast run` uses/);

    // The storage goes away and comes back.
    const away = `${bench.archive}-away`;
    renameSync(bench.archive, away);
    renameSync(bench.captures, `${bench.captures}-away`);
    await bench.odoo.work(30);
    await until("the capture to fail", () =>
      Promise.resolve(said().some((one) => one["task"] === "capture" && one["event"] === "failed")),
    );
    renameSync(away, bench.archive);
    renameSync(`${bench.captures}-away`, bench.captures);
    await untilProtected(bench, await bench.position());
    assert.ok(said().some((one) => one["task"] === "capture" && one["event"] === "recovered"));

    // The server closes all connections, as when it restarts.
    await bench.ask(
      "SELECT pg_terminate_backend(pid)::int::text FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type IN ('walsender', 'client backend') AND application_name LIKE 'holdfast%'",
    );
    await bench.odoo.work(30);
    await untilProtected(bench, await bench.position());

    // It is killed, and nobody runs for a while.
    await first.kill();
    await bench.odoo.work(30);
    const second = bench.start(words);
    const saidThen = messages(second);
    await untilProtected(bench, await bench.position());
    const [found] = (await statusOf(bench)).filestores;
    assert.deepEqual([found!.watermark!.missing, found!.watermark!.corrupt], [0, 0]);
    // A drill, its report kept where captures are, beside the running service.
    const drill = await bench.holdfast(["run", "-f", plan, "--once", "drill", "--json"]);
    assert.match(drill.stdout, /"event":"done".*"verdict":"passed"/);
    assert.doesNotMatch(drill.stdout, /notice/);
    // What was made stays made: nothing was due.
    const begun = saidThen()
      .filter((one) => one["event"] === "started")
      .map((one) => one["task"]);
    assert.deepEqual(new Set(begun), new Set(["capture", "receive"]));
    await second.stop();

    // Every file that rows refer to is in a snapshot or a capture.
    const names = new Set<string>();
    for (const repository of [bench.repository, bench.captures]) {
      const { stdout: list } = await bench.holdfast(["snapshots", "--json", "-r", repository]);
      for (const { id } of JSON.parse(list) as { id: string }[]) {
        const { stdout } = await bench.holdfast(["ls", "--json", "-r", repository, id]);
        for (const [sha1] of stdout.matchAll(/[0-9a-f]{40}(?=")/g)) names.add(sha1);
      }
    }
    const lost = [...bench.odoo.referenced].filter((sha1) => !names.has(sha1));
    assert.deepEqual(lost, []);

    // One task by hand, and the journal tells all of it.
    const once = await bench.holdfast(["run", "-f", plan, "--once", "expire", "--json"]);
    assert.match(once.stdout, /"event":"done".*"snapshots":0/);
    const { stdout: told } = await bench.holdfast(["status", "--state", join(bench.root, "state")]);
    for (const line of [
      /production base: done/,
      /production expire: done/,
      /production capture: recovered/,
    ])
      assert.match(told, line);
  });
});

void test("a plan that is not valid begins nothing, and one that is can be looked at", async () => {
  const root = mkdtempSync(join(tmpdir(), "holdfast-plan-"));
  const run = async (...words: string[]): Promise<ProgramRun> =>
    await runProgram(words, { cwd: root, env: { HOME: root } });
  try {
    const text = "instances:\n  - name: one\n    filestore: files\n    repository: {}\n";
    writeFileSync(join(root, "bad.yaml"), `${text}    captures: { interval: 1s }\n`);
    const bad = await run("run", "-f", "bad.yaml");
    assert.equal(bad.status, 1);
    assert.match(
      bad.stderr,
      /bad\.yaml:5:5: instances\[0\]\.captures is not known here: did you mean `capture`\?/,
    );
    assert.match((await run("plan", "check", "absent.yaml")).stderr, /there is no such file/);
    writeFileSync(
      join(root, "good.yaml"),
      `${text}    window: 7d\n    capture: { interval: 1s }\n`,
    );
    const check = await run("plan", "check", "good.yaml");
    assert.match(check.stdout, /any moment of the last 7d stays recoverable/, check.stderr);
    const schema = await run("plan", "schema");
    assert.equal((JSON.parse(schema.stdout) as { type: string }).type, "object");
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

void test("a plan by itself: secrets from a file beside it, one task, and what it failed with", async () => {
  const root = mkdtempSync(join(tmpdir(), "holdfast-plan-"));
  const run = async (...words: string[]): Promise<ProgramRun> =>
    await runProgram(words, { cwd: "/", env: { HOME: root } });
  const plan = join(root, "plan.yaml");
  try {
    const repository = join(root, "repository");
    await createQuickRepository(repository, "a password of these tests");
    mkdirSync(join(root, "secrets"));
    writeFileSync(
      join(root, "secrets", "one.env"),
      `RESTIC_REPOSITORY=${repository}\nRESTIC_PASSWORD=a password of these tests\n`,
    );
    mkdirSync(join(root, "files", "ab"), { recursive: true });
    writeFileSync(join(root, "files", "ab", `ab${"0".repeat(38)}`), "content");
    writeFileSync(
      plan,
      `state: state
secrets: { files: [secrets/one.env] }
instances:
  - { name: one, filestore: files, repository: { host: web1 }, schedules: { snapshot: "@daily" } }
  - { name: two, filestore: absent, repository: {}, schedules: { snapshot: "@daily" } }
`,
    );
    const made = await run("run", "-f", plan, "--once", "snapshot", "--instance", "one");
    assert.equal(made.status, 0, made.stderr);
    assert.match(made.stdout, /one snapshot: snapshot [0-9a-f]{8} of 1 files/);
    const failed = await run("run", "-f", plan, "--once", "snapshot");
    assert.equal(failed.status, 1);
    assert.match(failed.stderr, /absent/);
    const journal = parseJournal(readFileSync(join(root, "state", "runs.jsonl"), "utf8"));
    assert.deepEqual(
      journal.map(({ instance, outcome, code }) => [instance, outcome, code]),
      [
        ["one", "done", undefined],
        ["one", "done", undefined],
        ["two", "failed", "SOURCE_MISSING"],
      ],
    );
    const keyless = join(root, "keyless.yaml");
    const archive = "archive: { server: odoo, receive: {} }, database: {}";
    writeFileSync(
      keyless,
      `instances: [{ name: one, filestore: files, repository: {}, capture: {}, ${archive} }]`,
    );
    // Nothing would ever come of it: it does not begin, and nobody's standard input is read for a password.
    const nameless = await run("run", "-f", keyless);
    assert.equal(nameless.status, 1);
    assert.match(
      nameless.stderr,
      /one: nothing says where the archive is, nor where the repository is/,
    );
    writeFileSync(
      keyless,
      `${readFileSync(keyless, "utf8").replace("{}", `{ location: ${repository} }`)}`,
    );
    assert.match((await run("run", "-f", keyless)).stderr, /nor the repository's password/);
    const wrong = await run("run", "-f", plan, "--once", "drill");
    assert.match(wrong.stderr, /no task "drill".*\n.*It has snapshot/s);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
