// The files that a catalogue consists of. Lines are only ever added: to the last segment while that is small, else to a new
// one, so that a capture a minute does not store the same lines again each time. When there are many small segments they become
// one. Small segments are held in memory (at most about 2 MiB), larger ones are not.

import { segmentName, segmentNumber } from "./catalogue-lines.ts";

/** The last segment grows up to this. */
const TAIL_BYTES = 64 << 10;
/** Segments smaller than this are put together, when there are this many. */
const SMALL_BYTES = 1 << 20;
const SMALL_MAX = 16;

interface Segment {
  readonly number: number;
  size: number;
  /** Undefined once a large one is stored. */
  content: Buffer[] | undefined;
  isStored: boolean;
}

/** What a capture has to change to have all segments. */
export interface SegmentChanges {
  /** Files to write, in place of those of the same name if there are any. */
  readonly add: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  /** Files to leave out from now on. */
  readonly drop: readonly string[];
}

export class CatalogueSegments {
  #segments: Segment[] = [];
  #dropped = new Set<string>();

  /** Names of all segments, in order. */
  get names(): string[] {
    return this.#segments.map(({ number }) => segmentName(number));
  }

  /** Takes a segment that is stored already. Throws nothing: other files are left alone. */
  load(name: string, bytes: Uint8Array): void {
    const number = segmentNumber(name);
    if (number === undefined) return;
    const content = bytes.length < SMALL_BYTES ? [Buffer.from(bytes)] : undefined;
    this.#segments.push({ number, size: bytes.length, content, isStored: true });
    this.#segments.sort((a, b) => a.number - b.number);
  }

  /** Adds lines. */
  append(lines: string): void {
    const bytes = Buffer.from(lines, "utf8");
    if (bytes.length === 0) return;
    let tail = this.#segments.at(-1);
    if (tail?.content === undefined || tail.size >= TAIL_BYTES) {
      tail = { number: (tail?.number ?? 0) + 1, size: 0, content: [], isStored: false };
      this.#segments.push(tail);
    }
    tail.content!.push(bytes);
    tail.size += bytes.length;
    tail.isStored = false;
    this.#merge();
  }

  /** What is not stored yet. Empty when everything is. */
  changes(): SegmentChanges {
    const add = this.#segments
      .filter(({ isStored }) => !isStored)
      .map(({ number, content }) => ({
        name: segmentName(number),
        bytes: Buffer.concat(content ?? []),
      }));
    // A number that went may be the next one's already.
    const names = new Set(this.names);
    return { add, drop: [...this.#dropped].filter((name) => !names.has(name)) };
  }

  /** Everything that `changes` gave is durable. */
  stored(): void {
    for (const segment of this.#segments) {
      segment.isStored = true;
      if (segment.size >= SMALL_BYTES) segment.content = undefined;
    }
    this.#dropped.clear();
  }

  /** Puts the small ones at the end together, when they are too many. */
  #merge(): void {
    let first = this.#segments.length;
    while (first > 0 && isSmall(this.#segments[first - 1]!)) first--;
    const small = this.#segments.slice(first);
    if (small.length <= SMALL_MAX) return;
    const [{ number }] = small as [Segment];
    const whole: Segment = {
      number,
      size: small.reduce((sum, { size }) => sum + size, 0),
      content: [Buffer.concat(small.flatMap(({ content }) => content ?? []))],
      isStored: false,
    };
    for (const { number: gone } of small.slice(1)) this.#dropped.add(segmentName(gone));
    this.#segments = [...this.#segments.slice(0, first), whole];
  }
}

function isSmall({ size, content }: Segment): boolean {
  return size < SMALL_BYTES && content !== undefined;
}
