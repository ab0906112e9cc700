// Finds attachments in a catalogue, with all their versions. The catalogue is read twice: once for the lines that match, which
// are looked for as bytes where that is possible, and once for everything that is said of the attachments found. Only those
// are held in memory.

import { readCatalogueLine } from "./catalogue-lines.ts";
import type { AttachmentVersion, CatalogueEnd } from "./catalogue-lines.ts";

/** What is searched: the segments of a catalogue in their order. */
export interface SearchedCatalogue {
  segments(signal?: AbortSignal): Iterable<Buffer> | AsyncIterable<Buffer>;
}

/** What is looked for; everything that is given has to match one version. */
export interface AttachmentQuery {
  readonly ids?: ReadonlySet<number> | undefined;
  readonly sha1?: string | undefined;
  readonly model?: string | undefined;
  /** Number of the record that it belongs to. */
  readonly recordId?: number | undefined;
  readonly field?: string | undefined;
  readonly name?: ((name: string) => boolean) | undefined;
  /** Versions that were current at that moment, in milliseconds since 1970. */
  readonly at?: number | undefined;
}

/** An attachment with its past. */
export interface AttachmentHistory {
  readonly id: number;
  /** The oldest first; each ends where the next one begins, unless it ended before. */
  readonly versions: readonly AttachmentVersion[];
}

export interface SearchResult {
  /** The newest numbers first. */
  readonly found: readonly AttachmentHistory[];
  /** There are more than were asked for. */
  readonly isCut: boolean;
  /** Attachments of which a version matched, and that were not wanted for what became of them. */
  readonly others: number;
}

