// How attachments of a catalogue are shown: one a line, or one version a line; and as JSON.

import { isDeleted, type AttachmentHistory } from "../odoo/catalogue-search.ts";
import type { AttachmentVersion } from "../odoo/catalogue-lines.ts";
import { formatAge, formatBytes, formatLocalTime, formatShortAge } from "./format.ts";
import { formatTable } from "./table.ts";
import { displayWidth, quoteUnprintable, truncate } from "./terminal-text.ts";

/** Names longer than this are cut in tables. */
const NAME_CELLS = 40;

/** An attachment, and which of its versions is shown. */
export interface ShownAttachment {
  readonly history: AttachmentHistory;
  readonly version: AttachmentVersion;
}

/** A table of attachments. `now` in milliseconds since 1970. */
export function attachmentTable(shown: readonly ShownAttachment[], now: number): string[] {
  const rows = shown.map(({ history, version }) => [
    String(history.id).padStart(8),
    cut(version.name),
    ownerText(version),
    version.size === null ? "" : formatBytes(version.size).padStart(11),
    contentText(version),
    sinceText(version, now),
    isDeleted(history) ? `deleted ${ageOf(history.versions.at(-1)!.to!.time, now)}` : "",
  ]);
  return formatTable({
    headers: ["      Id", "Name", "Record", "       Size", "SHA-1", "Since", ""],
    rows,
  });
}

/** The past of an attachment, a version a line. */
export function historyLines({ id, versions }: AttachmentHistory): string[] {
  const last = versions.at(-1)!;
  const rows = versions.map((version) => [
    formatLocalTime(Date.parse(version.from.time)),
    version.to === undefined ? "now" : formatLocalTime(Date.parse(version.to.time)),
    cut(version.name),
    ownerText(version),
    version.size === null ? "" : formatBytes(version.size).padStart(11),
    contentText(version, 40),
  ]);
  const gone =
    last.to === undefined
      ? ""
      : `, deleted between ${formatLocalTime(Date.parse(last.to.after))} and ${formatLocalTime(Date.parse(last.to.time))}`;
  return [
    quoteUnprintable(`Attachment ${id}: ${last.name}${gone}`),
    ...formatTable({ headers: ["From", "To", "Name", "Record", "       Size", "SHA-1"], rows }),
  ];
}

/** "res.partner 42, image_1920" */
export function ownerText({
  res_model: model,
  res_id: id,
  res_field: field,
}: AttachmentVersion): string {
  if (model === null) return "";
  const number = id === null || id === 0 ? "" : ` ${id}`;
  return quoteUnprintable(`${model}${number}${field === null ? "" : `, ${field}`}`);
}

function contentText({ sha1, elsewhere }: AttachmentVersion, digits = 12): string {
  if (elsewhere !== undefined) return `(${elsewhere})`;
  return sha1 === null ? "" : sha1.slice(0, digits);
}

function sinceText({ from }: AttachmentVersion, now: number): string {
  const time = Date.parse(from.time);
  return `${formatLocalTime(time)} (${formatShortAge((now - time) / 1000)})`;
}

function ageOf(time: string, now: number): string {
  return formatAge((now - Date.parse(time)) / 1000);
}

function cut(name: string): string {
  const quoted = quoteUnprintable(name);
  return displayWidth(quoted) <= NAME_CELLS ? quoted : `${truncate(quoted, NAME_CELLS - 1)}…`;
}

/** An attachment for programs. */
export function attachmentMessage({ id, versions }: AttachmentHistory): object {
  const current = versions.at(-1);
  return {
    message_type: "attachment",
    id,
    deleted: current?.to !== undefined,
    versions: versions.map(({ id: _, ...version }) => version),
  };
}
