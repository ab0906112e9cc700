// Drills of a real instance by the program itself: one that passes, and those that must not.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { systemRandom } from "../../src/base/clock.ts";
import type { DrillReport } from "../../src/odoo/drill.ts";
import { writeMarker } from "../../src/odoo/drill/marker.ts";
import { rotationIn } from "../../src/odoo/drill-reports.ts";
import { connect } from "../../src/postgres/connection.ts";
import { peer, skipWithout } from "../peers.ts";
import { settingsOf } from "../postgres/base-backups.ts";
import type { ProgramRun } from "../postgres/program.ts";
import { skipWithoutServer } from "../postgres/servers.ts";
import { makeProtectedInstance, messagesOf, type ProtectedInstance } from "./protected-instance.ts";

const skip = skipWithoutServer();
let made: ProtectedInstance;

before(async () => {
  if (!skip) made = await makeProtectedInstance();
});

after(async () => {
  await made?.[Symbol.asyncDispose]();
});

async function drill(...words: string[]): Promise<{ run: ProgramRun; report: DrillReport }> {
  const run = await made.holdfast(["drill", "--json", ...words]);
  const summary = messagesOf(run).find(({ message_type: type }) => type === "summary");
  assert.ok(summary, `${run.status} ${run.stdout}\n${run.stderr}`);
  assert.deepEqual(readdirSync(made.scratch), [], "nothing is left of it");
  return { run, report: summary["report"] as DrillReport };
}

function resultOf({ checks }: DrillReport, name: string): string {
  const found = checks.filter((check) => check.name === name);
  return found.map(({ result }) => result).join() || "none";
}

test(
  "a drill recovers what was written after it began, and says so in a signed report",
  { skip },
  async () => {
    await made.instance.attach("later.txt", Buffer.from("written after the nightly snapshot"));
    await made.capture();
    const folder = mkdtempSync(join(made.scratch, "..", "reports-"));
    const key = join(folder, "key.pem");
    await made.done(["drill", "--make-key", key]);
    // The captures must stand for the marker: one comes while the drill waits.
    const capturing = capturesUntil();
    const { run, report } = await drill(
      "-d",
      made.conninfo,
      "--report",
      folder,
      "--sign-key",
      key,
      "--command",
      'test "$(psql -Atc "SELECT count(*) FROM ir_attachment")" = 8 && test "$(ls $HOLDFAST_DRILL_FILESTORE/* | grep -c "^[0-9a-f]\\{40\\}")" = 7 && echo all there',
    );
    await capturing.stop();
    assert.equal(report.verdict, "passed", JSON.stringify(report.checks, undefined, 1));
    assert.equal(run.status, 0);
    for (const name of [
      "marker",
      "captures",
      "recovery",
      "references",
      "content",
      "tables",
      "pages",
      "command",
    ])
      assert.equal(resultOf(report, name), "ok", name);
    assert.match(report.target, /restore point "holdfast-drill-[0-9a-f]{16}"/);
    assert.equal(report.files?.referenced, 7);
    assert.equal(report.files?.read, 7);
    assert.ok(report.recovery_ms! > 0);

    const names = readdirSync(folder);
    const json = names.find((name) => name.endsWith(".json"))!;
    assert.deepEqual(JSON.parse(readFileSync(join(folder, json), "utf8")), report);
    assert.match(readFileSync(join(folder, json.replace(/json$/, "md")), "utf8"), /: passed\n/);
    const verified = await made.done([
      "drill",
      "--verify",
      join(folder, json),
      "--public-key",
      `${key}.pub`,
    ]);
    assert.match(verified.stdout, /signed by the key [0-9a-f]{16}/);
    const openssl = spawnSync("openssl", [
      "pkeyutl",
      "-verify",
      "-pubin",
      "-rawin",
      "-inkey",
      `${key}.pub`,
      "-in",
      join(folder, json),
      "-sigfile",
      join(folder, `${json}.sig`),
    ]);
    if (openssl.error === undefined) assert.equal(openssl.status, 0, String(openssl.stderr));
    writeFileSync(
      join(folder, json),
      readFileSync(join(folder, json), "utf8").replace("passed", "better"),
    );
    const changed = await made.holdfast([
      "drill",
      "--verify",
      join(folder, json),
      "--public-key",
      `${key}.pub`,
    ]);
    assert.equal(changed.status, 1);
    assert.match(changed.stderr, /the signature does not belong to this report/);
  },
);

/** Makes captures, one after the other, until it is stopped: those that a daemon would make. */
function capturesUntil(): { stop: () => Promise<void> } {
  let isOver = false;
  const running = (async () => {
    while (!isOver) await made.capture();
  })();
  return {
    async stop() {
      isOver = true;
      await running;
    },
  };
}

