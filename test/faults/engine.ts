// The engine in this process, against a quick repository on disk: many runs in the time of one start of the program, and
// faults at places that can be chosen.

import { enableCompileCache } from "node:module";
import { hostname } from "node:os";
import { systemClock, systemRandom } from "../../src/base/clock.ts";
import type { HoldfastError } from "../../src/base/errors.ts";
import { backUp } from "../../src/files/backup.ts";
import type { BackupOptions, BackupResult } from "../../src/files/backup.ts";
import { findDirectory } from "../../src/files/find-path.ts";
import { readOwnerNames } from "../../src/files/metadata.ts";
import { RestorePool } from "../../src/files/restore-pool.ts";
import type { RestorePoolOptions } from "../../src/files/restore-pool.ts";
import { restore } from "../../src/files/restore.ts";
import type { RestoreOptions, RestoreResult } from "../../src/files/restore.ts";
import { GROUP_BY_DEFAULT } from "../../src/repository/snapshot-groups.ts";
import { BlobReader } from "../../src/repository/blob-reader.ts";
import { checkRepository } from "../../src/repository/check.ts";
import type { CheckReport } from "../../src/repository/check.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import { openRepository } from "../../src/repository/open.ts";
import type { Machine, Repository } from "../../src/repository/repository.ts";
import { findSnapshot } from "../../src/repository/snapshots.ts";
import { textToByteString } from "../../src/restic/byte-string.ts";
import { openLocalStorage } from "../../src/storage/local.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { IS_ROOT, PASSWORD } from "./workbench.ts";

// Threads are started for every backup and restore: what they load is compiled once, as by the program.
process.env["NODE_COMPILE_CACHE"] ??= enableCompileCache().directory;

/** This machine, as the program tells it to the engine. */
export const MACHINE: Machine = {
  clock: systemClock,
  random: systemRandom,
  hostname: hostname(),
  username: "tester",
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  pid: process.pid,
  isAlive: () => true,
};

/** Opens the repository at `location`; `around` puts something between it and its files. */
export async function openAt(
  location: string,
  around: (storage: Storage) => Storage = (storage) => storage,
  machine: Partial<Machine> = {},
): Promise<Repository> {
  const storage = around(await openLocalStorage({ root: location }));
  return openRepository({ storage, password: PASSWORD, machine: { ...MACHINE, ...machine } });
}

export interface EngineBackup extends BackupResult {
  /** What was reported as unreadable, by path. */
  failed: Map<string, HoldfastError>;
  notices: string[];
}

/** Backs `paths` up. */
export async function backUpPaths(
  repository: Repository,
  paths: readonly string[],
  overrides: Partial<BackupOptions> = {},
): Promise<EngineBackup> {
  const failed = new Map<string, HoldfastError>();
  const notices: string[] = [];
  const result = await backUp({
    repository: Promise.resolve(repository),
    clock: systemClock,
    location: repository.storage.location,
    paths: paths.map(textToByteString),
    stdin: undefined,
    cwd: textToByteString(process.cwd()),
    hostname: MACHINE.hostname,
    tags: [],
    excluder: undefined,
    excludes: [],
    scanOptions: "",
    oneFileSystem: false,
    ignoreCtime: false,
    ignoreInode: false,
    metadata: { owners: readOwnerNames(), withAtime: false, zoneOffset: () => 0, utc: true },
    parent: undefined,
    groupBy: GROUP_BY_DEFAULT,
    force: false,
    skipIfUnchanged: false,
    dryRun: false,
    allowEmpty: false,
    time: undefined,
    workers: 1,
    packSize: undefined,
    verify: true,
    programVersion: "test",
    scanCacheFolder: undefined,
    retryLock: 0,
    events: {
      found: () => {},
      foundAll: () => {},
      done: () => {},
      current: () => {},
      failed: (path, error) => failed.set(path, error),
      parent: () => {},
      expected: () => {},
      notice: (message) => notices.push(message),
    },
    signal: undefined,
    ...overrides,
  });
  return { ...result, failed, notices };
}

export interface EngineRestore extends RestoreResult {
  failed: Map<string, HoldfastError>;
  restored: string[];
  skipped: string[];
  deleted: string[];
}

/** Restores a snapshot (an id or "latest", and after a colon a directory in it) into `target`. */
export async function restoreTo(
  repository: Repository,
  name: string,
  target: string,
  options: Partial<RestoreOptions> & Partial<RestorePoolOptions> = {},
): Promise<EngineRestore> {
  const { workers = 1, sparse = false, setOwner = IS_ROOT, ...overrides } = options;
  const [id = "", directory = ""] = name.split(":");
  const { snapshot } = await findSnapshot(repository, id);
  const { index } = await loadIndex(repository, { onDamage: () => {} });
  const reader = new BlobReader(repository, index);
  const failed = new Map<string, HoldfastError>();
  const lists = { restored: [] as string[], skipped: [] as string[], deleted: [] as string[] };
  const pool = new RestorePool({ workers, sparse, setOwner });
  const restoring = restore({
    repository,
    reader,
    tree: await findDirectory(reader, snapshot.tree, textToByteString(directory)),
    target: textToByteString(target),
    select: (_, isDirectory) => ({ selected: true, childMayBeSelected: isDirectory }),
    overwrite: "always",
    delete: false,
    dryRun: false,
    setOwner,
    pool,
    events: {
      found: () => {},
      bytes: () => {},
      restored: (path) => lists.restored.push(path),
      skipped: (path) => lists.skipped.push(path),
      deleted: (path) => lists.deleted.push(path),
      failed: (path, error) => failed.set(path, error),
    },
    signal: undefined,
    ...overrides,
  });
  try {
    return { ...(await restoring), failed, ...lists };
  } finally {
    await pool.terminate();
  }
}

/** Checks everything, every byte. */
export function checkAll(repository: Repository): Promise<CheckReport> {
  return checkRepository(repository, { readData: { mode: "all" }, workers: 1 });
}
