// Up to where the log is durable in the archive: what a receiver may report as flushed (docs/decisions/receiver.md). Segments
// may be stored in any order; the position moves in the order of the log, and over no segment that is not durable. Pure.

import { segmentStart, type Lsn } from "../../barman/lsn.ts";
import type { SegmentPlace } from "./spool-file.ts";

interface Entry {
  readonly timeline: number;
  /** Bytes from the beginning that a partial segment in the archive covers. */
  covered: number;
}

export class DurableLog {
  readonly #size: number;
  /** Segments on the way of the stream that are not durable, by number. */
  readonly #open = new Map<number, Entry>();
  /** The segment behind all that arrived. */
  #next: number | undefined;

  constructor(segmentSize: number) {
    this.#size = segmentSize;
  }

  /**
   * A stream begins, or goes on, with the first byte of a segment: what is known of it and of later ones was another way.
   * Of those before, the ones that are not durable still count, but for those from `expected` on, which are lost.
   */
  begin({ timeline, segment }: SegmentPlace, expected: number = segment): void {
    const same = this.#open.get(segment);
    for (const number of this.#open.keys()) if (number >= expected) this.#open.delete(number);
    const covered = same?.timeline === timeline ? same.covered : 0;
    this.#open.set(segment, { timeline, covered });
    this.#next = segment + 1;
  }

  /** A segment arrived whole, and is not durable yet: the next one begins, on the same timeline. */
  advance({ timeline, segment }: SegmentPlace): void {
    this.#open.set(segment + 1, { timeline, covered: 0 });
    this.#next = segment + 2;
  }

  /** A segment that an earlier run left, which is not durable yet. */
  await({ timeline, segment }: SegmentPlace): void {
    if (!this.#open.has(segment)) this.#open.set(segment, { timeline, covered: 0 });
  }

  /** The whole segment is durable. */
  stored(place: SegmentPlace): void {
    if (this.#of(place)) this.#open.delete(place.segment);
  }

  /** The first `bytes` of a segment are durable. */
  covered(place: SegmentPlace, bytes: number): void {
    const entry = this.#of(place);
    // A whole segment counts only when it is stored as such: at its border the server would drop it.
    if (entry) entry.covered = Math.max(entry.covered, Math.min(bytes, this.#size - 1));
  }

  /** Everything before this position is durable; undefined before the first `begin`. */
  get position(): Lsn | undefined {
    if (this.#next === undefined) return undefined;
    let first: number | undefined;
    for (const number of this.#open.keys())
      if (first === undefined || number < first) first = number;
    if (first === undefined) return segmentStart(this.#next, this.#size);
    return segmentStart(first, this.#size) + BigInt(this.#open.get(first)!.covered);
  }

  #of({ timeline, segment }: SegmentPlace): Entry | undefined {
    const entry = this.#open.get(segment);
    return entry?.timeline === timeline ? entry : undefined;
  }
}