test(
  "the report is kept beside the captures, where real restic finds it",
  { skip: skip || skipWithout("restic-newest") },
  () => {
    const env = { PATH: "/usr/bin:/bin", ...made.environment, RESTIC_REPOSITORY: made.captures };
    const restic = (...words: string[]): string =>
      execFileSync(peer("restic-newest").path, words, { env, encoding: "utf8" });
    const found = JSON.parse(restic("snapshots", "--json", "--tag", "holdfast-drill")) as {
      id: string;
      tags: string[];
    }[];
    assert.equal(found.length, 1);
    assert.ok(found[0]!.tags.includes("verdict=passed"), String(found[0]!.tags));
    const listed = restic("ls", found[0]!.id);
    const path = /^\/holdfast\/drills\/drill-.*\.json$/m.exec(listed)![0];
    const report = JSON.parse(restic("dump", found[0]!.id, path)) as DrillReport;
    assert.equal(report.verdict, "passed");
    restic("check", "--read-data");
  },
);

test(
  "without a live server nothing is called passed; what a killed drill left is removed, and nothing else",
  { skip },
  async () => {
    const left = join(made.scratch, "holdfast-scratch-left00");
    const foreign = join(made.scratch, "holdfast-scratch-other0");
    for (const [folder, owner] of [
      [left, { hostname: hostname(), pid: 2 ** 22 + 1 }],
      [foreign, { hostname: "another", pid: 2 ** 22 + 1 }],
    ] as const) {
      mkdirSync(folder);
      writeFileSync(join(folder, ".holdfast-scratch.json"), JSON.stringify(owner));
    }
    const folder = mkdtempSync(join(made.scratch, "..", "sampled-"));
    const words = ["drill", "--json", "--quick", "--no-store", "--sample", "1", "--report", folder];
    const run = await made.holdfast(words);
    assert.equal(run.status, 0, run.stderr);
    assert.match(run.stderr, /removed .*holdfast-scratch-left00/);
    assert.deepEqual(readdirSync(made.scratch), ["holdfast-scratch-other0"]);
    rmSync(foreign, { recursive: true });
    const report = messagesOf(run).at(-1)!["report"] as DrillReport;
    assert.equal(report.verdict, "incomplete");
    assert.equal(resultOf(report, "marker"), "not checked");
    assert.equal(resultOf(report, "recovery"), "ok");
    assert.equal(resultOf(report, "pages"), "not checked");
    assert.equal(report.files!.present, 7);
    assert.equal(report.files!.read, 1);
    assert.equal(await rotationIn(folder), report.files!.rotation);
  },
);

test(
  "an archive that has stopped fails the drill, although it restores very well",
  { skip },
  async () => {
    await made.server.sql("ALTER SYSTEM SET archive_command = 'false'");
    await made.server.sql("SELECT pg_reload_conf()");
    try {
      const { run, report } = await drill("-d", made.conninfo, "--patience", "1s", "--quick");
      assert.equal(run.status, 1);
      assert.equal(report.verdict, "failed");
      assert.equal(resultOf(report, "marker"), "failed");
      assert.equal(resultOf(report, "recovery"), "ok");
      assert.match(run.stderr, /DRILL_FAILED|the drill failed: marker/);
    } finally {
      await made.server.sql("ALTER SYSTEM RESET archive_command");
      await made.server.sql(
        `ALTER SYSTEM SET archive_command = '${made.archive.archiveCommand.replaceAll("'", "''")}'`,
      );
      await made.server.sql("SELECT pg_reload_conf()");
    }
  },
);

test(
  "a file that no backup has, and a command that fails, fail the drill by name",
  { skip },
  async () => {
    const path = await made.instance.attach("nowhere.txt", Buffer.from("no backup has this"));
    rmSync(join(made.instance.folder, path));
    await made.archiveWal();
    const { run, report } = await drill(
      "--quick",
      "--no-store",
      "--command",
      "echo no >&2; exit 7",
      "--captures",
      made.captures,
    );
    assert.equal(run.status, 1);
    assert.equal(resultOf(report, "references"), "failed");
    assert.deepEqual(report.files!.missing, [path.slice(3)]);
    assert.equal(resultOf(report, "command"), "failed");
    assert.match(report.checks.find(({ name }) => name === "command")!.detail, /ended with 7: no/);
    await made.instance.sql("DELETE FROM ir_attachment WHERE name = 'nowhere.txt'");
  },
);

test(
  "one grant is enough to write a marker, and without it the server says no",
  { skip },
  async () => {
    await made.server.sql("CREATE ROLE driller LOGIN");
    const write = async (): Promise<string> => {
      const settings = { ...settingsOf(made.server), user: "driller" };
      const connection = await connect({ settings });
      try {
        return (await writeMarker(connection, { random: systemRandom })).name;
      } finally {
        await connection.close();
      }
    };
    await assert.rejects(write(), { code: "POSTGRES_DENIED" });
    await made.server.sql("GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO driller");
    const [one, other] = [await write(), await write()];
    assert.match(one, /^holdfast-drill-[0-9a-f]{16}$/);
    assert.notEqual(one, other);
  },
);
