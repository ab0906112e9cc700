// The task that makes full snapshots of a filestore (src/files/backup.ts): what `holdfast backup` makes, in the main repository.

import { HoldfastError } from "../../base/errors.ts";
import { backUp } from "../../files/backup.ts";
import { localZone, readOwnerNames } from "../../files/metadata.ts";
import type { Repository } from "../../repository/repository.ts";
import { listSnapshots, type FoundSnapshot } from "../../repository/snapshots.ts";
import { textToByteString } from "../../restic/byte-string.ts";
import { parseTime } from "../../restic/go-time.ts";
import { readCaptureMark } from "../../odoo/capture-mark.ts";
import type { InstanceAccess } from "../access.ts";
import type { InstancePlan } from "../plan.ts";
import type { Schedule } from "../schedule.ts";
import type { DueTask, TaskResult, TaskRun } from "../task.ts";

/** How long other programs' locks are waited for. */
const LOCK_PATIENCE_MS = 10 * 60_000;
/** Files that are named when they cannot be read. */
const UNREAD_MAX = 5;

export interface SnapshotTaskOptions {
  readonly instance: InstancePlan;
  readonly filestore: string;
  readonly schedule: Schedule;
  readonly access: InstanceAccess;
  readonly onMade: () => void;
}

export function snapshotTask(options: SnapshotTaskOptions): DueTask {
  const { instance, schedule, access, onMade } = options;
  return {
    instance: instance.name,
    name: "snapshot",
    schedule,
    locks: [`repository ${instance.name}`],
    beginsAtOnce: true,
    async lastDone({ signal }) {
      const own = await ownSnapshots(await access.repository(), options, signal);
      const newest = own.at(-1);
      return newest && Number(parseTime(newest.snapshot.time) / 1_000_000n);
    },
    async run(run) {
      try {
        return await makeSnapshot(options, run);
      } finally {
        // Also after one that some files are missing from: what it has begins a period.
        onMade();
      }
    },
  };
}

/** The full snapshots of an instance's filestore that were made from here, oldest first; others in the repository are not ours. */
export async function ownSnapshots(
  repository: Repository,
  { instance, filestore, access }: Pick<SnapshotTaskOptions, "instance" | "filestore" | "access">,
  signal: AbortSignal,
): Promise<FoundSnapshot[]> {
  const host = instance.repository?.host ?? access.machine.hostname;
  const found = await listSnapshots(repository, {
    filter: { hosts: [host], paths: [filestore] },
    // One that cannot be read is none that counts.
    onDamage: () => {},
    signal,
  });
  return found.filter(
    ({ snapshot }) => snapshot.paths.length === 1 && readCaptureMark(snapshot.tags) === undefined,
  );
}

async function makeSnapshot(
  { instance, filestore, access }: SnapshotTaskOptions,
  { signal, notice }: TaskRun,
): Promise<TaskResult> {
  const { machine, backup } = access;
  const unread: string[] = [];
  const result = await backUp({
    ...backup,
    repository: access.repository(),
    location: await access.repositoryLocation(),
    paths: [textToByteString(filestore)],
    stdin: undefined,
    cwd: "/",
    hostname: instance.repository?.host ?? machine.hostname,
    tags: [],
    excluder: undefined,
    excludes: [],
    scanOptions: "plan",
    oneFileSystem: false,
    ignoreCtime: false,
    ignoreInode: false,
    metadata: { owners: readOwnerNames(), withAtime: false, ...localZone() },
    parent: undefined,
    groupBy: { host: true, paths: true, tags: false },
    force: false,
    skipIfUnchanged: false,
    dryRun: false,
    allowEmpty: false,
    time: undefined,
    retryLock: LOCK_PATIENCE_MS,
    clock: machine.clock,
    signal,
    events: {
      found: () => {},
      foundAll: () => {},
      done: () => {},
      current: () => {},
      failed: (path, error) => void unread.push(`${path}: ${error.message}`),
      parent: () => {},
      expected: () => {},
      notice,
    },
  });
  for (const one of unread.slice(0, UNREAD_MAX)) notice(one);
  if (unread.length > 0) {
    throw new HoldfastError(
      "INCOMPLETE",
      `${unread.length} files could not be read; the snapshot ${result.snapshot?.slice(0, 8)} is without them`,
      { hint: "Run as a user who may read all of the filestore." },
    );
  }
  const { totalFiles: files, totalBytes } = result.counts;
  return {
    text: `snapshot ${result.snapshot?.slice(0, 8)} of ${files} files`,
    detail: {
      snapshot_id: result.snapshot,
      files,
      bytes: totalBytes,
      added_bytes: result.added.addedPacked,
    },
  };
}
