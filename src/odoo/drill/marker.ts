// The marker of a drill: a restore point with a name that nobody could know before, written into the log of the live server when
// the drill begins. A recovery to that name ends well only if its record came through the archive, with everything that was
// written before it. It leaves no row and no object behind, and what keeps it from being written is told, never passed over
// (docs/decisions/drill.md).

import { formatLsn, parseLsn } from "../../barman/lsn.ts";
import type { Clock, Random } from "../../base/clock.ts";
import { isHoldfastError, messageOf } from "../../base/errors.ts";
import { loadCatalogue, type Archive } from "../../postgres/archive.ts";
import { quoteLiteral, type Connection } from "../../postgres/connection.ts";
import { partialReach } from "../../postgres/partial-reach.ts";
import type { Lsn } from "../../barman/lsn.ts";
import type { Repository } from "../../repository/repository.ts";
import { listSnapshots } from "../../repository/snapshots.ts";
import { readCaptureMark, type JointPosition } from "../capture-mark.ts";
import { readPosition } from "../read-references.ts";
import { obstacleOf } from "../watermark.ts";

export interface DrillMarker {
  /** The name of the restore point. */
  readonly name: string;
  /** Where its record ends. */
  readonly position: JointPosition;
}

/**
 * Writes a marker, and asks the server to archive its segment, if we may. Throws POSTGRES_DENIED when we may not write one, and
 * what the server refused.
 */
export async function writeMarker(
  connection: Connection,
  { random, signal }: { readonly random: Random; readonly signal?: AbortSignal | undefined },
): Promise<DrillMarker> {
  const name = `holdfast-drill-${Buffer.from(random(8)).toString("hex")}`;
  const [row] = await connection.query(
    `SELECT pg_catalog.pg_create_restore_point(${quoteLiteral(name)}) AS lsn`,
    { signal },
  );
  const lsn = parseLsn(row?.["lsn"] ?? "", "the server");
  const position = await readPosition(connection, { signal });
  const [may] = await connection.query(
    "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_switch_wal()', 'execute') AS may",
    { signal },
  );
  // A quiet server would archive nothing for as long as its archive_timeout is.
  if (may?.["may"] === "t") await connection.query("SELECT pg_catalog.pg_switch_wal()", { signal });
  return { name, position: { ...position, lsn } };
}

interface Waiting {
  /** Milliseconds. */
  readonly patience: number;
  readonly clock: Pick<Clock, "now" | "monotonic" | "sleep">;
  readonly signal?: AbortSignal | undefined;
}

const LOOK_MS = 2000;

/** Waits until the archive can bring a database to the position; undefined, or what was still missing at the end. */
export async function waitForArchive(
  archive: Archive,
  position: JointPosition,
  waiting: Waiting,
): Promise<string | undefined> {
  const { clock, signal } = waiting;
  return await repeat(waiting, async () => {
    const catalogue = await loadCatalogue(archive, { now: clock.now(), signal });
    const reaches = new Map<string, Lsn>();
    const { segmentSize } = catalogue;
    for (const { partials } of catalogue.wal.values()) {
      for (const partial of partials.values()) {
        const reach = await partialReach(archive, partial, { segmentSize, signal });
        if (reach !== undefined) reaches.set(partial.path, reach);
      }
    }
    const obstacle = obstacleOf(position, { catalogue, partialReach: reaches });
    return obstacle === undefined
      ? undefined
      : `WAL through ${formatLsn(position.lsn)} was not in the archive after ${seconds(waiting)} s (${obstacle})`;
  });
}

/** Waits until a capture stands for that position or a later one; undefined, or what was still missing at the end. */
export async function waitForCapture(
  captures: Repository,
  position: JointPosition,
  waiting: Waiting,
): Promise<string | undefined> {
  const { signal } = waiting;
  return await repeat(waiting, async () => {
    const snapshots = await listSnapshots(captures, { onDamage: () => {}, signal });
    const isThere = snapshots.some(({ snapshot }) => {
      const found = readCaptureMark(snapshot.tags)?.position;
      return (
        found !== undefined &&
        found.systemId === position.systemId &&
        found.timeline >= position.timeline &&
        found.lsn >= position.lsn
      );
    });
    return isThere
      ? undefined
      : `no capture of ${formatLsn(position.lsn)} or later came in ${seconds(waiting)} s`;
  });
}

async function repeat(
  { patience, clock, signal }: Waiting,
  look: () => Promise<string | undefined>,
): Promise<string | undefined> {
  const until = clock.monotonic() + patience;
  for (;;) {
    let missing: string | undefined;
    try {
      missing = await look();
    } catch (error) {
      if (!isHoldfastError(error) || !error.retryable) throw error;
      missing = messageOf(error);
    }
    if (missing === undefined || clock.monotonic() >= until) return missing;
    await clock.sleep(LOOK_MS, signal);
  }
}

function seconds({ patience }: Waiting): number {
  return Math.round(patience / 1000);
}
