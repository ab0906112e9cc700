// Base backups of test servers: an archive into which a server copies its WAL by itself, a backup into it, and a data
// directory made of that by `tar` and PostgreSQL alone, without any code that reads backups.

import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { parseBackupInfo, type BackupInfo } from "../../src/barman/backup-info.ts";
import { systemClock, systemRandom } from "../../src/base/clock.ts";
import { Progress } from "../../src/base/progress.ts";
import { archiveOf, type Archive } from "../../src/postgres/archive.ts";
import {
  makeBaseBackup,
  type BaseBackupOptions,
  type BaseBackupResult,
} from "../../src/postgres/base-backup.ts";
import { connect, type ConnectionSettings } from "../../src/postgres/connection.ts";
import { openStorage } from "../../src/storage/open-storage.ts";
import { serverAccount, serverOwnedFolder, startTestServer } from "./servers.ts";
import type { Major, TestServer, TestServerOptions } from "./servers.ts";

/** An archive in a folder of this machine. */
export interface FolderArchive {
  readonly folder: string;
  readonly archive: Archive;
  /** Copies a segment into it as it is, and takes its time over nothing. */
  readonly archiveCommand: string;
  /** Fetches what `archiveCommand` stored. */
  readonly restoreCommand: string;
}

/** A new archive of the server "pg"; remove its folder when done. */
export async function makeFolderArchive(): Promise<FolderArchive> {
  const folder = serverOwnedFolder("archive");
  const wals = join(folder, "pg", "wals");
  // The server writes here as itself, and we beside it.
  mkdirSync(wals, { recursive: true });
  const account = serverAccount();
  if (account) execFileSync("chown", ["-R", `${account.uid}:${account.gid}`, folder]);
  const storage = await openStorage(folder, {
    env: {},
    clock: systemClock,
    random: systemRandom,
    purpose: "archive",
  });
  const place = `d=${wals}; case %f in *.history) ;; *) d=$d/$(echo %f | cut -c1-16);; esac`;
  return {
    folder,
    archive: archiveOf(storage, "pg"),
    archiveCommand: `${place}; mkdir -p $d && cp %p ${folder}/%f-incoming && mv ${folder}/%f-incoming $d/%f`,
    restoreCommand: `${place}; cp $d/%f %p`,
  };
}

/** How our own connections reach a test server. */
export function settingsOf(
  server: Pick<TestServer, "host" | "port">,
  more: Partial<ConnectionSettings> = {},
): ConnectionSettings {
  return {
    hosts: [{ host: server.host, port: server.port }],
    user: "postgres",
    database: "postgres",
    tls: { mode: "prefer" },
    ...more,
  };
}

type BackupRun = Partial<BaseBackupOptions> & { readonly settings?: Partial<ConnectionSettings> };

/** Makes a backup as the command does. */
export async function backUpServer(
  server: Pick<TestServer, "host" | "port">,
  { archive }: Pick<FolderArchive, "archive">,
  { settings, ...more }: BackupRun = {},
): Promise<BaseBackupResult> {
  const signal = more.signal ?? new AbortController().signal;
  return await makeBaseBackup({
    archive,
    connect: async ({ replication }) =>
      await connect({ settings: settingsOf(server, settings), replication, signal }),
    clock: systemClock,
    random: systemRandom,
    by: "a test",
    lanes: 2,
    progress: new Progress(),
    walPatience: 180_000,
    ...more,
    signal,
  });
}

/** The only backup.info of the archive, or that of `id`. */
export function readInfo({ folder }: FolderArchive, id?: string): BackupInfo {
  const base = join(folder, "pg", "base");
  const [only, ...others] = id === undefined ? readdirSync(base) : [id];
  if (only === undefined || others.length > 0)
    throw new Error(`backups: ${only}, ${others.join()}`);
  const path = join(base, only, "backup.info");
  return parseBackupInfo(readFileSync(path), path);
}

/** The objects of a backup, sorted. */
export function objectsOf({ folder }: FolderArchive, id: string): string[] {
  return readdirSync(join(folder, "pg", "base", id)).toSorted();
}

/** Unpacks a backup with `tar` into a new data directory, tablespaces beside it; its path. */
export function unpackBackup(from: FolderArchive, id: string): string {
  const root = serverOwnedFolder("restored");
  const data = join(root, "data");
  mkdirSync(data);
  const base = join(from.folder, "pg", "base", id);
  const tablespaces = new Set<string>();
  for (const name of objectsOf(from, id)) {
    const oid = /^(?:data|(\d+))(?:_\d{4})?\.tar/.exec(name);
    if (!oid) continue;
    const target = oid[1] === undefined ? data : join(root, oid[1]);
    mkdirSync(target, { recursive: true });
    execFileSync("tar", ["-xpf", join(base, name), "-C", target]);
    if (oid[1] !== undefined) tablespaces.add(oid[1]);
  }
  for (const oid of tablespaces) symlinkSync(join(root, oid), join(data, "pg_tblspc", oid));
  const manifest = readFileSync(join(from.folder, "pg", "meta", id, "backup_manifest"));
  writeFileSync(join(data, "backup_manifest"), manifest);
  const account = serverAccount();
  if (account) {
    execFileSync("chown", ["-hR", `${account.uid}:${account.gid}`, root]);
    chownSync(root, account.uid, account.gid);
  }
  return data;
}

/** Starts a server on an unpacked backup that recovers all WAL there is and then opens. */
export async function startOnBackup(
  data: string,
  { restoreCommand }: FolderArchive,
  options: TestServerOptions & { readonly major: Major },
): Promise<TestServer> {
  // Settings of later lines win; this server must not archive into the archive that it comes from.
  const lines = [
    "archive_mode = off",
    `restore_command = '${restoreCommand.replaceAll("'", "''")}'`,
    "recovery_target_timeline = 'latest'",
  ];
  appendFileSync(join(data, "postgresql.conf"), `${lines.join("\n")}\n`);
  const signalFile = join(data, "recovery.signal");
  writeFileSync(signalFile, "");
  const account = serverAccount();
  if (account) chownSync(signalFile, account.uid, account.gid);
  return await startTestServer({ ...options, dataDirectory: data });
}
