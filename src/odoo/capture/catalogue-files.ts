// The attachment catalogue among the files of a capture: loaded when a session begins, and made smaller when more of it is past
// than present. A segment that is damaged is left out; what is there now is then noted anew.

import { isHoldfastError, messageOf } from "../../base/errors.ts";
import { listSnapshots } from "../../repository/snapshots.ts";
import type { Repository } from "../../repository/repository.ts";
import { parseTime } from "../../restic/go-time.ts";
import { AttachmentCatalogue } from "../catalogue.ts";
import { compactSegments } from "../catalogue-compaction.ts";
import { segmentNumber } from "../catalogue-lines.ts";
import type { CaptureSession } from "./session.ts";

/** Where the catalogue's segments are, below the side folder. */
export const SEGMENTS = "attachments/";

export interface LoadCatalogueOptions {
  readonly session: Pick<CaptureSession, "side" | "writeSide">;
  /** Everything that holds files: what ended before the oldest snapshot of these cannot be had any more. */
  readonly repositories: readonly Repository[];
  readonly onNotice: (text: string) => void;
  readonly signal: AbortSignal;
}

/** Loads it, or begins a new one. Throws what the storages throw, CANCELLED. */
export async function loadCatalogue(options: LoadCatalogueOptions): Promise<AttachmentCatalogue> {
  const { session, onNotice, signal } = options;
  const catalogue = new AttachmentCatalogue();
  const paths = session.side.paths.filter(
    (path) => path.startsWith(SEGMENTS) && segmentNumber(path.slice(SEGMENTS.length)) !== undefined,
  );
  const segments = new Map<string, string>();
  for (const path of paths.toSorted()) {
    const bytes = await readSegment(options, path);
    if (bytes === undefined) {
      session.side.drop(path);
      continue;
    }
    const name = path.slice(SEGMENTS.length);
    catalogue.load(name, bytes);
    segments.set(name, path);
  }
  if (!catalogue.isLarge) return catalogue;
  const before = await oldestSnapshot(options);
  const smaller = new AttachmentCatalogue();
  const read = async (name: string): Promise<Uint8Array> =>
    (await session.side.read(segments.get(name)!, signal)) ?? new Uint8Array();
  for await (const { name, bytes } of compactSegments({
    names: [...segments.keys()],
    read,
    before,
  })) {
    await session.writeSide(`${SEGMENTS}${name}`, bytes);
    smaller.load(name, bytes);
  }
  for (const path of segments.values()) session.side.drop(path);
  onNotice("the catalogue of attachments was made smaller");
  return smaller;
}

async function readSegment(
  { session, onNotice, signal }: LoadCatalogueOptions,
  path: string,
): Promise<Uint8Array | undefined> {
  try {
    return await session.side.read(path, signal);
  } catch (error) {
    if (!isHoldfastError(error, "BLOB_MISSING", "BLOB_DAMAGED")) throw error;
    onNotice(`a part of the catalogue of attachments is left out: ${messageOf(error)}`);
    return undefined;
  }
}

/** When the oldest snapshot was made, in milliseconds since 1970; everything is kept where one cannot be read. */
async function oldestSnapshot({ repositories, signal }: LoadCatalogueOptions): Promise<number> {
  let oldest = Infinity;
  for (const repository of repositories) {
    const snapshots = await listSnapshots(repository, {
      onDamage: () => (oldest = -Infinity),
      signal,
    });
    for (const { snapshot } of snapshots) {
      oldest = Math.min(oldest, Number(parseTime(snapshot.time) / 1_000_000n));
    }
  }
  return oldest === Infinity ? -Infinity : oldest;
}
