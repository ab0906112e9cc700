// A look at everything that protects an instance, with a viewer's rights: full snapshots, captures and the archive, and what
// they add up to. Reads listings and small objects, never a pack; writes nothing, and takes no lock.

import type { Catalogue } from "../barman/catalogue.ts";
import { takeInventory, type Inventory } from "../barman/inventory.ts";
import type { Lsn } from "../barman/lsn.ts";
import type { Id } from "../base/bytes.ts";
import type { HoldfastError } from "../base/errors.ts";
import { loadCatalogue, requireArchive, type Archive } from "../postgres/archive.ts";
import { partialReach } from "../postgres/partial-reach.ts";
import type { Repository } from "../repository/repository.ts";
import { listSnapshots, type FoundSnapshot } from "../repository/snapshots.ts";
import { parseTime } from "../restic/go-time.ts";
import { readCaptureMark } from "./capture-mark.ts";
import { readDrill, type StoredDrill } from "./drill-reports.ts";
import { databaseReaches, findJointMoments } from "./joint-moments.ts";
import type { DatabaseReach, JointMoments } from "./joint-moments.ts";
import type { FullSnapshot } from "./retention.ts";
import { computeWatermark, type MarkedCapture, type Watermark } from "./watermark.ts";

export interface SurveyedArchive {
  readonly archive: Archive;
  readonly inventory: Inventory;
  readonly reaches: readonly DatabaseReach[];
  /** Up to where partial segments really reach, by path. */
  readonly partialReach: ReadonlyMap<string, Lsn>;
}

export interface SurveyedSnapshot extends FullSnapshot {
  /** As its summary tells. */
  readonly files: number | undefined;
  readonly bytes: number | undefined;
}

/** Snapshots of one place, and the captures of the database that lies there. */
export interface Filestore {
  /** Name of the database, which only captures tell. */
  readonly database: string | undefined;
  readonly hostname: string;
  readonly paths: readonly string[];
  /** Oldest first. */
  readonly snapshots: readonly SurveyedSnapshot[];
  /** Those of other places that the captures go on from: a host that was renamed, a volume that was mounted elsewhere. */
  readonly others: readonly SurveyedSnapshot[];
  readonly captures: readonly MarkedCapture[];
  /** The newest drill of the database, as far as its report was kept. */
  readonly drill: StoredDrill | undefined;
}

export interface SurveyedFilestore extends Filestore {
  readonly watermark: Watermark;
  readonly joint: JointMoments;
}

/** Reads what an archive holds. Throws ARCHIVE_NOT_FOUND and what the storage throws. */
export async function surveyArchive(
  archive: Archive,
  { now, signal }: { readonly now: number; readonly signal?: AbortSignal | undefined },
): Promise<SurveyedArchive> {
  const catalogue = await loadCatalogue(archive, { now, signal });
  requireArchive(archive, catalogue);
  return {
    archive,
    inventory: takeInventory(catalogue, now),
    reaches: databaseReaches(catalogue),
    partialReach: await readPartials(archive, catalogue, signal),
  };
}

/** The last partial segment of each timeline is one small object, and there are few timelines. */
async function readPartials(
  archive: Archive,
  { wal, segmentSize }: Catalogue,
  signal: AbortSignal | undefined,
): Promise<Map<string, Lsn>> {
  const reaches = new Map<string, Lsn>();
  for (const { partials } of wal.values()) {
    const last = [...partials.keys()].toSorted((a, b) => a - b).at(-1);
    if (last === undefined) continue;
    const object = partials.get(last)!;
    const reach = await partialReach(archive, object, { segmentSize, signal });
    if (reach !== undefined) reaches.set(object.path, reach);
  }
  return reaches;
}

/** Lists the snapshots of both repositories, and puts together what belongs together. Throws what the storages throw. */
export async function surveyFilestores(options: {
  readonly repository: Repository;
  readonly captures: Repository | undefined;
  readonly onDamage: (id: Id, error: HoldfastError) => void;
  readonly signal?: AbortSignal | undefined;
}): Promise<Filestore[]> {
  const { repository, captures, onDamage, signal } = options;
  const snapshots = await listSnapshots(repository, { onDamage, signal });
  const captured = captures ? await listSnapshots(captures, { onDamage, signal }) : [];
  const marked = captured.flatMap(({ id, snapshot }): MarkedCapture[] => {
    const mark = readCaptureMark(snapshot.tags);
    return mark === undefined ? [] : [{ id, mark, time: timeOf(snapshot.time) }];
  });
  const drills = captured.flatMap((found) => readDrill(found) ?? []);
  return arrangeFilestores(snapshots, marked).map((one) => ({
    ...one,
    drill: drills.findLast(({ database }) => database === one.database),
  }));
}

/**
 * Sorts snapshots by host and paths, and gives each database's captures to the place whose snapshots they go on from, or
 * else to the one whose path ends in its name, or to the only one there is. The place with the newest snapshot comes first.
 */
