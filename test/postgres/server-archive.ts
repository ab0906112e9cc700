// An archive of a real server, in memory: a backup that its own pg_basebackup made, tars and manifest as the server sent
// them, and the WAL that it archived. Damage is done to the objects by their keys.

import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { formatBackupInfo } from "../../src/barman/backup-info.ts";
import { parseManifest } from "../../src/barman/backup-manifest.ts";
import { objectPath } from "../../src/barman/layout.ts";
import { segmentAt } from "../../src/barman/lsn.ts";
import { readWalName, segmentName } from "../../src/barman/wal-name.ts";
import { utcTime } from "../../src/barman/zoned-time.ts";
import { doneInfo } from "../barman/archives.ts";
import { serverOwnedFolder, startTestServer, until, type TestServer } from "./servers.ts";

const run = promisify(execFile);

/** The ids of the backups: one with CRC-32Cs, one that is not compressed with SHA-256s, one without any sums. */
export const FIRST: string = "20261101T000000";
export const SUMMED: string = "20261102T000000";
export const UNSUMMED: string = "20261103T000000";

export interface Scene {
  readonly server: TestServer;
  /** By key, below the folder "pg". */
  readonly objects: Map<string, Uint8Array>;
  remove: () => Promise<void>;
}

/** A server with a tablespace, three backups of it, and all its WAL. */
export async function makeScene(): Promise<Scene> {
  const objects = new Map<string, Uint8Array>();
  const [spool, space] = [serverOwnedFolder("spool"), serverOwnedFolder("space")];
  const archiveCommand = `cp %p ${spool}/%f.tmp && mv ${spool}/%f.tmp ${spool}/%f`;
  const server = await startTestServer({ archiveCommand });
  const remove = async (): Promise<void> => {
    await server.stop();
    for (const folder of [spool, space]) rmSync(folder, { recursive: true, force: true });
  };
  try {
    await server.sql(`CREATE TABLESPACE elsewhere LOCATION '${space}'`);
    await server.sql("CREATE TABLE far (id int) TABLESPACE elsewhere");
    await server.sql("INSERT INTO far SELECT generate_series(1, 1000)");
    await addBackup(server, objects, { id: FIRST });
    await server.sql("CREATE TABLE more AS SELECT generate_series(1, 50000) AS id");
    await addWal(server, objects, spool);
    // A server that writes, so that there is something in the segment of the backup itself.
    let isOver = false;
    await Promise.all([
      addBackup(server, objects, { id: SUMMED, checksums: "SHA256", gzip: false }).finally(() => {
        isOver = true;
      }),
      (async () => {
        while (!isOver) await server.sql("INSERT INTO more SELECT generate_series(1, 5000)");
      })(),
    ]);
    await addBackup(server, objects, { id: UNSUMMED, checksums: "NONE" });
    await addWal(server, objects, spool);
    return { server, objects, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

interface BackupWishes {
  readonly id: string;
  /** Of the manifest: CRC32C, SHA256, NONE. */
  readonly checksums?: string;
  readonly gzip?: boolean;
}

/** Takes a base backup of `server` into `objects`, with a backup.info of ours. */
async function addBackup(
  server: TestServer,
  objects: Map<string, Uint8Array>,
  { id, checksums = "CRC32C", gzip = true }: BackupWishes,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-base-"));
  try {
    const begun = Date.now();
    const words = [
      "-D",
      folder,
      "-Ft",
      "-X",
      "none",
      "-c",
      "fast",
      "--no-sync",
      `--manifest-checksums=${checksums}`,
    ];
    words.push("-h", server.host, "-p", String(server.port), "-U", server.user);
    await run(join(server.programs, "pg_basebackup"), words);
    const manifest = readFileSync(join(folder, "backup_manifest"));
    const [range] = parseManifest(manifest, "backup_manifest").walRanges;
    const [facts] = await server.sql<{ system: string; version: string; size: string }>(
      `SELECT system_identifier::text AS system, current_setting('server_version_num') AS version,
         current_setting('wal_segment_size') AS size FROM pg_control_system()`,
    );
    const spaces = await server.sql<{ oid: string; name: string; location: string }>(
      `SELECT oid::text, spcname AS name, pg_tablespace_location(oid) AS location
         FROM pg_tablespace WHERE spcname NOT LIKE 'pg\\_%'`,
    );
    const { timeline, start, end } = range!;
    const size = 16 << 20;
    const info = doneInfo({
      first: 1,
      time: Date.now(),
      more: {
        backupLabel: null,
        timeline,
        beginTime: utcTime(begun),
        beginLsn: start,
        beginWal: segmentName(timeline, segmentAt(start, size), size),
        beginOffset: Number(start % BigInt(size)),
        endLsn: end,
        endWal: segmentName(timeline, segmentAt(end, size), size),
        endOffset: Number(end % BigInt(size)),
        systemId: facts!.system,
        version: Number(facts!.version),
        tablespaces: spaces.map(({ oid, name, location }) => ({
          name,
          oid: Number(oid),
          location,
        })),
      },
    });
    for (const file of readdirSync(folder)) {
      const content = readFileSync(join(folder, file));
      const tar = file.replace(/^base/, "data");
      if (file === "backup_manifest") objects.set(`pg/meta/${id}/${file}`, content);
      else if (gzip) objects.set(`pg/base/${id}/${tar}.gz`, gzipSync(content, { level: 1 }));
      else objects.set(`pg/base/${id}/${tar}`, content);
    }
    objects.set(`pg/base/${id}/backup.info`, formatBackupInfo(info));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Ends the segment that is written, waits until the server has archived it, and takes the WAL from `spool`. */
async function addWal(
  server: TestServer,
  objects: Map<string, Uint8Array>,
  spool: string,
): Promise<void> {
  const [place] = await server.sql<{ lsn: string; name: string }>(
    "SELECT lsn::text, pg_walfile_name(lsn) AS name FROM (SELECT pg_switch_wal() AS lsn) AS switched",
  );
  await until(`${place!.name} at ${place!.lsn} to be archived`, async () =>
    Promise.resolve(readdirSync(spool).includes(place!.name)),
  );
  for (const file of readdirSync(spool)) {
    const wal = readWalName(file);
    if (wal === undefined) continue;
    const path = objectPath({ kind: "wal", wal: { ...wal, compression: "gzip" } });
    if (!objects.has(`pg/${path}`))
      objects.set(`pg/${path}`, gzipSync(readFileSync(join(spool, file)), { level: 1 }));
  }
}
