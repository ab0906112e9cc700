// Timeline history files: one line for every timeline that a timeline grew out of, oldest first, with the position where
// the next one left it (docs/formats/barman.md#timeline-histories). Reads one file; how several fit together is
// src/barman/timelines.ts.

import { HoldfastError } from "../base/errors.ts";
import { formatLsn, readLsn, type Lsn } from "./lsn.ts";

/** The end of an ancestor, where the next timeline begins. */
export interface Fork {
  /** The timeline that ends here. */
  readonly timeline: number;
  readonly at: Lsn;
  /** Why PostgreSQL left it, in its own words. */
  readonly reason: string;
}

export interface History {
  /** The timeline that the file is named after. */
  readonly timeline: number;
  /** Its ancestors, oldest first; never empty. */
  readonly forks: readonly Fork[];
  /** What an error calls it. */
  readonly source: string;
}

/** PostgreSQL's are a few hundred bytes, one line for each time that a standby took over. */
const SIZE_MAX = 1 << 20;

/** Reads the content of the history file of `timeline`; `source` is what an error calls it. Throws BARMAN_HISTORY_DAMAGED. */
export function parseHistory(options: {
  readonly timeline: number;
  readonly content: Uint8Array;
  readonly source: string;
}): History {
  const { timeline, content, source } = options;
  if (content.length > SIZE_MAX)
    throw damaged(source, `${content.length} bytes are too many for a timeline history`);
  const forks: Fork[] = [];
  const lines = Buffer.from(content.buffer, content.byteOffset, content.length)
    .toString("utf8")
    .split("\n");
  for (const [index, line] of lines.entries()) {
    const text = line.trim();
    if (text === "" || text.startsWith("#")) continue;
    const place = `${source}:${index + 1}`;
    const match = /^(\d{1,10})[\t ]+(\S+)(?:[\t ]+(.*))?$/.exec(text);
    const at = match ? readLsn(match[2]!) : undefined;
    if (!match || at === undefined)
      throw damaged(place, "the line is not a timeline, a position and a reason");
    const parent = Number(match[1]);
    const before = forks.at(-1)?.timeline ?? 0;
    if (parent <= before || parent >= timeline)
      throw damaged(
        place,
        `timeline ${parent} cannot stand between ${before || "the beginning"} and ${timeline}`,
      );
    forks.push({ timeline: parent, at, reason: match[3] ?? "" });
  }
  if (forks.length === 0) throw damaged(source, "the file names no ancestor");
  return { timeline, forks, source };
}

/** The content of a history file, as PostgreSQL writes it. */
export function formatHistory(forks: readonly Fork[]): Buffer {
  const lines = forks.map(
    ({ timeline, at, reason }) => `${timeline}\t${formatLsn(at)}\t${reason.replace(/\s+/g, " ")}\n`,
  );
  return Buffer.from(lines.join("\n"));
}

/** The error about a history. */
export function damaged(place: string, what: string): HoldfastError {
  return new HoldfastError("BARMAN_HISTORY_DAMAGED", `${place}: ${what}`, {
    hint: "Compare it with the file of that name in the server's pg_wal, and put back the one that is right.",
  });
}
