// `attachment find`, `versions` and `restore` end to end: a database and a filestore are captured while their attachments
// change and go, then both are gone, and single attachments come back from what captures keep.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect } from "../../src/postgres/connection.ts";
import { insertStatement } from "../../src/odoo/restore-attachment.ts";
import { peer, skipWithout } from "../peers.ts";
import { settingsOf } from "../postgres/base-backups.ts";
import { runProgram } from "../postgres/program.ts";
import { skipWithoutServer, startTestServer, type TestServer } from "../postgres/servers.ts";
import { fileRow, insertRow, sha1Of } from "./attachment-rows.ts";
import { CapturedStore, PASSWORD } from "./captured-store.ts";
import { createOdooSchema } from "./odoo-schema.ts";

interface Message {
  readonly message_type: string;
  readonly id: number;
  readonly deleted: boolean;
  readonly versions: readonly { name: string; sha1: string; from: { time: string } }[];
  readonly sql?: string;
}

describe("attachments of a lost instance", { skip: skipWithoutServer(15) }, () => {
  let server: TestServer;
  let store: CapturedStore;
  let beforeChange = "";
  before(async () => {
    server = await startTestServer({ major: 15 });
    await server.sql("CREATE DATABASE odoo");
    store = await CapturedStore.make();
    const settings = { ...settingsOf(server), database: "odoo" };
    const connection = await connect({ settings });
    try {
      await createOdooSchema(connection);
      const partner = { res_model: "res.partner", res_id: 42, mimetype: "application/pdf" };
      for (const text of ["contract", "kept", "evil", "first"]) store.write(text);
      const written = "2026-01-02 03:04:05";
      await connection.query(
        [
          fileRow("contract", { ...partner, name: "contract.pdf", write_date: written }),
          fileRow("kept", { ...partner, name: "Kept.PDF", write_date: written }),
          fileRow("evil", { name: "../../evil\u0007\n.sh", write_date: written }),
          fileRow("first", { name: "letter.odt", write_date: written }),
          insertRow({ name: "link", type: "url", url: "https://example.com" }),
        ].join("\n"),
      );
      const capture = store.capture({ connect: async () => await connect({ settings }) });
      await capture.tick();
      await store.backUp();
      capture.fullSnapshotMade();
      const [{ now } = {}] = await connection.query("SELECT clock_timestamp() AS now");
      beforeChange = new Date(`${now!.replace(" ", "T")}:00`).toISOString();
      // A letter is replaced, a contract is deleted, and Odoo's collector takes both old files.
      const second = store.write("second");
      await connection.query(
        `DELETE FROM ir_attachment WHERE id = 1;
         UPDATE ir_attachment SET store_fname = '${second.slice(0, 2)}/${second}', checksum = '${second}', file_size = 6,
           write_date = clock_timestamp() AT TIME ZONE 'UTC' WHERE id = 4`,
      );
      rmSync(store.path(sha1Of("first")));
      rmSync(store.path(sha1Of("contract")));
      await capture.tick();
      await capture.close();
    } finally {
      await connection.close();
    }
    await server.stop();
    rmSync(store.folder, { recursive: true });
  });
  after(() => store?.remove());

  const run = async (...words: string[]) =>
    await runProgram(["attachment", ...words, "--no-cache"], {
      cwd: store.root,
      env: {
        RESTIC_REPOSITORY: join(store.root, "main"),
        HOLDFAST_CAPTURES: join(store.root, "captures"),
        RESTIC_PASSWORD: PASSWORD,
      },
    });
  const messages = async (...words: string[]): Promise<Message[]> => {
    const { stdout, stderr } = await run(...words, "--json");
    const lines = stdout.split("\n").filter((line) => line !== "");
    assert.ok(lines.length > 0, stderr);
    return lines.map((line) => JSON.parse(line) as Message);
  };
  const ids = async (...words: string[]): Promise<number[]> =>
    (await messages("find", ...words)).map(({ id }) => id);

  test("find: by record, by name, by time, and those that are gone", async () => {
    assert.deepEqual(await ids("--model", "res.partner", "--id", "42"), [2]);
    assert.deepEqual(await ids("--model", "res.partner", "--id", "42", "--deleted"), [1]);
    assert.deepEqual(await ids("--model", "res.partner", "--at", beforeChange), [2, 1]);
    assert.deepEqual(await ids("--name", "*.pdf", "-i"), [2]);
    assert.deepEqual(await ids("--name", "*.pdf", "--at", beforeChange), [1]);
    assert.deepEqual(await ids(sha1Of("first"), "--at", beforeChange), [4]);
    assert.deepEqual(await ids(), [5, 4, 3, 2]);
    assert.deepEqual(await ids("--limit", "2"), [5, 4]);
  });

  test("find: says what might help when nothing is found", async () => {
    const gone = await run("find", "--name", "contract.pdf");
    assert.equal(gone.status, 1);
    assert.match(gone.stderr, /1 that matched once are deleted or were changed: add --deleted/);
    const lonely = await run("find", "--id", "42");
    assert.match(lonely.stderr, /hint: Add --model/);
    const nothing = await run("find", "--at", "2020-01-01");
    assert.equal(nothing.status, 1);
  });

  test("find: names are shown so that a terminal obeys none", async () => {
    const { stdout } = await run("find", "--name", "*evil*");
    assert.match(stdout, /evil\\a\\n\.sh|evil\\x07\\n\.sh/);
    assert.ok(!stdout.includes("\u0007"));
  });

  test("versions: from when to when", async () => {
    const [letter] = await messages("versions", "4");
    assert.deepEqual(
      letter!.versions.map(({ sha1 }) => sha1),
      [sha1Of("first"), sha1Of("second")],
    );
    assert.equal(letter!.versions[0]!.from.time, "2026-01-02T03:04:05.000Z");
    assert.ok(Date.parse(letter!.versions[1]!.from.time) >= Date.parse(beforeChange));
    const { stdout } = await run("versions", "1");
    assert.match(stdout, /^Attachment 1: contract\.pdf, deleted between 20.* and 20/m);
  });

  test("restore: what it was last, what it was then, and what is gone, each with its content", async () => {
    const to = join(store.root, "restored");
    mkdirSync(to);
    const last = await run("restore", "4", "--to", to);
    assert.equal(last.status, 0, last.stderr);
    assert.equal(readFileSync(join(to, "letter.odt"), "utf8"), "second");
    const then = await run("restore", "4", "--at", beforeChange, "--to", join(to, "then.odt"));
    assert.equal(then.status, 0, then.stderr);
    assert.equal(readFileSync(join(to, "then.odt"), "utf8"), "first");
    const gone = await run("restore", "1", "--to", to);
    assert.equal(gone.status, 0, gone.stderr);
    assert.equal(readFileSync(join(to, "contract.pdf"), "utf8"), "contract");
    const evil = await run("restore", "3", "--to", to);
    assert.equal(evil.status, 0, evil.stderr);
    assert.deepEqual(
      readdirSync(to).toSorted(),
      ["_.._evil__.sh", "contract.pdf", "letter.odt", "then.odt"].toSorted(),
    );
  });

  test("restore: no file is replaced, and one that is the same is success", async () => {
    const to = join(store.root, "other");
    writeFileSync(to, "of somebody");
    const refused = await run("restore", "2", "--to", to);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /another file is there/);
    assert.equal(readFileSync(to, "utf8"), "of somebody");
    writeFileSync(to, "kept");
    assert.equal((await run("restore", "2", "--to", to)).status, 0);
  });

  test("restore: by SHA-1 no catalogue is needed, and what has no file is told", async () => {
    const env = { RESTIC_REPOSITORY: join(store.root, "main"), RESTIC_PASSWORD: PASSWORD };
    const to = join(store.root, "bare");
    const words = ["attachment", "restore", sha1Of("contract"), "--to", to, "--no-cache"];
    const bare = await runProgram(words, { env });
    assert.equal(bare.status, 0, bare.stderr);
    assert.equal(readFileSync(to, "utf8"), "contract");
    const link = await run("restore", "5", "--to", join(store.root, "link"));
    assert.equal(link.status, 1);
    assert.match(link.stderr, /not in the filestore: it is no content at all, but a link/);
    const unknown = await run("restore", sha1Of("never"), "--to", join(store.root, "never"));
    assert.equal(unknown.status, 1);
    assert.match(unknown.stderr, /no snapshot and no capture has/);
    const early = await run("restore", "4", "--at", "2020-01-01 00:00:00", "--to", to);
    assert.match(early.stderr, /attachment 4 was not there then/);
  });

  test("restore: the statement makes the row again", async () => {
    const [message] = await messages(
      "restore",
      "1",
      "--to",
      join(store.root, "again.pdf"),
      "--sql",
    );
    assert.match(message!.sql!, /^INSERT INTO ir_attachment/);
    const other = await startTestServer({ major: 15 });
    try {
      const connection = await connect({ settings: settingsOf(other) });
      await createOdooSchema(connection);
      await connection.query(message!.sql!);
      const [row] = await connection.query("SELECT * FROM ir_attachment");
      assert.equal(row!["name"], "contract.pdf");
      assert.equal(row!["res_id"], "42");
      assert.equal(row!["checksum"], sha1Of("contract"));
      const hostile = insertStatement({
        id: 1,
        name: "'); DROP TABLE ir_attachment; --\\'",
        res_model: null,
        res_field: null,
        res_id: null,
        mimetype: null,
        size: 1,
        sha1: sha1Of("x"),
        from: { lsn: "0/1", time: "2026-01-01T00:00:00Z" },
        to: undefined,
      });
      await connection.query(hostile);
      assert.equal((await connection.query("SELECT 1 FROM ir_attachment")).length, 2);
      await connection.close();
    } finally {
      await other.stop();
    }
  });

  const restic = skipWithout("restic-newest");
  test("restic shows the catalogue, a line of JSON for each version", { skip: restic }, () => {
    const words = ["-r", join(store.root, "captures"), "--no-cache", "--no-lock", "dump", "latest"];
    const file = "/holdfast/odoo/attachments/000001.jsonl";
    const env = { PATH: "/usr/bin:/bin", RESTIC_PASSWORD: PASSWORD };
    const text = execFileSync(peer("restic-newest").path, [...words, file], { env }).toString();
    const lines = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      lines.filter(({ name }) => name !== undefined).map(({ name }) => name),
      ["contract.pdf", "Kept.PDF", "../../evil\u0007\n.sh", "letter.odt", "link", "letter.odt"],
    );
    assert.deepEqual(
      lines.filter(({ id, name }) => id !== undefined && name === undefined).map(({ id }) => id),
      [1],
    );
  });

  test("captures that cannot be read are told, and nothing is made up", async () => {
    const folder = join(store.root, "captures", "data");
    for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
      if (!/[0-9a-f]{64}$/.test(name)) continue;
      const { length } = readFileSync(join(folder, name));
      chmodSync(join(folder, name), 0o600);
      writeFileSync(join(folder, name), Buffer.alloc(length));
    }
    const find = await run("find", "--model", "res.partner");
    assert.equal(find.status, 1);
    assert.match(find.stderr, /capture [0-9a-f]{64}: .*; going on without it/);
    assert.match(find.stderr, /no capture of "odoo" has a catalogue of attachments/);
    // What the main repository has is there still.
    const to = join(store.root, "in-spite");
    const restore = await run("restore", sha1Of("contract"), "--to", to);
    assert.equal(restore.status, 0, restore.stderr);
    assert.equal(readFileSync(to, "utf8"), "contract");
  });
});
