// What must hold between the fields of a `backup.info`, for every one that we read or write
// (docs/formats/barman.md#what-must-agree). A backup that breaks one of these rules cannot be restored as it says.

import { HoldfastError } from "../base/errors.ts";
import type { BackupInfo } from "./backup-info.ts";
import { segmentAt, segmentBefore, type Lsn } from "./lsn.ts";
import { segmentName } from "./wal-name.ts";

/** The error about a `backup.info`; `place` is the file and the line. */
export function infoError(place: string, what: string): HoldfastError {
  return new HoldfastError("BARMAN_INFO_DAMAGED", `${place}: ${what}`, {
    hint: "Restore the file from a copy of the archive. Without it, this backup does not count; the others do.",
  });
}

type Fields = Omit<BackupInfo, "extra" | "comments" | "readOnly">;

/** [property, field]: what a backup that is done has to say. */
const NEEDED = [
  ["beginTime", "begin_time"],
  ["beginWal", "begin_wal"],
  ["beginLsn", "begin_xlog"],
  ["endTime", "end_time"],
  ["endWal", "end_wal"],
  ["endLsn", "end_xlog"],
  ["timeline", "timeline"],
] as const;

/** Throws BARMAN_INFO_DAMAGED with what `placeOf` tells of the field that is missing or wrong. */
export function requireAgreement(info: Fields, placeOf: (field: string) => string): void {
  if (info.status === "DONE") {
    const missing = NEEDED.find(([property]) => info[property] === null);
    if (missing) throw infoError(placeOf("status"), `the backup is DONE, but has no ${missing[1]}`);
  }
  const { beginLsn, endLsn, timeline } = info;
  for (const edge of ["begin", "end"] as const) requireEdge(info, edge, placeOf);
  if (beginLsn !== null && endLsn !== null && endLsn < beginLsn)
    throw infoError(placeOf("end_xlog"), "the backup ends before its beginning");
  const oids = new Set(info.tablespaces?.map(({ oid }) => oid));
  if (oids.size !== (info.tablespaces?.length ?? 0))
    throw infoError(placeOf("tablespaces"), "two tablespaces have the same number");
  if (timeline === null && (info.beginWal ?? info.endWal) !== null)
    throw infoError(
      placeOf(info.beginWal === null ? "end_wal" : "begin_wal"),
      "there is no timeline",
    );
}

/** Position, segment and offset of one end say the same. */
function requireEdge(
  info: Fields,
  edge: "begin" | "end",
  placeOf: (field: string) => string,
): void {
  const size = info.segmentSize;
  const [lsn, wal, offset] =
    edge === "begin"
      ? [info.beginLsn, info.beginWal, info.beginOffset]
      : [info.endLsn, info.endWal, info.endOffset];
  if (wal !== null && info.timeline !== null) {
    if (Number.parseInt(wal.slice(0, 8), 16) !== info.timeline)
      throw infoError(placeOf(`${edge}_wal`), `${wal} is not of timeline ${info.timeline}`);
    if (lsn !== null && !segmentsOf(lsn, info.timeline, size).includes(wal))
      throw infoError(placeOf(`${edge}_wal`), `${wal} does not hold the position of ${edge}_xlog`);
  }
  if (wal !== null && Number.parseInt(wal.slice(16), 16) >= 2 ** 32 / size)
    throw infoError(placeOf(`${edge}_wal`), `${wal} cannot be with segments of ${size} bytes`);
  if (offset !== null && offset >= size)
    throw infoError(placeOf(`${edge}_offset`), `a segment has only ${size} bytes`);
  if (offset !== null && lsn !== null && BigInt(offset) !== lsn % BigInt(size))
    throw infoError(
      placeOf(`${edge}_offset`),
      `${offset} is not where ${edge}_xlog lies in its segment`,
    );
}

/** A position between two segments is said to be in either. */
function segmentsOf(lsn: Lsn, timeline: number, size: number): string[] {
  return [segmentAt(lsn, size), segmentBefore(lsn, size)].map((segment) =>
    segmentName(timeline, segment, size),
  );
}
