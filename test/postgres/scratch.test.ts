// Scratch servers on data directories whose owners configured anything: nothing of that runs, a recovery is followed to
// its target, and what goes wrong is told in the server's own words.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { appendFileSync, chownSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { promisify } from "node:util";
import { systemClock } from "../../src/base/clock.ts";
import { isHoldfastError } from "../../src/base/errors.ts";
import { connect } from "../../src/postgres/connection.ts";
import { startScratchServer, type ScratchServer } from "../../src/postgres/scratch.ts";
import { serverAccount } from "../../src/postgres/server-account.ts";
import { findServerPrograms } from "../../src/postgres/server-programs.ts";
import {
  MAJORS,
  serverOwnedFolder,
  skipWithoutServer,
  startTestServer,
  type Major,
  type TestServer,
} from "./servers.ts";

const run = promisify(execFile);

async function startScratch(
  server: TestServer,
  dataDirectory: string,
  more: { until?: "answers" | "recovered"; settings?: Record<string, string> } = {},
): Promise<ScratchServer> {
  return await startScratchServer({
    programs: await findServerPrograms({ major: server.major, folder: server.programs }),
    dataDirectory,
    temporary: tmpdir(),
    account: serverAccount(process.getuid?.() ?? 1, dataDirectory),
    until: more.until ?? "answers",
    settings: more.settings ?? {},
    clock: systemClock,
  });
}

async function ask(scratch: ScratchServer, text: string): Promise<string | null | undefined> {
  const connection = await connect({ settings: scratch.connection });
  try {
    const [row] = await connection.query(text);
    return Object.values(row ?? {})[0];
  } finally {
    await connection.close();
  }
}

