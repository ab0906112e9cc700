// The lines of an attachment catalogue: JSON, one for each version of an attachment's row and one for each end of it, in the
// order in which they were seen. They lie in a capture below /holdfast/<database>/attachments (docs/operations/attachments.md),
// so that `restic dump` and `jq` are enough to read them. A version ends where a later line of its attachment says so: with the
// next version, or with a line that has only `to`. Names in here are personal data; the repository encrypts them.

import { formatLsn, readLsn, type Lsn } from "../barman/lsn.ts";
import { objectIn } from "../base/json-object.ts";
import { isSha1 } from "./store-name.ts";

/** A moment: the position of the observation, and the time as far as it is known. */
export interface CataloguePoint {
  /** "16/B374D848" */
  readonly lsn: string;
  /** RFC 3339 in UTC. */
  readonly time: string;
}

/** When a version was seen to be gone. */
export interface CatalogueEnd extends CataloguePoint {
  /** When it was last seen to be there. */
  readonly after: string;
}

/** Where the content is, when it is not a file of the filestore. */
export type Elsewhere = "external" | "cloud" | "url" | "database" | "empty";

/** What a row said while a version lasted. */
export interface AttachmentContent {
  readonly name: string;
  readonly res_model: string | null;
  readonly res_field: string | null;
  readonly res_id: number | null;
  readonly mimetype: string | null;
  /** Bytes, null where the row does not say. */
  readonly size: number | null;
  /** Of the file; of content elsewhere as the row says it. */
  readonly sha1: string | null;
  readonly elsewhere?: Elsewhere | undefined;
}

/** A version of an attachment. */
export interface AttachmentVersion extends AttachmentContent {
  readonly id: number;
  /** Its first moment: when the row was written, where that lies between two observations; else that of the later one. */
  readonly from: CataloguePoint;
  /** Undefined while it is the current one. */
  readonly to: CatalogueEnd | undefined;
}

/** Longest line that is believed: a name has no bound in Odoo, but nobody types this much. */
const LINE_MAX = 1 << 20;

/** The content of a version as it stands at the end of its line, without what is null. Two are equal exactly if these are. */
export function contentText(content: AttachmentContent): string {
  const { name, res_model, res_field, res_id, mimetype, size, sha1, elsewhere } = content;
  const fields = { name, res_model, res_field, res_id, mimetype, size, sha1, elsewhere };
  return JSON.stringify(fields, (_, value: unknown) => value ?? undefined).slice(1);
}

/** The line of a version. `content` is that of `contentText`; `xmin` is the transaction that wrote the row. */
export function versionLine(
  version: { id: number; xmin: number; from: CataloguePoint; to?: CatalogueEnd | undefined },
  content: string,
): string {
  const { id, xmin, from, to } = version;
  const end = to === undefined ? "" : `,"to":${endText(to)}`;
  return `{"id":${id},"xmin":${xmin},"from":${pointText(from)}${end},${content}\n`;
}

/** The line that ends a version without another one. */
export function endLine(id: number, to: CatalogueEnd): string {
  return `{"id":${id},"to":${endText(to)}}\n`;
}

function pointText({ lsn, time }: CataloguePoint): string {
  return `{"lsn":"${lsn}","time":"${time}"}`;
}

function endText({ lsn, time, after }: CatalogueEnd): string {
  return `{"lsn":"${lsn}","time":"${time}","after":"${after}"}`;
}

/** When the database was looked at. Stands before the lines of what was found then. */
export interface Observation extends CataloguePoint {
  /** Of the cluster. */
  readonly system: string;
  readonly timeline: number;
  readonly position: Lsn;
  /** All rows were looked at. */
  readonly full: boolean;
}

/** The line of an observation. */
export function seenLine({ system, timeline, position, time, full }: Observation): string {
  const seen = { system, timeline, lsn: formatLsn(position), time, full };
  return `${JSON.stringify({ seen })}\n`;
}

/** Reads the line of an observation; undefined for any other. */
export function readSeen(line: string): Observation | undefined {
  const seen = line.startsWith('{"seen":') ? objectIn(line)?.["seen"] : undefined;
  if (!isPoint(seen)) return undefined;
  const { system, timeline, full } = seen as unknown as Record<string, unknown>;
  const position = readLsn(seen.lsn);
  const isWhole = typeof system === "string" && isNumber(timeline) && position !== undefined;
  if (!isWhole) return undefined;
  return { system, timeline, lsn: seen.lsn, position, time: seen.time, full: full === true };
}

/** What a line says. */
export type CatalogueLine =
  | { readonly kind: "version"; readonly xmin: number; readonly version: AttachmentVersion }
  | { readonly kind: "end"; readonly id: number; readonly to: CatalogueEnd };

/** Reads a line; undefined for what is none, so that one damaged line does not hide the others. */
export function readCatalogueLine(line: string): CatalogueLine | undefined {
  if (line.length > LINE_MAX) return undefined;
  const fields = objectIn(line);
  if (fields === undefined) return undefined;
  const { id, xmin, from, to } = fields;
  if (!isNumber(id) || (to !== undefined && !isEnd(to))) return undefined;
  if (from === undefined) return to === undefined ? undefined : { kind: "end", id, to };
  if (!isPoint(from) || !isNumber(xmin)) return undefined;
  const content = contentOf(fields);
  if (content === undefined) return undefined;
  return { kind: "version", xmin, version: { id, from, to, ...content } };
}

function contentOf(fields: Record<string, unknown>): AttachmentContent | undefined {
  const { name, res_model, res_field, res_id, mimetype, size, sha1, elsewhere } = fields;
  if (typeof name !== "string") return undefined;
  const text = (value: unknown): string | null => (typeof value === "string" ? value : null);
  const number = (value: unknown): number | null => (isNumber(value) ? value : null);
  const hash = text(sha1);
  const where = PLACES.find((place) => place === elsewhere);
  return {
    name,
    res_model: text(res_model),
    res_field: text(res_field),
    res_id: number(res_id),
    mimetype: text(mimetype),
    size: number(size),
    sha1: hash !== null && isSha1(hash) ? hash : null,
    ...(where !== undefined && { elsewhere: where }),
  };
}

const PLACES: readonly Elsewhere[] = ["external", "cloud", "url", "database", "empty"];

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value);
}

function isPoint(value: unknown): value is CataloguePoint {
  const { lsn, time } = (value ?? {}) as Record<string, unknown>;
  return typeof lsn === "string" && typeof time === "string" && !Number.isNaN(Date.parse(time));
}

function isEnd(value: unknown): value is CatalogueEnd {
  return isPoint(value) && typeof (value as { after?: unknown }).after === "string";
}

/** Folder of the segments in a capture. */
export function catalogueFolder(database: string): string {
  return `/holdfast/${encodeURIComponent(database)}/attachments`;
}

/** Name of a segment: "000001.jsonl". They are read in the order of their numbers. */
export function segmentName(number: number): string {
  return `${String(number).padStart(6, "0")}.jsonl`;
}

/** The number in the name of a segment; undefined for another file. */
export function segmentNumber(name: string): number | undefined {
  const match = /^(\d{6,12})\.jsonl$/.exec(name);
  return match ? Number(match[1]) : undefined;
}
