// Random backups for the property tests of src/barman/: every field of a backup.info, in agreement with the others.

import fc from "fast-check";
import type { BackupInfo } from "../../src/barman/backup-info.ts";
import { segmentAt } from "../../src/barman/lsn.ts";
import { segmentName } from "../../src/barman/wal-name.ts";
import type { ZonedTime } from "../../src/barman/zoned-time.ts";

const orNull = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(one, { nil: null });

/** Text of a field that is not quoted: on one line, without blanks at its ends. */
const anyText = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 30 })
  .map((text) => `x${text.replace(/[\n\r\0]/g, "")}x`);

/** Text of a field that is quoted: anything. */
const anyQuoted = fc.oneof(
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }),
  fc.string({
    unit: fc.constantFrom(
      "'",
      '"',
      "\\",
      "\n",
      "\r",
      "\t",
      "\0",
      "\x7f",
      "\u00a0",
      "\u200b",
      "é",
      "😀",
      "a",
    ),
    minLength: 1,
    maxLength: 12,
  }),
  fc.constant(
    'START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nLABEL: Barman\'s "backup"\n',
  ),
);

const anyCount = fc.oneof(fc.nat(), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));

const anyTime: fc.Arbitrary<ZonedTime> = fc
  .tuple(
    fc.integer({ min: 86_400, max: 7_000_000_000 }),
    fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999 })),
    fc.oneof(
      fc.constant(0),
      fc.integer({ min: -14 * 4, max: 14 * 4 }).map((quarters) => quarters * 900),
    ),
  )
  .map(([seconds, fraction, offset]) => ({ micros: seconds * 1_000_000 + fraction, offset }));

const anyTablespaces = fc.uniqueArray(
  fc.record(
    { name: anyQuoted, oid: fc.integer({ min: 1, max: 0xffffffff }), location: anyQuoted },
    { noNullPrototype: true },
  ),
  { minLength: 1, maxLength: 3, selector: ({ oid }) => oid },
);

const anyPlace = fc.record({
  segmentSize: fc.constantFrom(20, 24, 26, 30).map((bits) => 2 ** bits),
  begin: fc.bigInt({ min: 1n, max: 1n << 50n }),
  length: fc.bigInt({ min: 0n, max: 1n << 33n }),
  timeline: fc.integer({ min: 1, max: 0xffffffff }),
});

const anyRest = fc.record(
  {
    backupLabel: orNull(anyQuoted),
    backupName: orNull(anyText),
    beginTime: anyTime,
    compression: orNull(fc.constantFrom("gzip", "snappy")),
    configFile: orNull(anyText),
    copyStats: orNull(
      fc.constantFrom("{'total_time': 1.5, 'number_of_workers': 2}", "{'a': {'b': 0}}"),
    ),
    deduplicatedSize: orNull(anyCount),
    endTime: anyTime,
    error: orNull(anyText),
    hbaFile: orNull(anyText),
    identFile: orNull(anyText),
    includedFiles: orNull(fc.array(anyQuoted, { minLength: 1, maxLength: 3 })),
    mode: orNull(fc.constantFrom("concurrent", "default")),
    pgdata: orNull(anyText),
    serverName: fc.constant("cloud"),
    size: orNull(anyCount),
    snapshotsInfo: fc.constant(null),
    status: fc.constantFrom(
      "DONE",
      "DONE",
      "FAILED",
      "STARTED",
      "EMPTY",
      "WAITING_FOR_WALS",
      "SYNCING",
    ),
    systemId: orNull(fc.bigInt({ min: 1n, max: (1n << 64n) - 1n }).map(String)),
    tablespaces: orNull(anyTablespaces),
    version: orNull(fc.constantFrom(130023, 150018, 180004)),
  },
  { noNullPrototype: true },
);

/** A backup.info as Barman 3.4 could have written it. */
export const anyBackupInfo: fc.Arbitrary<BackupInfo> = fc
  .tuple(anyRest, anyPlace)
  .map(([rest, { segmentSize, begin, length, timeline }]): BackupInfo => {
    const end = begin + length;
    const nameOf = (lsn: bigint): string =>
      segmentName(timeline, segmentAt(lsn, segmentSize), segmentSize);
    const offsetOf = (lsn: bigint): number => Number(lsn % BigInt(segmentSize));
    return {
      ...rest,
      status: rest.status as BackupInfo["status"],
      beginLsn: begin,
      beginWal: nameOf(begin),
      beginOffset: offsetOf(begin),
      endLsn: end,
      endWal: nameOf(end),
      endOffset: offsetOf(end),
      timeline,
      segmentSize,
      extra: new Map(),
      comments: [],
      readOnly: false,
    };
  });