export interface SearchOptions {
  /** Attachments at most. */
  readonly max: number;
  /**
   * "present": those that are there now, and match as they are now. "deleted": those that are gone. Any without, also with
   * `query.at`.
   */
  readonly state?: "present" | "deleted" | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Attachments whose pasts are in memory at once. */
const AT_ONCE = 5000;

/** Finds attachments of which a version matches, be it current or not; `query.at` wants it to have been current then. */
export async function searchCatalogue(
  catalogue: SearchedCatalogue,
  query: AttachmentQuery,
  { max, state, signal }: SearchOptions,
): Promise<SearchResult> {
  const matching = await matchingIds(catalogue, query, signal);
  const ids = state === undefined ? matching : await inState(catalogue, matching, state, signal);
  const isWanted = ({ versions }: AttachmentHistory): boolean => {
    if (state === "present") return matches(versions.at(-1)!, query);
    const { at } = query;
    return versions.some(
      (version) => matches(version, query) && (at === undefined || isCurrentAt(version, at)),
    );
  };
  const found: AttachmentHistory[] = [];
  let looked = 0;
  for (let at = 0; at < ids.length && found.length <= max; at += AT_ONCE) {
    const some = new Set(ids.slice(at, at + AT_ONCE));
    looked += some.size;
    found.push(...(await readHistories(catalogue, some, signal)).filter(isWanted));
  }
  const others = matching.length - ids.length + looked - found.length;
  return { found: found.slice(0, max), isCut: found.length > max, others };
}

/** Those of the attachments that are there now, or that are gone, by the last line of each. */
async function inState(
  catalogue: SearchedCatalogue,
  ids: readonly number[],
  state: "present" | "deleted",
  signal: AbortSignal | undefined,
): Promise<number[]> {
  const asked = new Set(ids);
  const gone = new Set<number>();
  for await (const segment of catalogue.segments(signal)) {
    for (const line of linesWith(segment, '{"id":')) {
      const [, number, end] = STATE.exec(line) ?? [];
      const id = Number(number);
      if (!asked.has(id)) continue;
      if (end === undefined) gone.delete(id);
      else gone.add(id);
    }
  }
  return ids.filter((id) => gone.has(id) === (state === "deleted"));
}

/** Number of the row, and the end if the line has one; no text of people comes before that. */
const STATE = /^\{"id":(\d+)(?:,"xmin":\d+,"from":\{[^{}]*\})?(,"to":\{)?/;

/** Numbers of the attachments of which a version matches, the greatest first. */
async function matchingIds(
  catalogue: SearchedCatalogue,
  query: AttachmentQuery,
  signal: AbortSignal | undefined,
): Promise<number[]> {
  if (query.ids !== undefined && isOnlyIds(query)) return [...query.ids].toSorted((a, b) => b - a);
  const ids = new Set<number>();
  const needle = needleOf(query);
  for await (const segment of catalogue.segments(signal)) {
    for (const line of linesWith(segment, needle)) {
      const read = readCatalogueLine(line);
      if (read?.kind === "version" && matches(read.version, query)) ids.add(read.version.id);
    }
  }
  return [...ids].toSorted((a, b) => b - a);
}

/** Everything that the catalogue says of these attachments, the greatest number first. */
async function readHistories(
  catalogue: SearchedCatalogue,
  ids: ReadonlySet<number>,
  signal: AbortSignal | undefined,
): Promise<AttachmentHistory[]> {
  const versions = new Map<number, AttachmentVersion[]>();
  const only = ids.size === 1 ? `{"id":${[...ids][0]!},` : '{"id":';
  for await (const segment of catalogue.segments(signal)) {
    for (const line of linesWith(segment, only)) {
      const id = /^\{"id":(\d+),/.exec(line)?.[1];
      if (id === undefined || !ids.has(Number(id))) continue;
      const read = readCatalogueLine(line);
      if (read === undefined) continue;
      const known = versions.get(Number(id)) ?? [];
      versions.set(Number(id), known);
      if (read.kind === "end") endLast(known, read.to);
      else {
        const { lsn, time } = read.version.from;
        endLast(known, { lsn, time, after: time });
        known.push(read.version);
      }
    }
  }
  return [...versions]
    .map(([id, list]) => ({ id, versions: list }))
    .toSorted((a, b) => b.id - a.id);
}

function endLast(versions: AttachmentVersion[], to: CatalogueEnd): void {
  const last = versions.at(-1);
  if (last !== undefined && last.to === undefined) versions[versions.length - 1] = { ...last, to };
}

/** True when the version was the current one at that moment, in milliseconds since 1970. */
export function isCurrentAt({ from, to }: AttachmentVersion, time: number): boolean {
  return Date.parse(from.time) <= time && (to === undefined || time < Date.parse(to.time));
}

/** The version at a moment, the last one without; undefined when there was none then. */
export function versionAt(
  { versions }: AttachmentHistory,
  time: number | undefined,
): AttachmentVersion | undefined {
  return time === undefined
    ? versions.at(-1)
    : versions.findLast((version) => isCurrentAt(version, time));
}

/** True when the attachment is not there any more. */
export function isDeleted({ versions }: AttachmentHistory): boolean {
  return versions.at(-1)?.to !== undefined;
}

/** True for what a version says; when it said so is another question. */
export function matches(version: AttachmentVersion, query: AttachmentQuery): boolean {
  const { ids, sha1, model, recordId, field, name } = query;
  if (ids !== undefined && !ids.has(version.id)) return false;
  if (sha1 !== undefined && version.sha1 !== sha1) return false;
  if (model !== undefined && version.res_model !== model) return false;
  if (recordId !== undefined && version.res_id !== recordId) return false;
  if (field !== undefined && version.res_field !== field) return false;
  return name === undefined || name(version.name);
}

function isOnlyIds({ sha1, model, recordId, field, name, at }: AttachmentQuery): boolean {
  return [sha1, model, recordId, field, name, at].every((each) => each === undefined);
}

/** Bytes that every matching line has: as rare as can be. */
function needleOf({ sha1, model, recordId, field }: AttachmentQuery): string {
  if (sha1 !== undefined) return `"sha1":"${sha1}"`;
  if (recordId !== undefined) return `"res_id":${recordId},`;
  if (field !== undefined) return `"res_field":${JSON.stringify(field)}`;
  if (model !== undefined) return `"res_model":${JSON.stringify(model)}`;
  return '{"id":';
}

/** Lines that have `needle` in them. */
function* linesWith(segment: Buffer, needle: string): Generator<string, void> {
  const wanted = Buffer.from(needle, "utf8");
  for (let at = segment.indexOf(wanted); at >= 0;) {
    const start = segment.lastIndexOf(0x0a, at) + 1;
    const newline = segment.indexOf(0x0a, at);
    const end = newline < 0 ? segment.length : newline;
    yield segment.toString("utf8", start, end);
    at = end < segment.length ? segment.indexOf(wanted, end) : -1;
  }
}
