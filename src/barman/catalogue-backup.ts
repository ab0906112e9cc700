// One backup of an archive: what its `backup.info` says, held against the objects that are there
// (docs/formats/barman.md#when-a-backup-can-be-restored).

import type { BackupInfo } from "./backup-info.ts";
import type { TarName } from "./layout.ts";
import type { Keep } from "./retention.ts";
import { runEnd, type ListedObject, type TimelineWal } from "./wal-listing.ts";
import { segmentName, segmentNumber } from "./wal-name.ts";

export interface CatalogueBackup {
  readonly id: string;
  /** `unfinished` is under way, or was left; `unreadable` has a backup.info that cannot be understood. */
  readonly state: "done" | "failed" | "unfinished" | "unreadable";
  /** `snapshot` has its data in snapshots of disks; `increment` holds only what changed since `parent`. */
  readonly type: "full" | "increment" | "snapshot";
  /** The id of the backup that this one is an increment of. */
  readonly parent: string | undefined;
  readonly info: BackupInfo | undefined;
  readonly keep: Keep | undefined;
  /** Of its tars, as they are stored. */
  readonly bytes: number;
  /** Everything in its folder, and what we keep beside it below `meta/`. */
  readonly objects: readonly ListedObject[];
  /** The segments from its beginning to its end; undefined when its backup.info does not name them. */
  readonly segments: { readonly first: number; readonly last: number } | undefined;
  /** Why it cannot be restored, one reason a line; empty when it can. */
  readonly flaws: readonly string[];
}

/** What was found in the folder of one backup, and below `meta/`. */
export interface BackupFolder {
  readonly objects: ListedObject[];
  readonly tars: { readonly name: TarName; readonly object: ListedObject }[];
  info: BackupInfo | undefined;
  /** What made the backup.info unreadable. */
  unreadable: string | undefined;
  keep: Keep | undefined;
}

/** The cluster that most recently archived here; others under the same name cannot be recovered with its WAL. */
export interface ArchiveIdentity {
  readonly segmentSize: number;
  readonly systemId: string | null;
}

/** Judges the folder of the backup `id`. */
export function examineBackup(
  id: string,
  folder: BackupFolder,
  archive: ArchiveIdentity & { readonly wal: ReadonlyMap<number, TimelineWal> },
): CatalogueBackup {
  const { info, keep, unreadable, objects } = folder;
  const bytes = folder.tars.reduce((sum, { object }) => sum + object.size, 0);
  if (info === undefined) {
    const flaws = [unreadable ?? "it has no backup.info"];
    const [state, type] = ["unreadable", "full"] as const;
    const nothing = { info, parent: undefined, segments: undefined };
    return { id, state, type, keep, bytes, objects, flaws, ...nothing };
  }
  const state =
    info.status === "DONE" ? "done" : info.status === "FAILED" ? "failed" : "unfinished";
  const { beginWal, endWal, segmentSize } = info;
  const isOurs = segmentSize === archive.segmentSize && beginWal !== null && endWal !== null;
  const segments = isOurs
    ? { first: segmentNumber(beginWal, segmentSize), last: segmentNumber(endWal, segmentSize) }
    : undefined;
  const flaws =
    state === "done"
      ? [
          ...identityFlaws(info, archive),
          ...tarFlaws(info, folder),
          ...walFlaws(info, segments, archive),
        ]
      : [`it is ${info.status}${info.error === null ? "" : `: ${info.error}`}`];
  const parent = parentOf(info);
  const type =
    info.snapshotsInfo !== null ? "snapshot" : parent === undefined ? "full" : "increment";
  return { id, state, type, parent, info, keep, bytes, objects, segments, flaws };
}

function parentOf({ extra }: BackupInfo): string | undefined {
  const parent = extra.get("parent_backup_id") ?? "None";
  return parent === "None" ? undefined : parent;
}

function identityFlaws(info: BackupInfo, archive: ArchiveIdentity): string[] {
  const flaws: string[] = [];
  if (info.segmentSize !== archive.segmentSize)
    flaws.push(
      `its WAL segments have ${info.segmentSize} bytes, those of later backups ${archive.segmentSize}`,
    );
  if (info.systemId !== null && archive.systemId !== null && info.systemId !== archive.systemId)
    flaws.push(`it is of cluster ${info.systemId}, later backups are of ${archive.systemId}`);
  return flaws;
}

function tarFlaws(info: BackupInfo, { tars }: BackupFolder): string[] {
  if (info.snapshotsInfo !== null) return ["its data are snapshots of disks, not objects"];
  const parent = parentOf(info);
  const flaws =
    parent === undefined ? [] : [`it is an increment of ${parent}, to be combined first`];
  for (const oid of [null, ...(info.tablespaces ?? []).map((one) => one.oid)]) {
    const parts = new Set(tars.filter(({ name }) => name.oid === oid).map(({ name }) => name.part));
    const called = oid === null ? "data" : `${oid}`;
    for (let part = 0; part < Math.max(parts.size, 1); part++) {
      if (parts.has(part)) continue;
      flaws.push(
        `${called}${part === 0 ? "" : `_${String(part).padStart(4, "0")}`}.tar is missing`,
      );
    }
  }
  const empty = tars.find(({ object }) => object.size === 0);
  if (empty) flaws.push(`${empty.object.path} is empty`);
  return flaws;
}

function walFlaws(
  { timeline }: BackupInfo,
  segments: CatalogueBackup["segments"],
  { wal, segmentSize }: ArchiveIdentity & { readonly wal: ReadonlyMap<number, TimelineWal> },
): string[] {
  if (segments === undefined) return [];
  const ranges = wal.get(timeline!)?.ranges ?? [];
  const end = runEnd(ranges, segments.first);
  if (end !== undefined && end >= segments.last) return [];
  const missing = end === undefined ? segments.first : end + 1;
  return [`WAL ${segmentName(timeline!, missing, segmentSize)}, which it needs, is missing`];
}
