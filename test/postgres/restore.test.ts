// Base backups of real servers, restored and started: every kind of target, tablespaces, and all that must end a restore
// before or without writing anything.

import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { readLsn } from "../../src/barman/lsn.ts";
import { formatTarHeader, TAR_END, type TarMember } from "../../src/barman/tar-header.ts";
import { isHoldfastError, type ErrorCode } from "../../src/base/errors.ts";
import { backUpServer, makeFolderArchive, type FolderArchive } from "./base-backups.ts";
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
  MAJORS,
  serverOwnedFolder,
  skipWithoutServer,
  startTestServer,
  type TestServer,
} from "./servers.ts";

function refused(code: ErrorCode, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isHoldfastError(error, code), String(error));
    assert.match(error.message, message);
    return true;
  };
}

for (const major of MAJORS) {
  suite(`PostgreSQL ${major}`, { skip: skipWithoutServer(major) }, () => {
    let shared: FolderArchive;
    let server: TestServer;
    let id: string;
    let point: string;
    let xid: string;
    const place = serverOwnedFolder("tablespace");

    before(async () => {
      shared = await makeFolderArchive();
      server = await startTestServer({ major, archiveCommand: shared.archiveCommand });
      await server.sql(`CREATE TABLESPACE far LOCATION '${place}'`);
      await server.sql("CREATE TABLE marks (n int)");
      await server.sql("CREATE TABLE apart (n int) TABLESPACE far");
      await server.sql("INSERT INTO apart SELECT generate_series(1, 5000)");
      ({ id } = await backUpServer(server, shared));
      await server.sql("INSERT INTO marks VALUES (1)");
      await server.sql("SELECT pg_create_restore_point('one')");
      [{ lsn: point }] = (await server.sql("SELECT pg_current_wal_lsn() AS lsn")) as [
        { lsn: string },
      ];
      [{ xid }] = (await server.sql(
        "INSERT INTO marks VALUES (2); SELECT max(xmin::text::int)::text AS xid FROM marks",
      )) as [{ xid: string }];
      await server.sql("INSERT INTO marks VALUES (3)");
      await archiveAll(server);
    });
    after(async () => {
      await server.stop();
      removeAll(shared.folder, place);
    });

    /** Restores with the tablespace elsewhere, recovers, and looks. */
    async function recovered(
      target: Parameters<typeof plan>[0]["target"],
      more: Partial<Parameters<typeof restore>[0]["more"]> & object = {},
    ): Promise<{ marks: (string | null)[]; apart: string | null; state: string }> {
      const { root, folder } = restoreFolder();
      const { archive, restoreCommand } = shared;
      try {
        const tablespaces = new Map([["far", join(root, "far")]]);
        const result = await restore({
          archive,
          folder,
          target: target!,
          tablespaces,
          restoreCommand,
          more,
        });
        assert.ok(result.isVerified);
        assert.equal(lstatSync(folder).mode & 0o777, 0o700);
        const scratch = await recover(server, folder);
        try {
          return {
            marks: await ask(scratch, "SELECT n FROM marks ORDER BY n"),
            apart: (await ask(scratch, "SELECT count(*) FROM apart"))[0]!,
            state: scratch.state.state,
          };
        } finally {
          await scratch.stop();
        }
      } finally {
        removeAll(root);
      }
    }

    test("all targets, tablespace moved, every file as its manifest says", async () => {
      const apart = "5000";
      const lsn = readLsn(point)!;
      assert.deepEqual(await recovered({ kind: "latest" }), {
        marks: ["1", "2", "3"],
        apart,
        state: "open",
      });
      assert.deepEqual(await recovered({ kind: "immediate" }), {
        marks: [],
        apart,
        state: "paused",
      });
      assert.deepEqual(await recovered({ kind: "name", name: "one" }), {
        marks: ["1"],
        apart,
        state: "paused",
      });
      assert.deepEqual(await recovered({ kind: "xid", xid: BigInt(xid) }), {
        marks: ["1", "2"],
        apart,
        state: "paused",
      });
      assert.deepEqual(await recovered({ kind: "xid", xid: BigInt(xid) }, { exclusive: true }), {
        marks: ["1"],
        apart,
        state: "paused",
      });
      assert.deepEqual(
        await recovered({ kind: "lsn", lsn }, { exclusive: true, action: "promote" }),
        { marks: ["1"], apart, state: "open" },
      );
    });

    test("durably, as the command does, and with what was asked of the configuration", async () => {
      const { root, folder } = restoreFolder();
      const { archive, restoreCommand } = shared;
      try {
        const tablespaces = new Map([["far", join(root, "far")]]);
        const { notes } = await restore({
          archive,
          folder,
          tablespaces,
          restoreCommand,
          target: { kind: "lsn", lsn: readLsn(point)! },
          more: { durable: true },
        });
        assert.match(notes.join("\n"), /archiving is off/);
        const auto = readFileSync(join(folder, "postgresql.auto.conf"), "utf8");
        assert.match(auto, /^archive_mode = 'off'$/m);
        assert.match(auto, /^recovery_target_timeline = 'current'$/m);
        assert.ok(statSync(join(folder, "recovery.signal")).isFile());
        assert.ok(!readdirSync(folder).some((name) => name.startsWith("holdfast")));
        assert.ok(readdirSync(join(folder, "pg_wal")).every((name) => !/^[0-9A-F]{24}/.test(name)));
      } finally {
        removeAll(root);
      }
    });

    test("folders that are somebody's, and tablespaces that are none, are refused before anything is written", async () => {
      const { root, folder } = restoreFolder();
      const { archive, restoreCommand } = shared;
      const given = { archive, folder, restoreCommand };
      try {
        // The tablespace would go where the server has it.
        await assert.rejects(plan(given), refused("TARGET_UNWRITABLE", /not empty/));
        for (const [key, path, message] of [
          ["nowhere", "/x", /has only \d+ \(far\)/],
          ["far", "relative", /not absolute/],
        ] as const) {
          const tablespaces = new Map([[key, path]]);
          await assert.rejects(plan({ ...given, tablespaces }), refused("USAGE", message));
        }
        for (const path of [folder, join(folder, "inside"), root])
          await assert.rejects(
            plan({ ...given, tablespaces: new Map([["far", path]]) }),
            refused("TARGET_UNWRITABLE", /named twice|lies in/),
          );
        const tablespaces = new Map([["far", join(root, "far")]]);
        mkdirSync(folder, { recursive: true });
        writeFileSync(join(folder, "somebody's"), "");
        await assert.rejects(
          plan({ ...given, tablespaces }),
          refused("TARGET_UNWRITABLE", /somebody's/),
        );
        assert.deepEqual(readdirSync(root), ["versions"]);
      } finally {
        removeAll(root);
      }
    });

    test("moments that the archive does not reach are refused before anything is written", async () => {
      const { root, folder } = restoreFolder();
      const { archive, restoreCommand } = shared;
      const tablespaces = new Map([["far", join(root, "far")]]);
      const given = { archive, folder, restoreCommand, tablespaces };
      const now = Date.now();
      try {
        for (const [milliseconds, message] of [
          [now + 3_600_000, /in the future/],
          [now - 86_400_000, /first backup/],
        ] as const)
          await assert.rejects(
            plan({ ...given, target: { kind: "time", micros: milliseconds * 1000 } }),
            refused("TARGET_UNREACHABLE", message),
          );
        await assert.rejects(
          plan({ ...given, target: { kind: "lsn", lsn: 1n << 40n } }),
          refused("TARGET_UNREACHABLE", /WAL 0000000100000\w+.*missing; recovery is possible from/),
        );
        await assert.rejects(
          plan({ ...given, backup: "20200101T000000" }),
          refused("BACKUP_NOT_FOUND", /20200101T000000/),
        );
        assert.deepEqual(readdirSync(root), []);
      } finally {
        removeAll(root);
      }
    });

    test("a tar that is cut off, a file that is changed, is missing or is too many: nothing is left", async () => {
      const { root, folder } = restoreFolder();
      const { archive, restoreCommand } = shared;
      const tablespaces = new Map([["far", join(root, "far")]]);
      const object = join(shared.folder, "pg", "base", id, "data.tar.gz");
      const whole = readFileSync(object);
      const tar = gunzipSync(whole);
      const file = (path: string, more: Partial<TarMember> = {}): Buffer =>
        formatTarHeader({
          path,
          type: "file",
          size: 0,
          mode: 0o600,
          uid: 0,
          gid: 0,
          mtime: 0,
          linkTarget: "",
          ...more,
        });
      const content = tar.subarray(0, tar.length - TAR_END.length);
      const changed = Buffer.from(tar);
      changed[tar.indexOf("START WAL LOCATION") + 3] = 0x58;
      const added = (member: Buffer): Buffer =>
        gzipSync(Buffer.concat([content, member, TAR_END]), { level: 1 });
      const cases: [string, Buffer, RegExp][] = [
        ["cut off, compressed", whole.subarray(0, whole.length >> 1), /no sound gzip/],
        [
          "cut off in a file",
          gzipSync(content.subarray(0, content.length >> 1), { level: 1 }),
          /cut off/,
        ],
        ["cut off between files", gzipSync(content, { level: 1 }), /cut off/],
        ["changed", gzipSync(changed, { level: 1 }), /backup_label" has the \w+ checksum/],
        [
          "missing",
          gzipSync(Buffer.concat([file("PG_VERSION"), TAR_END])),
          /PG_VERSION" has 0 bytes/,
        ],
        ["too many", added(file("base/more")), /base\/more" is not in the manifest/],
        ["twice", added(file("PG_VERSION")), /PG_VERSION" is there twice/],
        ["outside", added(file("../outside")), /leads out of the directory/],
        ["absolute", added(file("/tmp/holdfast-outside")), /leads out of the directory/],
        ["below a file", added(file("PG_VERSION/below")), /is there twice/],
        [
          "hard link",
          added(file("more", { type: "hardlink", linkTarget: "/etc/passwd" })),
          /second name/,
        ],
      ];
      try {
        for (const [what, bytes, message] of cases) {
          writeFileSync(object, bytes);
          await assert.rejects(
            restore({ archive, folder, tablespaces, restoreCommand }),
            refused("BACKUP_DAMAGED", message),
            what,
          );
          assert.ok(isUntouched(folder) && isUntouched(join(root, "far")), what);
        }
        // Links are never made, and nothing is written through one.
        writeFileSync(
          object,
          added(
            Buffer.concat([
              file("out", { type: "symlink", linkTarget: root }),
              file("pg_log", { type: "symlink", linkTarget: root }),
            ]),
          ),
        );
        const { notes } = await restore({ archive, folder, tablespaces, restoreCommand });
        assert.match(notes.join("\n"), /left out.*"out"/);
        assert.throws(() => lstatSync(join(folder, "out")));
        assert.ok(lstatSync(join(folder, "pg_log")).isDirectory());
      } finally {
        writeFileSync(object, whole);
        removeAll(root);
      }
    });
  });
}
