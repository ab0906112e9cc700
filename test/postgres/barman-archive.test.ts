// Archives that Barman's cloud programs made of a real server, in a server of S3: we read them as Barman does, let go of
// what Barman would, keep what it keeps, and refuse what it refuses.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { formatLsn } from "../../src/barman/lsn.ts";
import { skipWithout } from "../peers.ts";
import { startVersitygw, type S3Server } from "../s3/versitygw.ts";
import { barmanCloud, s3Environment, walSpool, type BarmanTarget } from "./barman-cloud.ts";
import {
  serverOwnedFolder,
  skipWithoutServer,
  startTestServer,
  until,
  type TestServer,
} from "./servers.ts";

const run = promisify(execFile);
const PROGRAM = join(import.meta.dirname, "..", "..", "bin", "holdfast");
const SERVER = "odoo db";

/** Ids have seconds: a second backup must not begin in the same one. */
async function nextSecond(): Promise<void> {
  const now = Math.floor(Date.now() / 1000);
  await until("the next second", async () => Promise.resolve(Math.floor(Date.now() / 1000) > now));
}

interface Ours {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

for (const name of ["barman-oldest", "barman-newest"] as const) {
  const skip = skipWithoutServer(15) || skipWithout("versitygw", name);
  suite(`archives of ${name}`, { skip }, () => {
    let s3: S3Server;
    let server: TestServer;
    let space: string;
    let spoolFolder: string;
    let target: BarmanTarget;

    const holdfast = async (...words: string[]): Promise<Ours> => {
      const where = [
        "--archive",
        target.url,
        "--server",
        SERVER,
        "-o",
        `s3.endpoint=${s3.endpoint}`,
      ];
      const env = { ...s3Environment(s3), HOLDFAST_NODE: process.execPath };
      try {
        const { stdout, stderr } = await run(PROGRAM, ["pg", ...words, ...where], { env });
        return { status: 0, stdout, stderr };
      } catch (error) {
        const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
        return { status: code, stdout, stderr };
      }
    };
    const json = async <T>(...words: string[]): Promise<T> => {
      const { status, stdout, stderr } = await holdfast(...words, "--json");
      assert.equal(status, 0, stderr);
      return JSON.parse(stdout) as T;
    };
    const ids = async (): Promise<string[]> => {
      const { backups } = await json<{ backups: { id: string }[] }>("list");
      return backups.map(({ id }) => id);
    };

    before(async () => {
      s3 = await startVersitygw();
      target = { name, s3, url: `s3://${s3.makeBucket()}/base`, server: SERVER };
      spoolFolder = serverOwnedFolder("spool");
      space = serverOwnedFolder("space");
      const spool = walSpool(spoolFolder);
      server = await startTestServer({ archiveCommand: spool.archiveCommand });
      await server.sql(`CREATE TABLESPACE elsewhere LOCATION '${space}'`);
      await server.sql(
        "CREATE TABLE far TABLESPACE elsewhere AS SELECT generate_series(1, 1000) AS id",
      );
      const compressions = [["--gzip"], [], ["--bzip2"]];
      for (const words of compressions) {
        const more = ["-h", server.host, "-U", "postgres", "--immediate-checkpoint"];
        await nextSecond();
        await barmanCloud(target, "backup", [...words, ...more]);
        await server.sql("INSERT INTO far SELECT generate_series(1, 20000)");
        const [place] = await server.sql("SELECT pg_walfile_name(pg_switch_wal()) AS name");
        await until("WAL to be archived", async () => {
          const [row] = await server.sql<{ last_archived_wal: string }>(
            "SELECT last_archived_wal FROM pg_stat_archiver",
          );
          return row!.last_archived_wal >= place!["name"]!;
        });
        await spool.push(target, words);
      }
    });
    after(async () => {
      await server.stop();
      await s3.stop();
      for (const folder of [space, spoolFolder]) rmSync(folder, { recursive: true, force: true });
    });

    test("the list is Barman's", async () => {
      const theirs = JSON.parse(await barmanCloud(target, "backup-list", ["--format", "json"])) as {
        backups_list: Record<string, string | number>[];
      };
      const ours = await json<{ backups: Record<string, unknown>[] }>("list");
      const seconds = (time: unknown): number => Math.floor(Date.parse(String(time)) / 1000);
      assert.equal(ours.backups.length, 3);
      assert.deepEqual(
        ours.backups.map((backup) => [
          backup["id"],
          backup["begin_wal"],
          backup["end_wal"],
          backup["begin_lsn"],
          backup["end_lsn"],
          backup["timeline"],
          backup["postgres_version"],
          backup["system_id"],
          seconds(backup["begin_time"]),
          seconds(backup["end_time"]),
        ]),
        theirs.backups_list.map((backup) => [
          backup["backup_id"],
          backup["begin_wal"],
          backup["end_wal"],
          backup["begin_xlog"],
          backup["end_xlog"],
          backup["timeline"],
          backup["version"],
          backup["systemid"],
          seconds(`${backup["begin_time"]} UTC`),
          seconds(`${backup["end_time"]} UTC`),
        ]),
      );
      for (const backup of ours.backups) {
        assert.deepEqual([backup["state"], backup["flaws"], backup["type"]], ["done", [], "full"]);
        assert.equal((backup["tablespaces"] as unknown[]).length, 1);
      }
    });

    test("one window, from the end of the first backup to the last segment", async () => {
      const { servers } = await json<{ servers: Record<string, never>[] }>("info");
      const [info] = servers as unknown as [
        {
          windows: { from_lsn: string; to_lsn: string; backups: string[] }[];
          gaps: unknown[];
          leftovers: unknown[];
          other_objects: unknown[];
          backups: { end_lsn: string }[];
          segment_size: number;
          timelines: { last_wal: string }[];
        },
      ];
      assert.deepEqual([info.gaps, info.leftovers, info.other_objects], [[], [], []]);
      const last = Number.parseInt(info.timelines[0]!.last_wal.slice(16), 16);
      assert.deepEqual(info.windows, [
        {
          ...info.windows[0]!,
          from_lsn: info.backups[0]!.end_lsn,
          to_lsn: formatLsn(BigInt((last + 1) * info.segment_size)),
          backups: await ids(),
        },
      ]);
    });

    test("verified as far as Barman's archives can be", async () => {
      const report = await json<{
        ok: boolean;
        complete: boolean;
        backups: { verdict: string; findings: string[]; files: number }[];
        wal: { verdict: string; findings: string[]; objects: number; objects_read: number };
      }>("verify");
      assert.deepEqual([report.ok, report.complete], [true, true]);
      assert.deepEqual(
        report.backups.map(({ verdict, findings }) => [verdict, findings]),
        [1, 2, 3].map(() => ["structure", []]),
      );
      assert.ok(report.backups.every(({ files }) => files > 900));
      assert.deepEqual([report.wal.verdict, report.wal.findings], ["verified", []]);
      assert.ok(report.wal.objects >= 9 && report.wal.objects === report.wal.objects_read);
    });

    test("what goes is what Barman would delete", async () => {
      for (const policy of ["REDUNDANCY 1", "REDUNDANCY 2", "RECOVERY WINDOW OF 1 DAYS"]) {
        const theirs = await barmanCloud(target, "backup-delete", ["-r", policy, "--dry-run"]);
        const infos = theirs.matchAll(/base\/(\d{8}T\d{6})\/backup\.info/g);
        const ours = await json<{ backups: { id: string; goes: boolean }[] }>(
          "expire",
          "--dry-run",
          "--retention-policy",
          policy,
        );
        assert.deepEqual(
          ours.backups.filter(({ goes }) => goes).map(({ id }) => id),
          [...new Set([...infos].map(([, id]) => id!))].toSorted(),
          policy,
        );
      }
    });

    test("a mark to keep a backup is the same for both", async () => {
      const [first, second] = (await ids()) as [string, string];
      const theirStatus = async (id: string): Promise<string> =>
        (await barmanCloud(target, "backup-keep", ["--status"], [id])).trim();
      await holdfast("keep", first, "standalone");
      assert.match(await theirStatus(first), /standalone/);
      await holdfast("keep", first, "full");
      assert.match(await theirStatus(first), /full/);
      await barmanCloud(target, "backup-keep", ["--target", "standalone"], [second]);
      const { backups } = await json<{ backups: { keep: string | null }[] }>("list");
      assert.deepEqual(
        backups.map(({ keep }) => keep),
        ["full", "standalone", null],
      );
      await barmanCloud(target, "backup-keep", ["--release"], [second]);
      await holdfast("keep", first, "release");
      assert.match(await theirStatus(first), /nokeep/i);
    });

    test("what we leave, Barman lists and finds whole", async () => {
      const before = await ids();
      const { status, stderr } = await holdfast("expire", "--redundancy", "2");
      assert.equal(status, 0, stderr);
      const theirs = JSON.parse(await barmanCloud(target, "backup-list", ["--format", "json"])) as {
        backups_list: { backup_id: string }[];
      };
      assert.deepEqual(
        theirs.backups_list.map((backup) => backup.backup_id),
        before.slice(1),
      );
      const report = await json<{ ok: boolean }>("verify");
      assert.ok(report.ok);
      // Nothing is left that Barman would now delete.
      const again = await barmanCloud(target, "backup-delete", ["-r", "REDUNDANCY 2", "--dry-run"]);
      assert.doesNotMatch(again, /\/wals\/|\/backup\.info/);
    });

    test("a field that nobody knows: both refuse to delete, and we still look", async () => {
      const [first] = (await ids()) as [string];

      const path = join(
        s3.folderOf(bucketOf(target)),
        "base",
        SERVER,
        "base",
        first,
        "backup.info",
      );
      const content = readFileSync(path);
      writeFileSync(path, `${content.toString()}zz_new=1\n`);
      try {
        await assert.rejects(barmanCloud(target, "backup-delete", ["-r", "REDUNDANCY 1"]));
        const refused = await holdfast("expire", "--redundancy", "1");
        assert.equal(refused.status, 1);
        assert.match(refused.stderr, /fields of a program that is not known/);
        const { servers } = await json<{ servers: { read_only: boolean; complete: boolean }[] }>(
          "info",
        );
        assert.deepEqual(
          servers.map(({ read_only, complete }) => [read_only, complete]),
          [[true, true]],
        );
        assert.equal((await ids()).length, 2);
      } finally {
        writeFileSync(path, content);
      }
    });
  });
}

function bucketOf({ url }: BarmanTarget): string {
  return new URL(url).hostname;
}
