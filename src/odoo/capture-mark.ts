// What a capture says about the moment it stands for, written as tags of its snapshot: every program that reads restic's
// repositories shows them, and they survive whatever rewrites a snapshot. A capture with a position is a joint point: all
// files that the database refers to at that position, and at every one before, are in the pool, but for those it counts.

import { formatLsn, readLsn, type Lsn } from "../barman/lsn.ts";

/** The tag that all captures have. */
export const CAPTURE_TAG = "holdfast-capture";

/** A position of the database, and the time that its server had then. */
export interface JointPosition {
  /** Of the cluster: a position means nothing in another one. */
  readonly systemId: string;
  readonly timeline: number;
  readonly lsn: Lsn;
  /** Milliseconds since 1970, by the clock of the server. */
  readonly time: number;
}

export interface CaptureMark {
  /** Name of the database, which is that of the filestore's folder. */
  readonly database: string;
  /** The full snapshot since which this one holds everything; undefined for everything there ever was. */
  readonly since: string | undefined;
  /** Undefined when no database was asked: files are safe, but nobody knows to which moment they belong. */
  readonly position: JointPosition | undefined;
  /** Files that rows refer to and that were neither at the source nor in the pool. */
  readonly missing: number;
  /** Files at the source whose content is not that of their name, and which are not in the pool. */
  readonly corrupt: number;
}

/** The tags of a mark. */
export function captureTags(mark: CaptureMark): string[] {
  const { database, since, position, missing, corrupt } = mark;
  const tags = [CAPTURE_TAG, `database=${encodeURIComponent(database)}`];
  if (since !== undefined) tags.push(`since=${since}`);
  if (position !== undefined) {
    const { systemId, timeline, lsn, time } = position;
    tags.push(`system=${systemId}`, `timeline=${timeline}`, `lsn=${formatLsn(lsn)}`);
    tags.push(`at=${new Date(time).toISOString()}`);
  }
  return [...tags, `missing=${missing}`, `corrupt=${corrupt}`];
}

/** Reads a mark; undefined for the tags of a snapshot that is no capture, or whose tags somebody changed. */
export function readCaptureMark(tags: readonly string[]): CaptureMark | undefined {
  if (!tags.includes(CAPTURE_TAG)) return undefined;
  const values = tagValues(tags);
  const database = decoded(values.get("database"));
  const missing = count(values.get("missing"));
  const corrupt = count(values.get("corrupt"));
  if (database === undefined || missing === undefined || corrupt === undefined) return undefined;
  const position = positionOf(values);
  if (position === "unreadable") return undefined;
  return { database, since: values.get("since"), position, missing, corrupt };
}

/** Tags of the form NAME=VALUE; any other has the value "". */
export function tagValues(tags: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    tags.map((tag): [string, string] => {
      const equals = tag.indexOf("=");
      return equals < 0 ? [tag, ""] : [tag.slice(0, equals), tag.slice(equals + 1)];
    }),
  );
}

function positionOf(values: ReadonlyMap<string, string>): JointPosition | undefined | "unreadable" {
  const [systemId, timeline, lsn, at] = ["system", "timeline", "lsn", "at"].map((name) =>
    values.get(name),
  );
  if (lsn === undefined) return undefined;
  const time = Date.parse(at ?? "");
  const number = count(timeline);
  const position = readLsn(lsn);
  const isWhole = /^\d{1,20}$/.test(systemId ?? "") && number !== undefined && number > 0;
  if (!isWhole || !Number.isFinite(time) || position === undefined) return "unreadable";
  return { systemId: systemId!, timeline: number, lsn: position, time };
}

function count(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

function decoded(text: string | undefined): string | undefined {
  try {
    return text === undefined || text === "" ? undefined : decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
