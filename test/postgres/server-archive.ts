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
import type { TestServer } from "./servers.ts";
import { until } from "./servers.ts";

const run = promisify(execFile);

export interface ServerArchive {
  /** By key, below the folder "pg". */
  readonly objects: Map<string, Uint8Array>;
  readonly id: string;
}

export interface BackupWishes {
  readonly id: string;
  /** Of the manifest: CRC32C, SHA256, NONE. */
  readonly checksums?: string;
  readonly gzip?: boolean;
}

/** Takes a base backup of `server` into `objects`, with a backup.info of ours. */
export async function addBackup(
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
export async function addWal(
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
