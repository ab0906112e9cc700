// The catalogue of an archive, from a listing of its objects and the content of the few small ones that describe the
// others: which backups there are and which of them can be restored, what WAL there is and where it has holes, and from
// when to when any moment can be recovered. Believes what is in the bucket and nothing else; reads, decides, touches
// nothing. One damaged object is a problem of its own, and never hides the rest.

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { parseBackupInfo, type BackupInfo } from "./backup-info.ts";
import { examineBackup } from "./catalogue-backup.ts";
import type { ArchiveIdentity, BackupFolder, CatalogueBackup } from "./catalogue-backup.ts";
import { parseHistory, type History } from "./history.ts";
import { isServerNote, readObjectName, type ObjectName } from "./layout.ts";
import { SEGMENT_SIZE_DEFAULT } from "./lsn.ts";
import { findWindows, type RecoveryWindow } from "./recovery-windows.ts";
import { readKeep } from "./retention.ts";
import { drawTimelines, type Timelines } from "./timelines.ts";
import { findGaps, type WalGap } from "./wal-gaps.ts";
import { listWal, type ListedObject, type Orphan, type TimelineWal } from "./wal-listing.ts";
import type { WalName } from "./wal-name.ts";

export interface Catalogue {
  readonly segmentSize: number;
  /** In the order of their ids. */
  readonly backups: readonly CatalogueBackup[];
  readonly timelines: Timelines;
  /** When the history of a timeline was stored, in milliseconds since 1970: about when the timeline began. */
  readonly historyTimes: ReadonlyMap<number, number>;
  readonly wal: ReadonlyMap<number, TimelineWal>;
  readonly gaps: readonly WalGap[];
  readonly windows: readonly RecoveryWindow[];
  readonly orphans: readonly Orphan[];
  /** What could not be understood, or not be read. */
  readonly problems: readonly HoldfastError[];
  /** True when a program that we do not know writes here: look, but delete nothing. */
  readonly readOnly: boolean;
}

interface Options {
  /** All objects of the server, paths relative to its folder. */
  readonly objects: readonly ListedObject[];
  /** The contents of those that `isDescription` names, by path, without their compression. */
  readonly contents: ReadonlyMap<string, Uint8Array>;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** For how long after its successor came a missing segment is late and not lost; milliseconds. */
  readonly grace?: number;
}

const GRACE = 15 * 60_000;

/** True for the objects whose content the catalogue needs: backup.info, histories, and keep annotations. */
export function isDescription(path: string): boolean {
  const name = readObjectName(path);
  return (
    name.kind === "info" ||
    (name.kind === "annotation" && name.key === "keep") ||
    (name.kind === "wal" && name.wal.kind === "history")
  );
}

/** Draws up the catalogue of one server. */
export function readCatalogue(options: Options): Catalogue {
  const { contents, now, grace = GRACE } = options;
  const problems: HoldfastError[] = [];
  const named = options.objects.map((object) => ({ object, name: readObjectName(object.path) }));
  const orphans: Orphan[] = named
    .filter(({ object, name }) => name.kind === "foreign" && !isServerNote(object.path))
    .map(({ object }) => ({ ...object, why: "foreign" }));

  const folders = backupFolders(named, contents, problems);
  const archive = identityOf(folders);
  const { segmentSize } = archive;
  const listed = listWal(
    named.flatMap(({ object, name }) => (name.kind === "wal" ? [{ object, wal: name.wal }] : [])),
    segmentSize,
  );
  orphans.push(...listed.orphans);
  const wal = listed.timelines;
  const { timelines, historyTimes } = readHistories(named, contents, problems);

  const backups: CatalogueBackup[] = [];
  for (const [id, folder] of [...folders].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (folder.info === undefined && folder.unreadable === undefined) {
      const isThere = folder.objects.some(({ path }) => path.startsWith("base/"));
      const why = isThere ? "no-info" : "no-backup";
      orphans.push(...folder.objects.map((object) => ({ ...object, why }) as const));
    } else backups.push(examineBackup(id, folder, { ...archive, wal }));
  }
  return {
    segmentSize,
    backups,
    timelines,
    historyTimes,
    wal,
    gaps: findGaps({ backups, wal, timelines, segmentSize, now, grace }),
    windows: findWindows({ backups, wal, timelines, historyTimes, segmentSize }),
    orphans,
    problems,
    readOnly: backups.some(({ info }) => info?.readOnly),
  };
}

