// A base backup brought back as planned (src/postgres/restore-plan.ts), ready to recover to a moment: the tars, in parallel and
// as they come, every file against the manifest; the recovery's settings; and last of all pg_control, so that no server
// starts on what is not whole. Names in tars and archives are hostile.

import { chmod, chown, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseManifest, type BackupManifest } from "../barman/backup-manifest.ts";
import { manifestOf } from "../barman/backup-tars.ts";
import { parseControlFile, type ControlFile } from "../barman/control-file.ts";
import { targetSettings } from "../barman/recovery-target.ts";
import { eachLimit } from "../base/concurrency.ts";
import { HoldfastError, errnoOf } from "../base/errors.ts";
import type { Progress } from "../base/progress.ts";
import { ManifestComparison } from "./manifest-comparison.ts";
import { getStream } from "../storage/get-stream.ts";
import type { RestorePlan } from "./restore-plan.ts";
import { writeRecoveryConfig } from "./restore/recovery-config.ts";
import { syncTree } from "./restore/sync-tree.ts";
import {
  claimTarget,
  completeTarget,
  CONTROL_FILE,
  releaseTarget,
  requireClaimed,
  syncFolder,
  type ClaimedFolder,
} from "./restore/target-folders.ts";
import { differs, unpackTar, type UnpackReport } from "./restore/unpack.ts";
import type { ServerAccount } from "./server-process.ts";
import { decompressStream } from "./wal-codec.ts";

