// PostgreSQL's `global/pg_control`: which cluster a data directory is, where its last checkpoint lies, and the settings that
// a server on a copy of it must have at least (docs/formats/barman.md#pg_control). Of PostgreSQL 13 to 18 on machines
// whose numbers lie as on ours; anything else is refused, never guessed at.

import { asBuffer } from "../base/bytes.ts";
import { crc32c } from "../base/crc32c.ts";
import { HoldfastError } from "../base/errors.ts";
import { isSegmentSize, type Lsn } from "./lsn.ts";

export interface ControlFile {
  /** Decimal. */
  readonly systemId: string;
  /** Tells catalogues of different majors apart: 202209061. */
  readonly catalogVersion: number;
  /** Where the last checkpoint's record is, and where its redo begins. */
  readonly checkpoint: Lsn;
  readonly redo: Lsn;
  readonly timeline: number;
  /** The position that a recovery must have passed to be consistent; 0 when it need not have passed any. */
  readonly minimumRecovery: Lsn;
  /** The settings of the server that wrote it, which a hot standby must have at least. */
  readonly minimumSettings: MinimumSettings;
  readonly segmentSize: number;
  /** True when pages have checksums. */
  readonly hasChecksums: boolean;
}

export interface MinimumSettings {
  readonly max_connections: number;
  readonly max_worker_processes: number;
  readonly max_wal_senders: number;
  readonly max_prepared_transactions: number;
  readonly max_locks_per_transaction: number;
}

/** Where the checksum lies, by the version of the file: 1300 is PostgreSQL 13 to 16, the others are their own. */
const CHECKSUM_AT: ReadonlyMap<number, number> = new Map([
  [1300, 288],
  [1700, 288],
  [1800, 292],
]);

/** Reads the content of a control file; `source` is what errors call it. Throws BACKUP_DAMAGED. */
export function parseControlFile(bytes: Uint8Array, source: string): ControlFile {
  const content = asBuffer(bytes);
  if (content.length < 512) throw damaged(source, `${content.length} bytes are too few`);
  const version = content.readUInt32LE(8);
  const checksumAt = CHECKSUM_AT.get(version);
  if (checksumAt === undefined) throw damaged(source, `its version ${version} is not known`);
  if (crc32c(content.subarray(0, checksumAt)) !== content.readUInt32LE(checksumAt))
    throw damaged(source, "it does not match its checksum");
  const segmentSize = content.readUInt32LE(228);
  if (!isSegmentSize(segmentSize)) throw damaged(source, "it has no size of WAL segments");
  return {
    systemId: String(content.readBigUInt64LE(0)),
    catalogVersion: content.readUInt32LE(12),
    checkpoint: content.readBigUInt64LE(32),
    redo: content.readBigUInt64LE(40),
    timeline: content.readUInt32LE(48),
    minimumRecovery: content.readBigUInt64LE(136),
    minimumSettings: {
      max_connections: content.readInt32LE(180),
      max_worker_processes: content.readInt32LE(184),
      max_wal_senders: content.readInt32LE(188),
      max_prepared_transactions: content.readInt32LE(192),
      max_locks_per_transaction: content.readInt32LE(196),
    },
    segmentSize,
    hasChecksums: content.readUInt32LE(252) !== 0,
  };
}

function damaged(source: string, what: string): HoldfastError {
  return new HoldfastError("BACKUP_DAMAGED", `${source}: ${what}`, {
    hint: "Recover with another base backup; `holdfast pg verify` tells which are whole.",
  });
}
