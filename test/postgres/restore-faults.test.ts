// What goes wrong around a restore: it is killed, interrupted, the archive has lost WAL before or after it; and what went
// on elsewhere: a promoted copy that wrote a timeline of its own into the same archive.

import assert from "node:assert/strict";
import { appendFileSync, existsSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { readLsn, segmentStart } from "../../src/barman/lsn.ts";
import { segmentNumber } from "../../src/barman/wal-name.ts";
import { systemClock } from "../../src/base/clock.ts";
import { isHoldfastError, type ErrorCode } from "../../src/base/errors.ts";
import { startScratchServer } from "../../src/postgres/scratch.ts";
import { findServerPrograms } from "../../src/postgres/server-programs.ts";
import { backUpServer, makeFolderArchive, type FolderArchive } from "./base-backups.ts";
import { runProgram, startProgram, HOLDFAST } from "./program.ts";
import {
  archiveAll,
  ask,
  isUntouched,
  plan,
  recover,
  removeAll,
  restore,
  restoreFolder,
} from "./restored.ts";
import {
  serverAccount,
  skipWithoutServer,
  startTestServer,
  until,
  type TestServer,
} from "./servers.ts";

const MARK = "holdfast-restore-is-incomplete";

function refused(code: ErrorCode, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isHoldfastError(error, code), String(error));
    assert.match(error.message, message);
    return true;
  };
}

interface Site {
  readonly shared: FolderArchive;
  readonly server: TestServer;
  readonly root: string;
  readonly folder: string;
  /** Where each row was written: after it, one segment ended. */
  readonly positions: readonly string[];
}

/** A backup, then five rows in five segments. */
async function withSite(work: (site: Site) => Promise<void>): Promise<void> {
  const shared = await makeFolderArchive();
  const { root, folder } = restoreFolder();
  let server: TestServer | undefined;
  try {
    server = await startTestServer({
      segmentMegabytes: 1,
      archiveCommand: shared.archiveCommand,
    });
    await server.sql("CREATE TABLE marks (n int)");
    await backUpServer(server, shared);
    const positions: string[] = [];
    for (let row = 1; row <= 5; row++) {
      await server.sql(`INSERT INTO marks VALUES (${row})`);
      const [place] = await server.sql<{ name: string }>(
        "SELECT pg_walfile_name(pg_current_wal_lsn()) AS name",
      );
      positions.push(place!.name);
      await archiveAll(server);
    }
    await work({ shared, server, root, folder, positions });
  } finally {
    await server?.stop();
    removeAll(shared.folder, root);
  }
}

function wordsOf({ shared, folder }: Site, more: readonly string[] = []): string[] {
  return ["pg", "restore", "--archive", shared.folder, "--server", "pg", "--to", folder, ...more];
}

/** Our own restore_command, which knows when not to say that WAL does not exist. */
function fetching({ shared }: Site, more = ""): string {
  return `${HOLDFAST} pg wal-fetch --archive ${shared.folder} --server pg ${more} %f %p`;
}

const environment = { PATH: process.env["PATH"] ?? "", HOLDFAST_NODE: process.execPath };

