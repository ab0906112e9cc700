// The WAL of an archive, from a listing of its objects: per timeline the segments that are whole, in ranges, and the
// partial ones that stand for a segment that is not there (docs/formats/barman.md#what-counts-as-a-segment).

import { segmentNumber, type WalName } from "./wal-name.ts";

/** An object of the archive as a listing shows it. */
export interface ListedObject {
  /** Relative to the server's folder. */
  readonly path: string;
  readonly size: number;
  /** When it was stored, in milliseconds since 1970. */
  readonly time: number;
}

/** An object that no backup and no recovery uses. */
export interface Orphan extends ListedObject {
  readonly why:
    | "foreign"
    /** Of a backup without a backup.info, which is under way or was cut off. */
    | "no-info"
    /** What we keep beside a backup that is not there any more. */
    | "no-backup"
    /** A partial segment whose whole one is there; Barman may serve it instead of that one. */
    | "leftover-partial"
    /** The same segment once more, compressed in another way. */
    | "duplicate"
    /** Not compressed, and not of a segment's size; or empty. */
    | "truncated";
}

/** Segments without a hole between them, both ends included. */
export interface SegmentRange {
  readonly first: number;
  readonly last: number;
}

export interface TimelineWal {
  readonly timeline: number;
  /** Whole segments, in ascending order. */
  readonly ranges: readonly SegmentRange[];
  /** Partial segments whose whole one is not there. */
  readonly partials: ReadonlyMap<number, ListedObject>;
  /** The objects of the whole segments. */
  readonly segments: ReadonlyMap<number, ListedObject>;
  /** The labels of backups, with the segments that they stand beside. */
  readonly labels: readonly (readonly [segment: number, object: ListedObject])[];
  readonly bytes: number;
}

export interface WalListing {
  readonly timelines: ReadonlyMap<number, TimelineWal>;
  readonly orphans: readonly Orphan[];
}

interface Collected {
  readonly segments: Map<number, ListedObject>;
  readonly partials: Map<number, ListedObject>;
  readonly labels: [number, ListedObject][];
}

/** Sorts the objects below `wals/` that are segments. `found` are those whose name is one of WAL. */
export function listWal(
  found: readonly { readonly object: ListedObject; readonly wal: WalName }[],
  segmentSize: number,
): WalListing {
  const collected = new Map<number, Collected>();
  const orphans: Orphan[] = [];
  // By name, so that of two that hold the same segment the one counts that Barman would take.
  for (const { object, wal } of found.toSorted((a, b) =>
    a.object.path < b.object.path ? -1 : 1,
  )) {
    if (wal.kind === "history") continue;
    const segment = numberOf(wal, segmentSize);
    if (segment === undefined) {
      orphans.push({ ...object, why: "foreign" });
      continue;
    }
    const { timeline } = wal;
    let own = collected.get(timeline);
    if (!own) {
      own = { segments: new Map(), partials: new Map(), labels: [] };
      collected.set(timeline, own);
    }
    if (wal.kind === "label") {
      own.labels.push([segment, object]);
      continue;
    }
    const isShort = object.size === 0 || (wal.compression === null && object.size !== segmentSize);
    if (isShort) {
      orphans.push({ ...object, why: "truncated" });
      continue;
    }
    const same = wal.kind === "segment" ? own.segments : own.partials;
    if (same.has(segment)) orphans.push({ ...object, why: "duplicate" });
    else same.set(segment, object);
  }
  const timelines = [...collected]
    .toSorted(([a], [b]) => a - b)
    .map(([timeline, { segments, partials, labels }]) => {
      for (const [segment, object] of partials) {
        if (!segments.has(segment)) continue;
        partials.delete(segment);
        orphans.push({ ...object, why: "leftover-partial" });
      }
      let bytes = 0;
      for (const { size } of [...segments.values(), ...partials.values()]) bytes += size;
      const ranges = rangesOf([...segments.keys()]);
      return [timeline, { timeline, ranges, partials, segments, labels, bytes }] as const;
    });
  return { timelines: new Map(timelines), orphans };
}

function numberOf(wal: WalName & { name: string }, size: number): number | undefined {
  const perFile = 2 ** 32 / size;
  const within = Number.parseInt(wal.name.slice(16), 16);
  return within < perFile ? segmentNumber(wal.name, size) : undefined;
}

function rangesOf(segments: number[]): SegmentRange[] {
  const ranges: { first: number; last: number }[] = [];
  for (const segment of segments.sort((a, b) => a - b)) {
    const range = ranges.at(-1);
    if (range && range.last + 1 === segment) range.last = segment;
    else ranges.push({ first: segment, last: segment });
  }
  return ranges;
}

/** The last segment that is there of those from `segment` on without a hole; undefined when `segment` is not there. */
export function runEnd(ranges: readonly SegmentRange[], segment: number): number | undefined {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[middle]!.last < segment) low = middle + 1;
    else high = middle;
  }
  const range = ranges[low];
  return range && range.first <= segment ? range.last : undefined;
}

/** The holes in `ranges` from `first` through `last`. */
export function holes(
  ranges: readonly SegmentRange[],
  first: number,
  last: number,
): SegmentRange[] {
  const found: SegmentRange[] = [];
  let next = first;
  for (const range of ranges) {
    if (range.last < next) continue;
    if (range.first > last) break;
    if (range.first > next) found.push({ first: next, last: range.first - 1 });
    next = range.last + 1;
  }
  if (next <= last) found.push({ first: next, last });
  return found;
}
