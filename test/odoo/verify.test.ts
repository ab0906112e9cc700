// `verify` on real servers, folders and repositories: everything that can be wrong with a file is told for what it is, with
// the record that it belongs to, and nothing else is.

import assert from "node:assert/strict";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Progress } from "../../src/base/progress.ts";
import { isInconsistent, verifyAttachments } from "../../src/odoo/verify.ts";
import type { VerifyReport } from "../../src/odoo/verify.ts";
import { EMPTY_SHA1 } from "../../src/odoo/store-name.ts";
import { runProgram } from "../postgres/program.ts";
import { skipWithoutServer } from "../postgres/servers.ts";
import { insertRow, sha1Of } from "./attachment-rows.ts";
import { HandMadeInstance } from "./hand-made-instance.ts";

describe("verify", { skip: skipWithoutServer(15) }, () => {
  let instance: HandMadeInstance;
  let bundle: number;
  before(async () => {
    instance = await HandMadeInstance.make();
    const { connection, filestore } = instance;
    await instance.attach("good", { res_model: "res.partner", res_id: 1 });
    await instance.row("good", { name: "again" });
    await instance.row("lost", { name: "invoice.pdf", res_model: "account.move", res_id: 42 });
    await instance.attach("blank");
    instance.write("blank", "");
    await instance.attach("a truncated one");
    instance.write("a truncated one", "a trunc");
    await instance.attach("encrypted");
    instance.write("encrypted", "detpyrcne");
    await instance.row("linked");
    mkdirSync(join(instance.path("linked"), ".."), { recursive: true });
    writeFileSync(join(instance.folder, "linked"), "linked");
    symlinkSync(join(instance.folder, "linked"), instance.path("linked"));
    bundle = await instance.row("bundle", {
      url: "/web/assets/1/abc/web.assets_web.min.js",
      res_model: "ir.ui.view",
    });
    await instance.row("", { store_fname: `da/${EMPTY_SHA1}`, checksum: EMPTY_SHA1 });
    instance.write("orphan");
    instance.write("garbage");
    const garbage = sha1Of("garbage");
    mkdirSync(join(filestore, "checklist", garbage.slice(0, 2)), { recursive: true });
    writeFileSync(join(filestore, "checklist", garbage.slice(0, 2), garbage), "");
    writeFileSync(join(filestore, "README"), "of somebody");
    await connection.query(
      insertRow({ name: "cloud", type: "cloud_storage", url: "https://storage.example/x" }) +
        insertRow({ name: "link", type: "url", url: "https://example.com" }),
    );
  });
  after(async () => await instance?.[Symbol.asyncDispose]());

  const verify = async (namesOnly = false): Promise<VerifyReport> =>
    await verifyAttachments({
      connection: instance.connection,
      source: { kind: "folder", folder: instance.filestore },
      namesOnly,
      threads: 2,
      progress: new Progress(),
    });
  const states = ({ findings }: VerifyReport): Record<string, string> =>
    Object.fromEntries(
      findings.map(({ sha1, condition, regenerable }) => [
        sha1,
        regenerable ? `regenerable ${condition.state}` : condition.state,
      ]),
    );
  const named = (expected: Record<string, string>): Record<string, string> =>
    Object.fromEntries(Object.entries(expected).map(([text, state]) => [sha1Of(text), state]));

  test("what is wrong with a file is told for what it is", async () => {
    const report = await verify();
    assert.ok(isInconsistent(report));
    assert.deepEqual(
      states(report),
      named({
        lost: "missing",
        blank: "empty",
        "a truncated one": "truncated",
        encrypted: "altered",
        linked: "unreadable",
        bundle: "regenerable missing",
        "": "regenerable missing",
      }),
    );
    assert.deepEqual(report.ok, { files: 1, bytes: 4 });
    assert.equal(report.references.cloud, 1);
    const [first] = report.findings;
    assert.equal(first!.condition.state, "missing");
    assert.equal(first!.records[0]!.name, "invoice.pdf");
    assert.equal(first!.records[0]!.res_model, "account.move");
    assert.equal(first!.records[0]!.res_id, 42);
  });

  test("files without a row are told, those of the collector apart, and are no error", async () => {
    const { orphans, strangers } = await verify();
    assert.equal(orphans.files, 2);
    assert.equal(orphans.bytes, "orphangarbage".length);
    assert.equal(orphans.marked, 1);
    assert.deepEqual(strangers, { count: 1, examples: ["README"] });
  });

  test("names and sizes alone find what they can, and call nothing checked", async () => {
    const report = await verify(true);
    const found = states(report);
    assert.equal(found[sha1Of("encrypted")], undefined, "as long as it was");
    assert.equal(found[sha1Of("a truncated one")], "truncated");
    assert.equal(found[sha1Of("blank")], "empty");
    assert.equal(found[sha1Of("lost")], "missing");
    assert.equal(report.namesOnly, true);
  });

  test("the statement for broken bundles takes away exactly theirs", async () => {
    const { repairBundles } = await verify();
    assert.ok(repairBundles);
    const connection = instance.connection;
    const deleted = `WITH gone AS (${repairBundles.replace(/;$/, " RETURNING id")}) SELECT id FROM gone`;
    await connection.query("BEGIN");
    assert.deepEqual(await connection.query(deleted), [{ id: String(bundle) }]);
    await connection.query("ROLLBACK");
  });

  test("the command says it to people, and to programs", async () => {
    const words = ["verify", "--filestore", instance.filestore, "--growth", "3"];
    const people = await runProgram(words, { env: instance.environment });
    assert.equal(people.status, 3, people.stderr);
    assert.match(people.stdout, /MISSING +1 file/);
    assert.match(people.stdout, /"invoice\.pdf" of account\.move 42 \(attachment \d+\)/);
    assert.match(people.stdout, /WARNING: 1 attachment of cloud_storage/);
    assert.match(people.stdout, /DELETE FROM ir_attachment/);
    assert.match(people.stderr, /5 files missing or damaged/);
    const programs = await runProgram([...words, "--json"], { env: instance.environment });
    assert.equal(programs.status, 3);
    const message = programs.stdout
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .find((each) => each["message_type"] === "verify");
    assert.equal(message!["ok"], false);
    assert.equal((message!["findings"] as unknown[]).length, 7);
  });

  test("a folder that is no filestore is an error of its own, not a thousand findings", async () => {
    const words = ["verify", "--filestore", join(instance.folder, "nowhere")];
    const run = await runProgram(words, { env: instance.environment });
    assert.equal(run.status, 1);
    assert.match(run.stderr, /there is no filestore at/);
  });

  test("a snapshot and the pool are verified as folders are", async () => {
    const repository = join(instance.folder, "repository");
    const env = {
      ...instance.environment,
      RESTIC_REPOSITORY: repository,
      RESTIC_PASSWORD: "secret",
      RESTIC_CACHE_DIR: join(instance.folder, "cache"),
    };
    const run = async (...words: string[]) => await runProgram(words, { env });
    assert.equal((await run("init")).status, 0);
    assert.equal((await run("backup", instance.filestore)).status, 0);
    // The second snapshot has what the first has not, and the other way round.
    rmSync(instance.path("good"));
    instance.write("encrypted");
    assert.equal((await run("backup", instance.filestore)).status, 0);
    instance.write("good");
    // Attached since: no snapshot can have it.
    await instance.attach("late", { create_date: new Date(Date.now() + 5000).toISOString() });
    const findings = async (...words: string[]): Promise<string[]> => {
      const { stdout, stderr } = await run("verify", "--json", ...words);
      assert.match(stdout, /"message_type":"verify"/, stderr);
      const line = stdout.split("\n").find((each) => each.includes('"message_type":"verify"'))!;
      const { findings: found } = JSON.parse(line) as {
        findings: { sha1: string; state: string; regenerable: boolean; newer: boolean }[];
      };
      return found
        .filter(({ regenerable, newer }) => !regenerable && !newer)
        .map(({ sha1, state }) => `${sha1} ${state}`);
    };
    const lines = (expected: Record<string, string>): string[] =>
      Object.entries(expected).map(([text, state]) => `${sha1Of(text)} ${state}`);
    const common = {
      lost: "missing",
      linked: "missing",
      blank: "unreadable",
      "a truncated one": "unreadable",
    };
    assert.deepEqual(
      (await findings("--snapshot", "latest")).toSorted(),
      lines({ ...common, good: "missing" }).toSorted(),
    );
    assert.deepEqual(
      (await findings("--pool")).toSorted(),
      lines({ ...common, late: "missing" }).toSorted(),
    );
    const names = await run("verify", "--snapshot", "latest", "--names-only", "--json");
    assert.match(names.stdout, /"content_checked":false/);
  });

  test("a whole instance is whole", async () => {
    await instance.connection.query("TRUNCATE ir_attachment, attachment_history");
    await instance.attach("good");
    const run = await runProgram(["verify", "--filestore", instance.filestore], {
      env: instance.environment,
    });
    assert.equal(run.status, 0, run.stderr);
    assert.match(run.stdout, /The one file is whole\./);
  });
});
