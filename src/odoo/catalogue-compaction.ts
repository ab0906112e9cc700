// Makes a catalogue smaller: what ended before everything that is still kept goes, and the ends of what stays are written into
// its lines. Names of attachments are personal data: they should not outlive the files.

import {
  readCatalogueLine,
  readSeen,
  seenLine,
  segmentName,
  segmentNumber,
} from "./catalogue-lines.ts";
import { contentText, versionLine, type CatalogueEnd } from "./catalogue-lines.ts";

/** Segments that are written have about this size. */
const SEGMENT_BYTES = 4 << 20;

export interface CompactOptions {
  /** Names of all segments, in order. */
  readonly names: readonly string[];
  /** Reads a segment; it is asked for each of them twice. */
  readonly read: (name: string) => Promise<Uint8Array>;
  /** What ended before that goes, in milliseconds since 1970: when the oldest snapshot was made. */
  readonly before: number;
}

/**
 * The new segments, in order, to be stored in place of all that are named in the options. The first one begins with the
 * observations that a catalogue goes on from. Takes memory for the numbers of the rows, not for their content.
 */
export async function* compactSegments(
  options: CompactOptions,
): AsyncGenerator<{ readonly name: string; readonly bytes: Buffer }, void> {
  const { names, read, before } = options;
  const { ends, seen } = await readEnds(options);
  const versions = new Map<number, number>();
  let number = Math.max(0, ...names.map((name) => segmentNumber(name) ?? 0));
  let lines: string[] = seen;
  let size = 0;
  const flush = (): { name: string; bytes: Buffer } => {
    const bytes = Buffer.from(lines.join(""), "utf8");
    lines = [];
    size = 0;
    return { name: segmentName(++number), bytes };
  };
  for (const name of names) {
    for (const line of linesOf(await read(name))) {
      const found = readCatalogueLine(line);
      if (found?.kind !== "version") continue;
      const { version, xmin } = found;
      const { id, from } = version;
      const count = versions.get(id) ?? 0;
      const known = ends.get(id);
      if (known !== undefined) versions.set(id, count + 1);
      const to = version.to ?? known?.[count];
      if (to !== undefined && Date.parse(to.time) < before) continue;
      const written = versionLine({ id, xmin, from, to }, contentText(version));
      lines.push(written);
      size += written.length;
      if (size >= SEGMENT_BYTES) yield flush();
    }
  }
  if (lines.length > 0) yield flush();
}

/** The ends of all versions of the rows that have any, in the order of the versions; and the last observations. */
async function readEnds({ names, read }: CompactOptions): Promise<{
  readonly ends: ReadonlyMap<number, readonly (CatalogueEnd | undefined)[]>;
  readonly seen: string[];
}> {
  /** Rows with one version that lasts; most are. */
  const open = new Set<number>();
  const ends = new Map<number, (CatalogueEnd | undefined)[]>();
  let last: string | undefined;
  let lastFull: string | undefined;
  const end = (id: number, to: CatalogueEnd): void => {
    if (open.delete(id)) ends.set(id, [undefined]);
    const list = ends.get(id);
    if (list !== undefined && list.length > 0) list[list.length - 1] ??= to;
  };
  for (const name of names) {
    for (const line of linesOf(await read(name))) {
      const seen = readSeen(line);
      if (seen !== undefined) {
        last = seenLine(seen);
        if (seen.full) lastFull = last;
        continue;
      }
      const found = readCatalogueLine(line);
      if (found === undefined) continue;
      if (found.kind === "end") {
        end(found.id, found.to);
        continue;
      }
      const { id, from, to } = found.version;
      end(id, { ...from, after: from.time });
      const list = ends.get(id);
      if (list !== undefined) list.push(to);
      else if (to !== undefined) ends.set(id, [to]);
      else open.add(id);
    }
  }
  const seen = [lastFull, last].filter((line) => line !== undefined);
  return { ends, seen: lastFull === last ? seen.slice(0, 1) : seen };
}

function* linesOf(bytes: Uint8Array): Generator<string, void> {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < text.length;) {
    const newline = text.indexOf(0x0a, at);
    const end = newline < 0 ? text.length : newline;
    yield text.toString("utf8", at, end);
    at = end + 1;
  }
}