suite("faults", { skip: skipWithoutServer() }, () => {
  test("killed: no server starts on what is left, and the same command begins anew", async () => {
    await withSite(async (site) => {
      const { folder, server } = site;
      const { child, ended } = startProgram(wordsOf(site, ["--limit-download", "2000"]));
      await until("a part of the restore", () =>
        Promise.resolve(existsSync(folder) && readdirSync(folder).length > 3),
      );
      child.kill("SIGKILL");
      assert.equal((await ended).signal, "SIGKILL");
      assert.ok(readdirSync(folder).includes(MARK));
      assert.ok(!existsSync(join(folder, "global", "pg_control")));
      const again = await runProgram(wordsOf(site));
      assert.equal(again.status, 0, again.stderr);
      assert.match(again.stdout, /what an earlier restore left there is removed/);
      assert.ok(!readdirSync(folder).includes(MARK));
      const scratch = await recover(server, folder, environment);
      assert.deepEqual(await ask(scratch, "SELECT count(*) FROM marks"), ["5"]);
      await scratch.stop();
    });
  });

  test("interrupted: nothing is left, and the status says so", async () => {
    await withSite(async (site) => {
      const { folder } = site;
      const { child, ended } = startProgram(wordsOf(site, ["--limit-download", "2000"]));
      await until("a part of the restore", () =>
        Promise.resolve(existsSync(folder) && readdirSync(folder).length > 3),
      );
      child.kill("SIGINT");
      assert.equal((await ended).status, 130);
      assert.ok(isUntouched(folder));
    });
  });

  test("WAL that is missing in the middle is named before anything is written", async () => {
    await withSite(async (site) => {
      const { shared, folder, positions } = site;
      const { archive, restoreCommand } = shared;
      const given = { archive, folder, restoreCommand };
      const victim = positions[2]!;
      rmSync(join(shared.folder, "pg", "wals", victim.slice(0, 16), victim));
      const missing = new RegExp(`WAL ${victim}.*is missing; recovery is possible from`);
      await assert.rejects(plan(given), refused("TARGET_UNREACHABLE", missing));
      const micros = Date.now() * 1000;
      await assert.rejects(
        plan({ ...given, target: { kind: "time", micros: micros - 1 } }),
        refused("TARGET_UNREACHABLE", missing),
      );
      assert.ok(isUntouched(folder));
      const run = await runProgram(wordsOf(site, ["--json"]));
      assert.equal(run.status, 1);
      assert.match(run.stderr, missing);
      // Up to the hole, everything can be recovered.
      const lsn = readLsn(`0/${victim.slice(22)}00000`)!;
      await plan({ ...given, target: { kind: "lsn", lsn } });
    });
  });

  test("WAL that is lost after the restore stops the recovery: the database does not open early", async () => {
    await withSite(async (site) => {
      const { shared, server, folder, positions } = site;
      const restoreCommand = fetching(site, "--timeout 3s");
      await restore({ archive: shared.archive, folder, restoreCommand });
      const victim = positions[2]!;
      rmSync(join(shared.folder, "pg", "wals", victim.slice(0, 16), victim));
      await assert.rejects(
        recover(server, folder, environment),
        refused("POSTGRES_FAILED", new RegExp(`could not restore file "${victim}"`)),
      );
      assert.ok(existsSync(join(folder, "recovery.signal")), "the recovery is over");
    });
  });

  test("a target of long ago in postgresql.conf neither ends the recovery nor makes it another one", async () => {
    await withSite(async (site) => {
      const { shared, server, folder, positions } = site;
      const { archive } = shared;
      const lsn = segmentStart(segmentNumber(positions[2]!, 1 << 20) + 1, 1 << 20);
      for (const [target, expected] of [
        [{ kind: "latest" }, "5"],
        [{ kind: "lsn", lsn }, "3"],
      ] as const) {
        await restore({ archive, folder, target, restoreCommand: fetching(site) });
        const left = [
          "recovery_target = 'immediate'",
          "recovery_target_inclusive = off",
          "recovery_target_action = shutdown",
          "archive_cleanup_command = 'touch cleaned'",
          "recovery_end_command = 'touch ended'",
        ];
        const config = join(folder, "postgresql.conf");
        appendFileSync(config, `\n${left.join("\n")}\n`);
        await using scratch = await startScratchServer({
          programs: await findServerPrograms({ major: server.major, folder: server.programs }),
          dataDirectory: folder,
          temporary: tmpdir(),
          account: serverAccount(),
          environment,
          // The owner's, as when the server is started for good, with the sandbox's ports and paths.
          settings: { fsync: "off", config_file: config },
          until: "recovered",
          clock: systemClock,
        });
        assert.deepEqual(await ask(scratch, "SELECT max(n) FROM marks"), [expected]);
        await scratch.stop();
        for (const name of ["cleaned", "ended"]) assert.ok(!existsSync(join(folder, name)), name);
        removeAll(folder);
      }
    });
  });

  test("a copy that was promoted into the same archive: its timeline is followed, the other one on request", async () => {
    await withSite(async (site) => {
      const { shared, server, root, folder, positions } = site;
      const { archive, restoreCommand } = shared;
      const lsn = readLsn(`0/${positions[2]!.slice(22)}00000`)!;
      await restore({
        archive,
        folder,
        restoreCommand,
        target: { kind: "lsn", lsn },
        more: { action: "promote", keepArchiving: true },
      });
      const copy = await startTestServer({ dataDirectory: folder });
      try {
        await until("the copy to open", async () => {
          const [row] = await copy.sql<{ recovering: boolean }>(
            "SELECT pg_is_in_recovery() AS recovering",
          );
          return row!.recovering === false;
        });
        await copy.sql("INSERT INTO marks VALUES (100)");
        await archiveAll(copy);
      } finally {
        await copy.stop();
      }
      // The original has gone on meanwhile.
      await server.sql("INSERT INTO marks VALUES (6)");
      await archiveAll(server);
      const recovered = async (name: string, timeline?: number): Promise<(string | null)[]> => {
        const into = join(root, name);
        await restore({
          archive,
          folder: into,
          restoreCommand,
          ...(timeline === undefined ? {} : { timeline }),
        });
        const scratch = await recover(server, into);
        const rows = await ask(scratch, "SELECT n FROM marks ORDER BY n");
        await scratch.stop();
        return rows;
      };
      assert.deepEqual(await recovered("newest"), ["1", "2", "100"]);
      assert.deepEqual(await recovered("first", 1), ["1", "2", "3", "4", "5", "6"]);
    });
  });

  test("the command refuses what makes no sense, with what does", async () => {
    await withSite(async (site) => {
      for (const [words, hint] of [
        [["--target-time", "yesterday"], /2026-01-31 15:04:05/],
        [["--target-immediate", "--target-xid", "7"], /Name one moment/],
        [["--target-action", "wait"], /pause, promote, shutdown/],
        [["--timeline", "0"], /numbered from 1/],
        [["--tablespace-map", "far=relative"], /absolute/],
        [["--owner", "root"], /number of a user/],
        [["--start", "--postgres-bin", "/nowhere", "--backup", "20200101T000000"], /pg list/],
      ] as const) {
        const run = await runProgram(wordsOf(site, words));
        assert.equal(run.status, 1, words.join(" "));
        assert.match(run.stderr, hint);
        assert.ok(isUntouched(site.folder));
      }
      const dry = await runProgram(wordsOf(site, ["--dry-run", "--json"]));
      assert.equal(dry.status, 0, dry.stderr);
      const message = JSON.parse(dry.stdout) as Record<string, unknown>;
      assert.equal(message["message_type"], "plan");
      assert.equal(message["folder"], site.folder);
      assert.ok(isUntouched(site.folder));
    });
  });
});
