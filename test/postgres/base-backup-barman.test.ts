// Backups of ours in a server of S3, read, shown and restored by Barman's own cloud programs, the oldest that we write for and
// the newest; and a PostgreSQL server started on what they restored.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { skipWithout } from "../peers.ts";
import { startVersitygw, type S3Server } from "../s3/versitygw.ts";
import {
  barmanCloud,
  s3Environment,
  walSpool,
  type BarmanTarget,
  type WalSpool,
} from "./barman-cloud.ts";
import { runProgram, startProgram, type ProgramRun } from "./program.ts";
import {
  serverAccount,
  serverOwnedFolder,
  skipWithoutServer,
  startTestServer,
  until,
  type Major,
  type TestServer,
} from "./servers.ts";

const SERVER = "odoo";

interface Summary {
  readonly message_type: string;
  readonly id: string;
  readonly parts: number;
  readonly system_id: string;
  readonly begin_lsn: string;
  readonly end_lsn: string;
}

for (const [name, major] of [
  ["barman-oldest", 15],
  ["barman-newest", 18],
] as const satisfies readonly (readonly [BarmanTarget["name"], Major])[]) {
  const skip = skipWithoutServer(major) || skipWithout("versitygw", name);
  suite(`backups of PostgreSQL ${major}, read by ${name}`, { skip }, () => {
    const folders: string[] = [];
    let s3: S3Server;
    let server: TestServer;
    let spool: WalSpool;
    let spoolFolder: string;
    let target: BarmanTarget;
    let summary: Summary;

    const words = (more: readonly string[]): string[] => [
      "pg",
      "backup",
      `--archive=${target.url}`,
      `--server=${SERVER}`,
      `--option=s3.endpoint=${s3.endpoint}`,
      `--dbname=host=${server.host} user=postgres dbname=postgres`,
      "--json",
      "--part-size=6M",
      ...more,
    ];

    /** Makes a backup, while Barman archives what the server lays into the spool. */
    const backUp = async (...more: string[]): Promise<ProgramRun> => {
      const { ended } = startProgram(words(more), { env: s3Environment(s3) });
      let result: ProgramRun | undefined;
      void ended.then((run) => (result = run));
      return await until("the backup", async () => {
        await spool.push(target, []);
        return result;
      });
    };

    before(async () => {
      s3 = await startVersitygw();
      target = { name, s3, url: `s3://${s3.makeBucket()}/base`, server: SERVER };
      const space = serverOwnedFolder("space");
      spoolFolder = serverOwnedFolder("spool");
      folders.push(space, spoolFolder);
      spool = walSpool(spoolFolder);
      server = await startTestServer({ major, archiveCommand: spool.archiveCommand });
      await server.sql(`CREATE TABLESPACE apart LOCATION '${space}'`);
      await server.sql(
        "CREATE TABLE far TABLESPACE apart AS SELECT generate_series(1, 30000) AS i",
      );
      await server.sql(
        "CREATE TABLE near AS SELECT i, md5(i::text) AS t FROM generate_series(1, 50000) i",
      );
      const run = await backUp("--name", "nightly");
      assert.equal(run.status, 0, run.stderr);
      const messages = run.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Summary);
      summary = messages.at(-1)!;
      assert.equal(summary.message_type, "summary");
    });
    after(async () => {
      await server?.stop();
      await s3?.stop();
      for (const folder of folders) rmSync(folder, { recursive: true, force: true });
    });

    test("backup-list has it, done, with what we said of it", async () => {
      const listed = JSON.parse(await barmanCloud(target, "backup-list", ["--format", "json"])) as {
        backups_list: Record<string, unknown>[];
      };
      const [backup, ...others] = listed.backups_list;
      assert.equal(others.length, 0);
      assert.deepEqual(
        ["backup_id", "status", "backup_name", "begin_xlog", "end_xlog", "systemid", "error"].map(
          (key) => backup![key],
        ),
        [
          summary.id,
          "DONE",
          "nightly",
          summary.begin_lsn,
          summary.end_lsn,
          summary.system_id,
          null,
        ],
      );
    });

    test("backup-show has it under the name that CloudNativePG looks for", async () => {
      const shown = await barmanCloud(target, "backup-show", ["--format", "json"], [summary.id]);
      const { cloud } = JSON.parse(shown) as { cloud: Record<string, unknown> };
      assert.equal(cloud["backup_id"], summary.id);
      assert.equal(cloud["status"], "DONE");
    });

    test("restore brings it back, tablespace and all, and the server starts on it", async () => {
      const root = serverOwnedFolder("barman-restored");
      folders.push(root);
      const data = join(root, "data");
      const space = join(root, "space");
      await barmanCloud(target, "restore", ["--tablespace", `apart:${space}`], [summary.id, data]);
      assert.ok(summary.parts > 2);
      assert.equal(statSync(data).mode & 0o777, 0o700);
      const account = serverAccount();
      if (account) execFileSync("chown", ["-hR", `${account.uid}:${account.gid}`, root]);
      const lines = ["archive_mode = off", `restore_command = 'cp ${spoolFolder}/%f %p'`];
      appendFileSync(join(data, "postgresql.conf"), `${lines.join("\n")}\n`);
      writeFileSync(join(data, "recovery.signal"), "");
      await using restored = await startTestServer({ major, dataDirectory: data });
      await until("recovery to end", async () => {
        const [row] = await restored.sql<{ open: boolean }>(
          "SELECT NOT pg_is_in_recovery() AS open",
        );
        return row!.open;
      });
      for (const sums of [
        "SELECT count(*)::int AS n, sum(i)::int AS s FROM far",
        "SELECT md5(string_agg(t, ',' ORDER BY i)) FROM near",
      ])
        assert.deepEqual(await restored.sql(sums), await server.sql(sums));
      assert.ok(readdirSync(space).length > 0);
    });

    test("a backup that failed is listed as failed, and Barman's deletion goes on working", async () => {
      const failed = await runProgram(words(["--wait-wal", "0"]), { env: s3Environment(s3) });
      assert.equal(failed.status, 1);
      assert.match(failed.stderr, /WAL that the backup needs did not come/);
      // Of a role that may not see where the server's files are, so that these fields stay empty.
      await server.sql("CREATE ROLE copier LOGIN REPLICATION");
      const good = await backUp(`--dbname=host=${server.host} user=copier dbname=postgres`);
      assert.equal(good.status, 0, good.stderr);
      const listed = JSON.parse(await barmanCloud(target, "backup-list", ["--format", "json"])) as {
        backups_list: { status: string; end_time: string | null; backup_id: string }[];
      };
      assert.deepEqual(listed.backups_list.map(({ status }) => status).toSorted(), [
        "DONE",
        "DONE",
        "FAILED",
      ]);
      const ended = listed.backups_list.find(({ status }) => status === "FAILED")!.end_time;
      assert.ok(ended === null || ended === "None" || ended === "", String(ended));
      await barmanCloud(target, "backup-delete", ["--retention-policy", "REDUNDANCY 1"]);
      const left = JSON.parse(
        await barmanCloud(target, "backup-list", ["--format", "json"]),
      ) as typeof listed;
      const done = left.backups_list.filter(({ status }) => status === "DONE");
      assert.equal(done.length, 1);
      const { backup_id: id } = done[0]!;
      assert.notEqual(id, summary.id);
      const root = serverOwnedFolder("barman-restored");
      folders.push(root);
      const data = join(root, "data");
      const space = `apart:${join(root, "space")}`;
      await barmanCloud(target, "restore", ["--tablespace", space], [id, data]);
      assert.ok(readdirSync(data).includes("PG_VERSION"));
    });
  });
}