interface Named {
  readonly object: ListedObject;
  readonly name: ObjectName;
}

function unread({ path }: ListedObject): HoldfastError {
  return new HoldfastError("INCOMPLETE", `${path} was not read`, {
    hint: "Make sure that whoever reads the archive may read this object.",
  });
}

/** Reads what describes each backup, and notes in `problems` what cannot be. */
function backupFolders(
  named: readonly Named[],
  contents: ReadonlyMap<string, Uint8Array>,
  problems: HoldfastError[],
): Map<string, BackupFolder> {
  const folders = new Map<string, BackupFolder>();
  for (const { object, name } of named) {
    if (name.kind === "wal" || name.kind === "foreign") continue;
    let folder = folders.get(name.backupId);
    if (!folder) {
      folder = { objects: [], tars: [], info: undefined, unreadable: undefined, keep: undefined };
      folders.set(name.backupId, folder);
    }
    folder.objects.push(object);
    const content = contents.get(object.path);
    if (name.kind === "tar") folder.tars.push({ name, object });
    else if (name.kind === "annotation" && name.key === "keep") {
      // Somebody wanted it to stay: what the mark says is a detail.
      folder.keep = content ? readKeep(Buffer.from(content).toString()) : "full";
    } else if (name.kind === "info") {
      const outcome = content
        ? tryParse(() => parseBackupInfo(content, object.path))
        : unread(object);
      if (!(outcome instanceof HoldfastError)) folder.info = outcome;
      else {
        folder.unreadable = outcome.message;
        problems.push(outcome);
      }
    }
  }
  return folders;
}

/** The value of `parse`, or the error that it throws about what it read. */
function tryParse<T>(parse: () => T): T | HoldfastError {
  try {
    return parse();
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    return error;
  }
}

/** Size of segments and cluster as the newest backup tells them, one that is done before any other. */
function identityOf(folders: ReadonlyMap<string, BackupFolder>): ArchiveIdentity {
  let best: { id: string; info: BackupInfo } | undefined;
  for (const [id, { info }] of folders) {
    if (info === undefined) continue;
    const isDone = info.status === "DONE";
    const bestIsDone = best?.info.status === "DONE";
    if (!best || (isDone === bestIsDone ? id > best.id : isDone)) best = { id, info };
  }
  return {
    segmentSize: best?.info.segmentSize ?? SEGMENT_SIZE_DEFAULT,
    systemId: best?.info.systemId ?? null,
  };
}

/** The tree of timelines; without any but the first when the histories contradict each other. */
function readHistories(
  named: readonly Named[],
  contents: ReadonlyMap<string, Uint8Array>,
  problems: HoldfastError[],
): { timelines: Timelines; historyTimes: Map<number, number> } {
  const histories: History[] = [];
  const historyTimes = new Map<number, number>();
  for (const { object, name } of named) {
    const wal: WalName | undefined = name.kind === "wal" ? name.wal : undefined;
    if (wal?.kind !== "history") continue;
    const { timeline } = wal;
    const earliest = Math.min(object.time, historyTimes.get(timeline) ?? Infinity);
    historyTimes.set(timeline, earliest);
    const content = contents.get(object.path);
    const outcome = content
      ? tryParse(() => parseHistory({ timeline, content, source: object.path }))
      : unread(object);
    if (outcome instanceof HoldfastError) problems.push(outcome);
    else histories.push(outcome);
  }
  const timelines = tryParse(() => drawTimelines(histories));
  if (!(timelines instanceof HoldfastError)) return { timelines, historyTimes };
  problems.push(timelines);
  return { timelines: drawTimelines([]), historyTimes };
}