export function arrangeFilestores(
  snapshots: readonly FoundSnapshot[],
  captures: readonly MarkedCapture[],
): Filestore[] {
  const full = snapshots.filter(({ snapshot }) => readCaptureMark(snapshot.tags) === undefined);
  const groups = Map.groupBy(full, ({ snapshot }) =>
    JSON.stringify([snapshot.hostname, ...snapshot.paths.toSorted()]),
  );
  const places = [...groups.values()].map((found): Filestore => {
    const { hostname, paths } = found.at(-1)!.snapshot;
    return {
      database: undefined,
      hostname,
      paths,
      snapshots: found.map(surveyed),
      others: [],
      captures: [],
      drill: undefined,
    };
  });
  const arranged = new Map<Filestore, Filestore[]>();
  const homeless: Filestore[] = [];
  for (const [database, own] of Map.groupBy(captures, ({ mark }) => mark.database)) {
    const place = placeOf(database, own, places);
    const since = new Set(own.map(({ mark }) => mark.since));
    const others = full
      .filter(({ id }) => since.has(id) && !place?.snapshots.some((one) => one.id === id))
      .map(surveyed);
    const found = { database, others, captures: own, drill: undefined };
    if (place === undefined) homeless.push({ ...found, hostname: "", paths: [], snapshots: [] });
    else arranged.set(place, [...(arranged.get(place) ?? []), { ...place, ...found }]);
  }
  return [...places.flatMap((place) => arranged.get(place) ?? [place]), ...homeless].toSorted(
    (a, b) => newest(b) - newest(a),
  );
}

function placeOf(
  database: string,
  captures: readonly MarkedCapture[],
  places: readonly Filestore[],
): Filestore | undefined {
  const since = new Set(captures.map(({ mark }) => mark.since));
  const isNamed = ({ paths }: Filestore): boolean =>
    paths.some((path) => path.split("/").at(-1) === database);
  return (
    places.find(({ snapshots }) => snapshots.some(({ id }) => since.has(id))) ??
    places.find(isNamed) ??
    (places.length === 1 ? places[0] : undefined)
  );
}

function surveyed({ id, snapshot }: FoundSnapshot): SurveyedSnapshot {
  const { summary, time } = snapshot;
  return {
    id,
    time: timeOf(summary?.backupStart || time),
    end: summary?.backupEnd ? timeOf(summary.backupEnd) : undefined,
    files: summary?.totalFilesProcessed,
    bytes: summary?.totalBytesProcessed,
  };
}

function newest({ snapshots, captures }: Filestore): number {
  return Math.max(snapshots.at(-1)?.time ?? -Infinity, ...captures.map(({ time }) => time));
}

function timeOf(text: string): number {
  return Number(parseTime(text) / 1_000_000n);
}

/**
 * What filestores and the archive add up to. A watermark proves that the archive has its moment, which may be later than the
 * time at which its last object was stored: a server that is idle writes nothing.
 */
export function joinSurvey(
  filestores: readonly Filestore[],
  archive: SurveyedArchive | undefined,
): { readonly archive: SurveyedArchive | undefined; readonly filestores: SurveyedFilestore[] } {
  const marked = filestores.map((one) => ({ one, watermark: watermarkOf(one, archive) }));
  const proved = archive && {
    ...archive,
    reaches: archive.reaches.map((reach) => {
      const times = marked.flatMap(({ watermark: { point } }) =>
        point?.position.timeline === reach.timeline ? [point.position.time] : [],
      );
      return { ...reach, to: Math.max(reach.to, ...times) };
    }),
  };
  return {
    archive: proved,
    filestores: marked.map(({ one, watermark }) => ({
      ...one,
      watermark,
      joint: jointOf(one, watermark, proved),
    })),
  };
}

function watermarkOf(
  { captures, snapshots, others }: Filestore,
  archive: SurveyedArchive | undefined,
): Watermark {
  return computeWatermark({
    captures,
    snapshots: new Set([...snapshots, ...others].map(({ id }) => id)),
    catalogue: archive?.inventory.catalogue,
    ...(archive && { partialReach: archive.partialReach }),
  });
}

function jointOf(
  { captures, snapshots, others }: Filestore,
  { point }: Watermark,
  archive: SurveyedArchive | undefined,
): JointMoments {
  // Positions decide: what lies behind the watermark, or has none, is not joint, whatever the clocks say.
  const counted = captures.filter(
    ({ mark }) =>
      mark.position !== undefined &&
      point !== undefined &&
      mark.position.time <= point.position.time,
  );
  const all = [...snapshots, ...others].toSorted((a, b) => a.time - b.time);
  return findJointMoments({
    snapshots: all,
    captures: counted,
    reaches: archive?.reaches ?? [],
  });
}