for (const major of MAJORS) {
  test(
    `nothing of the owner's configuration runs on ${major}`,
    { skip: skipWithoutServer(major) },
    async () => {
      const marks = serverOwnedFolder("marks");
      const mark = (name: string): string => `touch ${join(marks, name)}`;
      const server = await startTestServer({ major });
      try {
        await server.sql("CREATE TABLE kept AS SELECT 1 AS n");
        await server.halt();
        const settings = {
          archive_mode: "always",
          archive_command: mark("archive"),
          archive_cleanup_command: mark("cleanup"),
          recovery_end_command: mark("end"),
          shared_preload_libraries: "absent",
          session_preload_libraries: "absent",
          listen_addresses: "*",
          external_pid_file: join(marks, "pid"),
          logging_collector: "on",
          log_directory: join(marks, "log"),
          ssl: "on",
          ssl_cert_file: "/absent",
          shared_buffers: "100GB",
          huge_pages: "on",
          synchronous_standby_names: "nobody",
          primary_conninfo: "host=nowhere",
          cluster_name: "it's the owner's",
          ...(major >= 15 ? { archive_library: "" } : {}),
        };
        const lines = Object.entries(settings).map(
          ([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`,
        );
        for (const file of ["postgresql.auto.conf", "postgresql.conf"])
          appendFileSync(join(server.dataDirectory, file), lines.join(""));
        writeFileSync(join(server.dataDirectory, "pg_hba.conf"), "local all all reject\n");
        const scratch = await startScratch(server, server.dataDirectory);
        try {
          assert.equal(scratch.state.state, "open");
          assert.equal(await ask(scratch, "SELECT n FROM kept"), "1");
          assert.equal(await ask(scratch, "SHOW listen_addresses"), "");
          // A commit, and a segment that would be archived.
          await ask(scratch, "CREATE TABLE more AS SELECT 1 AS n");
          await ask(scratch, "SELECT pg_switch_wal()");
          await ask(scratch, "CHECKPOINT");
        } finally {
          await scratch.stop();
        }
        assert.deepEqual(
          ["archive", "cleanup", "end", "pid", "log"].filter((name) =>
            existsSync(join(marks, name)),
          ),
          [],
        );
      } finally {
        await server.stop();
        rmSync(marks, { recursive: true });
      }
    },
  );
}

suite("recovery", { skip: skipWithoutServer(15) }, () => {
  /** A base backup of a server that archives to `wal`, and two restore points after it. */
  async function prepared(
    work: (place: { server: TestServer; copy: string; restore: string }) => Promise<void>,
    between: (server: TestServer) => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const folder = serverOwnedFolder("archive");
    const [wal, copy] = [join(folder, "wal"), join(folder, "copy")];
    const account = serverAccount(process.getuid?.() ?? 1);
    for (const path of [wal]) {
      mkdirSync(path);
      if (account) chownSync(path, account.uid, account.gid);
    }
    const server = await startTestServer({ archiveCommand: `cp %p ${wal}/%f` });
    try {
      await server.sql("CREATE TABLE marks (n int)");
      await run(
        join(server.programs, "pg_basebackup"),
        ["-h", server.host, "-U", "postgres", "-D", copy, "-X", "none", "-c", "fast"],
        {
          cwd: "/",
          ...(account ? { uid: account.uid, gid: account.gid } : {}),
        },
      );
      await server.sql("INSERT INTO marks VALUES (1)");
      await server.sql("SELECT pg_create_restore_point('one')");
      await between(server);
      await server.sql("INSERT INTO marks VALUES (2)");
      await server.sql("SELECT pg_switch_wal()");
      await server.halt();
      writeFileSync(join(copy, "recovery.signal"), "");
      if (account) chownSync(join(copy, "recovery.signal"), account.uid, account.gid);
      await work({ server, copy, restore: `cp ${wal}/%f %p` });
    } finally {
      await server.stop();
      rmSync(folder, { recursive: true });
    }
  }

  test("it waits for the target, and tells where it ended", async () => {
    await prepared(async ({ server, copy, restore }) => {
      const scratch = await startScratch(server, copy, {
        until: "recovered",
        settings: { restore_command: restore, recovery_target_name: "one" },
      });
      try {
        assert.equal(scratch.state.state, "paused");
        assert.match(scratch.state.lsn, /^0\/[0-9A-F]+$/);
        assert.match(scratch.state.time ?? "", /^\d{4}-/);
        assert.equal(await ask(scratch, "SELECT count(*) FROM marks"), "1");
      } finally {
        await scratch.stop();
      }
      const open = await startScratch(server, copy, {
        until: "recovered",
        settings: { restore_command: restore },
      });
      try {
        assert.deepEqual([open.state.state, open.state.timeline], ["open", 2]);
        assert.equal(await ask(open, "SELECT count(*) FROM marks"), "2");
      } finally {
        await open.stop();
      }
    });
  });

  test("a target that the WAL does not reach is an error, and the server is gone", async () => {
    await prepared(async ({ server, copy, restore }) => {
      await assert.rejects(
        startScratch(server, copy, {
          until: "recovered",
          settings: { restore_command: restore, recovery_target_name: "two" },
        }),
        (error) =>
          isHoldfastError(error, "TARGET_UNREACHABLE") &&
          /ends before the target/.test(error.message),
      );
      assert.ok(!existsSync(join(copy, "postmaster.pid")));
    });
  });

  test("WAL that was written under larger settings gets them", async () => {
    const raise = async (server: TestServer): Promise<void> =>
      await server.configure({ max_connections: 211, max_locks_per_transaction: 99 });
    await prepared(async ({ server, copy, restore }) => {
      const scratch = await startScratch(server, copy, {
        until: "recovered",
        settings: { restore_command: restore },
      });
      try {
        assert.equal(scratch.state.state, "open");
        assert.equal(await ask(scratch, "SHOW max_connections"), "211");
        assert.equal(await ask(scratch, "SELECT count(*) FROM marks"), "2");
      } finally {
        await scratch.stop();
      }
    }, raise);
  });

  test("a directory that is none, and programs that are not there", async () => {
    const folder = serverOwnedFolder("empty");
    try {
      const programs = await findServerPrograms({ major: 15 });
      await assert.rejects(
        startScratchServer({
          programs,
          dataDirectory: folder,
          temporary: tmpdir(),
          account: serverAccount(process.getuid?.() ?? 1),
          until: "answers",
          clock: systemClock,
        }),
        (error) => isHoldfastError(error, "BACKUP_DAMAGED"),
      );
      await assert.rejects(
        findServerPrograms({ major: 12 as Major, folder: programs.folder }),
        (error) =>
          isHoldfastError(error, "POSTGRES_NOT_FOUND") && /there is 15\./.test(error.message),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
