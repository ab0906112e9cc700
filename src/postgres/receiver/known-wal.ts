// What WAL is in an archive already, from one listing: what a receiver need not fetch again, and what it has to tidy up.

import { readObjectName } from "../../barman/layout.ts";
import type { SegmentSets } from "../../barman/stream-start.ts";
import { listWal, type ListedObject } from "../../barman/wal-listing.ts";
import { segmentNumber, type WalName } from "../../barman/wal-name.ts";
import type { SegmentPlace } from "./spool-file.ts";

export interface KnownPartial extends SegmentPlace {
  /** Relative to the server's folder. */
  readonly path: string;
}

/** Grows with what is stored. */
export class KnownWal {
  /** Whole segments by timeline. */
  readonly segments: Map<number, Set<number>> = new Map<number, Set<number>>();
  /** Partial segments without the whole one. */
  readonly partials: readonly KnownPartial[];
  /** Partial segments whose whole one is there: a crash left them, and Barman may serve them in its place. */
  readonly leftovers: readonly KnownPartial[];
  /** Timelines whose history is there. */
  readonly histories: Set<number> = new Set<number>();

  constructor(objects: readonly ListedObject[], segmentSize: number) {
    const found: { object: ListedObject; wal: WalName }[] = [];
    for (const object of objects) {
      const name = readObjectName(object.path);
      if (name.kind !== "wal") continue;
      if (name.wal.kind === "history") this.histories.add(name.wal.timeline);
      else found.push({ object, wal: name.wal });
    }
    const { timelines, orphans } = listWal(found, segmentSize);
    const partials: KnownPartial[] = [];
    for (const { timeline, segments, partials: begun } of timelines.values()) {
      this.segments.set(timeline, new Set(segments.keys()));
      for (const [segment, { path }] of begun) partials.push({ timeline, segment, path });
    }
    this.partials = partials;
    this.leftovers = orphans.flatMap(({ path, why }) => {
      const name = readObjectName(path);
      if (why !== "leftover-partial" || name.kind !== "wal" || name.wal.kind !== "partial")
        return [];
      const { timeline } = name.wal;
      return [{ path, timeline, segment: segmentNumber(name.wal.name, segmentSize) }];
    });
  }

  has({ timeline, segment }: SegmentPlace): boolean {
    return this.segments.get(timeline)?.has(segment) ?? false;
  }

  /** The segment is in the archive now. */
  add({ timeline, segment }: SegmentPlace): void {
    const known = this.segments.get(timeline);
    if (known) known.add(segment);
    else this.segments.set(timeline, new Set([segment]));
  }

  /** These, and `waiting` ones that will be in the archive. */
  with(waiting: Iterable<SegmentPlace>): SegmentSets {
    const all = new Map<number, ReadonlySet<number>>(this.segments);
    for (const [timeline, places] of Map.groupBy(waiting, ({ timeline }) => timeline)) {
      const known = this.segments.get(timeline) ?? [];
      all.set(timeline, new Set([...known, ...places.map(({ segment }) => segment)]));
    }
    return all;
  }
}