export interface RestoreOptions {
  readonly plan: RestorePlan;
  /** How the server gets its WAL: the whole command, with %f and %p. */
  readonly restoreCommand: string;
  /** What happens at the target. */
  readonly action: "pause" | "promote" | "shutdown";
  /** The recovery ends before the transaction or record that the target names. */
  readonly exclusive?: boolean;
  /** The restored server archives as its configuration says, perhaps to where the original does. */
  readonly keepArchiving?: boolean;
  /** Who owns what is restored; undefined is whoever we are. */
  readonly account: ServerAccount | undefined;
  /** False: the machine may not go down before all is written. For what is thrown away anyway. */
  readonly durable?: boolean;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

export interface RestoreResult {
  readonly files: number;
  readonly bytes: number;
  /** Every file was held against a checksum of the manifest. */
  readonly isVerified: boolean;
  readonly control: ControlFile;
  /** What there is to know or to do, one sentence each. */
  readonly notes: readonly string[];
}

/** Tars under way at once: decompression has four threads. */
const PARALLEL = 4;

/** What a server wants to find, and tars may not have. */
const FOLDERS: readonly string[] = (
  "base global pg_commit_ts pg_dynshmem pg_logical pg_logical/mappings pg_logical/snapshots pg_multixact " +
  "pg_multixact/members pg_multixact/offsets pg_notify pg_replslot pg_serial pg_snapshots pg_stat pg_stat_tmp " +
  "pg_subtrans pg_tblspc pg_twophase pg_wal pg_wal/archive_status pg_xact"
).split(" ");

/**
 * Carries out a plan. When it fails, what it wrote is removed again. Throws BACKUP_DAMAGED when the backup does not match its
 * manifest or a tar is not whole, TARGET_UNWRITABLE, CANCELLED.
 */
export async function restoreBackup(options: RestoreOptions): Promise<RestoreResult> {
  const { plan, account } = options;
  const manifest = await readManifest(plan, options.signal);
  const folders = [plan.folder, ...plan.tablespaces.map(({ folder }) => folder)];
  const claimed: ClaimedFolder[] = [];
  try {
    for (const folder of folders) claimed.push(await claimTarget(folder, account));
    const result = await fill(options, manifest, claimed);
    for (const { mark } of claimed) await mark.close();
    return result;
  } catch (error) {
    for (const folder of claimed) await releaseTarget(folder);
    throw error;
  }
}

async function readManifest(
  { archive, choice }: RestorePlan,
  signal: AbortSignal | undefined,
): Promise<BackupManifest | undefined> {
  const object = manifestOf(choice.backup);
  if (object === undefined) return undefined;
  return parseManifest(await archive.storage.get(object.path, { signal }), object.path);
}

/** Everything between claiming the folders and giving them over. */
async function fill(
  options: RestoreOptions,
  manifest: BackupManifest | undefined,
  claimed: readonly ClaimedFolder[],
): Promise<RestoreResult> {
  const { plan, account, signal, durable = true } = options;
  const { path } = plan.folder;
  const comparison = new ManifestComparison(manifest);
  const report: UnpackReport = {
    files: 0,
    bytes: 0,
    control: undefined,
    mode: undefined,
    leftOut: [],
  };
  await unpackAll(options, comparison, { report, claimed });
  const [missing] = comparison.missing();
  if (missing !== undefined) throw differs(missing);
  // What we write from here on would replace what another restore has written.
  for (const folder of claimed) await requireClaimed(folder);
  const control = await requireCluster(plan, report);
  await completeFolders(plan, account);
  const notes = await writeRecoveryConfig({
    folder: path,
    config: {
      settings: recoverySettings(options),
      archivingOff: options.keepArchiving !== true,
    },
    account,
  });
  if (report.leftOut.length > 0)
    notes.push(
      `left out, because they are no files of a database: ${report.leftOut.slice(0, 20).join(", ")}`,
    );
  if (manifest === undefined)
    notes.push("the backup has no manifest: its tars are whole, but no file could be checked");
  await chmod(path, ((report.mode ?? 0o700) & 0o050) === 0o050 ? 0o750 : 0o700);
  if (durable)
    for (const folder of [path, ...plan.tablespaces.map((one) => one.folder.path)])
      await syncTree(folder, signal);
  for (const folder of claimed) await requireClaimed(folder);
  // Before a server can start: a mark that is left is what a later restore takes for leave to remove what lies there.
  for (const folder of claimed.slice(1)) await completeTarget(folder);
  await writeControl(plan, report.control!, account);
  await completeTarget(claimed[0]!);
  const { files, bytes } = report;
  return { files, bytes, isVerified: comparison.isSummed, control, notes };
}

async function unpackAll(
  { plan, account, progress, signal }: RestoreOptions,
  comparison: ManifestComparison,
  { report, claimed }: { report: UnpackReport; claimed: readonly ClaimedFolder[] },
): Promise<void> {
  const { tars, archive, folder, tablespaces, storedBytes } = plan;
  progress.addTotal({ files: tars.length, bytes: storedBytes });
  progress.totalComplete();
  await eachLimit(
    tars,
    PARALLEL,
    async ({ name, object }, _, within) => {
      const { path: source, size } = object;
      for (const one of claimed) await requireClaimed(one);
      const counted = (async function* (): AsyncGenerator<Uint8Array, void> {
        for await (const piece of getStream(archive.storage, source, { size, signal: within })) {
          yield piece;
          progress.done({ bytes: piece.length });
        }
      })();
      const { compression, oid } = name;
      const tablespace = tablespaces.find((one) => one.oid === oid);
      await unpackTar({
        source,
        folder: tablespace?.folder.path ?? folder.path,
        prefix: oid === null ? "" : `pg_tblspc/${oid}/`,
        account,
        comparison,
        content: decompressStream(counted, { compression, source, code: "BACKUP_DAMAGED" }),
        report,
      });
      progress.done({ files: 1 });
    },
    { signal },
  );
}

/** Throws BACKUP_DAMAGED when what was unpacked is no cluster, or not the one that its backup.info describes. */
async function requireCluster(plan: RestorePlan, report: UnpackReport): Promise<ControlFile> {
  const { choice, folder, major } = plan;
  const { id, info } = choice.backup;
  if (report.control === undefined) throw incomplete(id, `${CONTROL_FILE} is missing`);
  const control = parseControlFile(report.control, `${CONTROL_FILE} of backup ${id}`);
  const { systemId } = info!;
  if (systemId !== null && systemId !== control.systemId)
    throw incomplete(id, `its files are of cluster ${control.systemId}, not ${systemId}`);
  const version = await readOrMissing(join(folder.path, "PG_VERSION"), id);
  if (major !== 0 && version.trim() !== `${major}`)
    throw incomplete(id, `its files are of PostgreSQL ${version.trim()}, not ${major}`);
  // Without the label a server would begin at the wrong place, and not notice.
  await readOrMissing(join(folder.path, "backup_label"), id);
  return control;
}

async function readOrMissing(path: string, id: string): Promise<string> {
  try {
    return await readFile(path, "latin1");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    throw incomplete(id, `${path.slice(path.lastIndexOf("/") + 1)} is missing`);
  }
}

function incomplete(id: string, what: string): HoldfastError {
  return new HoldfastError("BACKUP_DAMAGED", `backup ${id} cannot be used: ${what}`, {
    hint: "Recover with another base backup: choose one with --backup.",
  });
}

/** The folders that a server wants, and the links to its tablespaces. */
async function completeFolders(
  { folder, tablespaces }: RestorePlan,
  account: ServerAccount | undefined,
): Promise<void> {
  for (const name of FOLDERS) {
    const path = join(folder.path, name);
    try {
      await mkdir(path, { mode: 0o700 });
      if (account) await chown(path, account.uid, account.gid);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
    }
  }
  for (const { oid, folder: place } of tablespaces) {
    const link = join(folder.path, "pg_tblspc", `${oid}`);
    try {
      await symlink(place.path, link);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
      throw new HoldfastError(
        "BACKUP_DAMAGED",
        `the backup has files where tablespace ${oid} belongs`,
        {
          hint: "Recover with another base backup: choose one with --backup.",
          cause: error,
        },
      );
    }
  }
}

function recoverySettings(options: RestoreOptions): Record<string, string> {
  const { plan, restoreCommand, action, exclusive = false } = options;
  const { target, timeline, backup } = plan.choice;
  const settings = targetSettings(target, { exclusive });
  return {
    restore_command: restoreCommand,
    ...settings,
    // Of a number, a server asks for the history, which the first timeline has none of.
    recovery_target_timeline: timeline === backup.info!.timeline ? "current" : `${timeline}`,
    ...(Object.keys(settings).length > 0 ? { recovery_target_action: action } : {}),
  };
}

async function writeControl(
  { folder }: RestorePlan,
  content: Buffer,
  account: ServerAccount | undefined,
): Promise<void> {
  const path = join(folder.path, CONTROL_FILE);
  await writeFile(path, content, { flag: "wx", mode: 0o600, flush: true });
  if (account) await chown(path, account.uid, account.gid);
  await syncFolder(join(folder.path, "global"));
}
