// The command BASE_BACKUP, in the words of each version: bare words up to PostgreSQL 14, a list in brackets from 15 on.

import { quoteLiteral } from "../connection.ts";

export interface BackupCommand {
  /** Major version of the server. */
  readonly major: number;
  readonly label: string;
  /** "fast" asks for a checkpoint at once, "spread" waits for one that goes easy on the disks. */
  readonly checkpoint: "fast" | "spread";
  /** KiB a second, from 32 to 1048576; undefined for as fast as it goes. */
  readonly maxRate?: number | undefined;
}

/**
 * The text of the command. WAL is never asked for: the archive has it. Nor is the server asked to wait for its archiver,
 * since what counts is whether the archive has the WAL. Tablespaces come without a `tablespace_map`: that would
 * override where a restore puts them.
 */
export function baseBackupCommand(options: BackupCommand): string {
  const { major, label, checkpoint, maxRate } = options;
  if (major < 15) {
    const words = ["BASE_BACKUP", "LABEL", quoteLiteral(label), "PROGRESS"];
    if (checkpoint === "fast") words.push("FAST");
    words.push("NOWAIT");
    if (maxRate !== undefined) words.push("MAX_RATE", String(maxRate));
    return [...words, "MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'"].join(" ");
  }
  const list = [
    `LABEL ${quoteLiteral(label)}`,
    "PROGRESS true",
    `CHECKPOINT '${checkpoint}'`,
    "WAIT false",
    ...(maxRate === undefined ? [] : [`MAX_RATE ${maxRate}`]),
    "MANIFEST 'yes'",
    "MANIFEST_CHECKSUMS 'CRC32C'",
  ];
  return `BASE_BACKUP (${list.join(", ")})`;
}
