// What `pg backup` says at its end.

import { formatLsn } from "../barman/lsn.ts";
import type { Archive } from "../postgres/archive.ts";
import type { BaseBackupResult } from "../postgres/base-backup.ts";
import { formatBytes, formatDuration, formatRate } from "./format.ts";
import type { Output } from "./output.ts";

/** Reports a backup that is done. */
export function reportBaseBackup(output: Output, result: BaseBackupResult, archive: Archive): void {
  const { id, bytes, storedBytes, files, parts, sending, waiting, tablespaces } = result;
  const seconds = sending / 1000;
  if (output.isJson) {
    output.json({
      message_type: "summary",
      id,
      server: archive.server,
      archive: archive.location,
      system_id: result.systemId,
      server_version: result.version,
      timeline: result.timeline,
      begin_lsn: formatLsn(result.begin),
      end_lsn: formatLsn(result.end),
      begin_time: new Date(result.beginTime).toISOString(),
      end_time: new Date(result.endTime).toISOString(),
      total_bytes: bytes,
      stored_bytes: storedBytes,
      files,
      parts,
      tablespaces: tablespaces.map(({ name, oid, location }) => ({ name, oid, location })),
      seconds_sending: seconds,
      seconds_waiting: waiting / 1000,
    });
    return;
  }
  const count = (number: number, what: string): string =>
    `${number} ${what}${number === 1 ? "" : "s"}`;
  const waited = waiting >= 1000 ? `, and ${formatDuration(waiting / 1000)} for its WAL` : "";
  output.print(
    `${count(files, "file")}, ${formatBytes(bytes)}, stored as ${formatBytes(storedBytes)} in ${count(parts, "part")}`,
  );
  output.print(
    `took ${formatDuration(seconds)}${seconds > 0 ? ` (${formatRate(bytes / seconds)})` : ""}${waited}`,
  );
  for (const { name, location } of tablespaces) output.print(`tablespace ${name} of ${location}`);
  output.print(
    `backup ${id} is done: recoverable from ${formatLsn(result.end)} on, in ${archive.location}`,
  );
}
