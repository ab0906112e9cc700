// The WAL of an archive, object by object: each is opened to its end, has the size of a segment, begins as its name says,
// and every page in it follows the one before. Between segments the positions in the names and in the headers are the
// chain; on which timeline a segment was begun must be what the histories say.

import type { Catalogue } from "../../barman/catalogue.ts";
import { readObjectName } from "../../barman/layout.ts";
import type { ListedObject } from "../../barman/wal-listing.ts";
import { walkPages, type SegmentHeader } from "../../barman/wal-header.ts";
import type { SegmentName } from "../../barman/wal-name.ts";
import { timelineAt } from "../../barman/timelines.ts";
import { eachLimit } from "../../base/concurrency.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { Progress } from "../../base/progress.ts";
import type { Archive } from "../archive.ts";
import { readSegment } from "../read-segment.ts";
import { decompressWhole } from "../wal-codec.ts";
import type { Findings } from "./findings.ts";

/** What may be said of an object in a test of the storage, and is no fault of ours. */
const OF_CONTENT = [
  "WAL_INVALID",
  "ARCHIVE_FOREIGN",
  "STORAGE_NOT_FOUND",
  "STORAGE_FAILED",
] as const;

/** A label has a few lines. */
const LABEL_MAX = 65_536;

export interface WalCheck {
  readonly archive: Archive;
  readonly catalogue: Catalogue;
  /** Decimal; undefined when no backup tells it. */
  readonly systemId: string | undefined;
  readonly findings: Findings;
  readonly progress: Progress;
  readonly parallel: number;
  readonly signal?: AbortSignal | undefined;
}

export interface WalOutcome {
  /** Objects that were opened, with bytes as they are stored. */
  readonly objects: number;
  readonly bytes: number;
  /** The paths of those that are damaged. */
  readonly damaged: ReadonlySet<string>;
  /** The paths of those that we may not read. */
  readonly denied: ReadonlySet<string>;
}

/** Reads `objects`: segments, whole or partial, and labels of backups. */
export async function checkWal(
  objects: readonly ListedObject[],
  check: WalCheck,
): Promise<WalOutcome> {
  const { findings, progress, parallel, signal } = check;
  const [damaged, denied] = [new Set<string>(), new Set<string>()];
  let [count, bytes] = [0, 0];
  await eachLimit(
    objects,
    parallel,
    async (object, _, within) => {
      progress.now(object.path);
      try {
        await checkObject(object, { ...check, signal: within });
        count++;
        bytes += object.size;
      } catch (error) {
        if (isHoldfastError(error, "STORAGE_DENIED")) denied.add(object.path);
        else if (isHoldfastError(error, ...OF_CONTENT)) {
          damaged.add(object.path);
          findings.add(error.message);
          progress.failed();
        } else throw error;
      }
      progress.done({ files: 1, bytes: object.size });
    },
    { signal },
  );
  return { objects: count, bytes, damaged, denied };
}

async function checkObject({ path }: ListedObject, check: WalCheck): Promise<void> {
  const { archive, catalogue, systemId, signal } = check;
  const name = readObjectName(path);
  if (name.kind !== "wal") throw new HoldfastError("BUG", `${path} is no WAL`);
  const stored = await archive.storage.get(path, { signal });
  const { wal } = name;
  if (wal.kind === "segment" || wal.kind === "partial") {
    await checkSegment(stored, wal, { path, catalogue, systemId });
  } else if (wal.kind === "label") {
    const { compression } = wal;
    const content =
      compression === null
        ? stored
        : await decompressWhole(stored, { compression, limit: LABEL_MAX, source: path });
    const beginning = Buffer.from(content.subarray(0, 100)).toString("latin1");
    if (!beginning.startsWith("START WAL LOCATION: ")) {
      throw new HoldfastError("WAL_INVALID", `${path} is not the label of a backup`);
    }
  }
}

async function checkSegment(
  stored: Uint8Array,
  wal: SegmentName,
  check: { path: string; catalogue: Catalogue; systemId: string | undefined },
): Promise<void> {
  const { path, catalogue } = check;
  const { segmentSize } = catalogue;
  const systemId = check.systemId === undefined ? undefined : BigInt(check.systemId);
  const expected = { source: path, segmentSize, systemId };
  const { bytes } = await readSegment(stored, { ...expected, name: wal });
  const isWhole = wal.kind === "segment";
  const { header } = walkPages(bytes, { ...expected, name: wal.name, whole: isWhole });
  requireTimeline(header, wal, { path, catalogue });
}

/** The page that a segment begins with was written on the timeline to which that position belongs. */
function requireTimeline(
  { address, timeline }: SegmentHeader,
  wal: SegmentName,
  { path, catalogue }: { readonly path: string; readonly catalogue: Catalogue },
): void {
  const { timelines } = catalogue;
  if (timelines.get(wal.timeline) === undefined) return;
  const told = timelineAt(timelines, wal.timeline, address);
  if (told === timeline) return;
  throw new HoldfastError(
    "WAL_INVALID",
    `${path} begins on timeline ${timeline}, and by the histories that place is on timeline ${told}`,
    { hint: "Compare the histories in the archive with those in the server's pg_wal." },
  );
}
