// Timeline histories from the server: the way to its timeline, and the files of it in the archive. A recovery cannot follow
// a timeline whose history is not there, so it is stored before any WAL of that timeline.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { parseHistory } from "../../barman/history.ts";
import { drawTimelines, type Stretch } from "../../barman/timelines.ts";
import type { Archive } from "../archive.ts";
import type { Connection } from "../connection.ts";
import { storeWal } from "../store-segment.ts";
import type { KnownWal } from "./known-wal.ts";

interface Options {
  /** For replication. */
  connection: Connection;
  archive: Archive;
  known: KnownWal;
  timeline: number;
  signal?: AbortSignal | undefined;
}

/** Plain text, a few lines: compression would save nothing. */
const PLAIN = { kind: null, level: 0 } as const;

/** The stretches that lead to `timeline`, oldest first. The histories of all of them go to the archive, where the server has them. */
export async function wayTo(options: Options): Promise<readonly Stretch[]> {
  const { connection, timeline } = options;
  if (timeline === 1) return [{ timeline, from: 0n, to: undefined }];
  const content = await storeHistory(options);
  const source = `the history of timeline ${timeline} at ${connection.place}`;
  const history = parseHistory({ timeline, content, source });
  for (const { timeline: ancestor } of history.forks) {
    if (ancestor === 1 || options.known.histories.has(ancestor)) continue;
    try {
      await storeHistory({ ...options, timeline: ancestor });
    } catch (error) {
      // What the newest one says of it is enough, and a server need not have the others.
      if (!isHoldfastError(error, "WAL_MISSING", "POSTGRES_FAILED")) throw error;
    }
  }
  const path = drawTimelines([history]).get(timeline);
  if (path !== undefined) return path;
  throw new HoldfastError("BUG", `${source} does not lead to it`);
}

/** The content of a history as the server has it, which is in the archive by then. Throws WAL_DIFFERS. */
export async function storeHistory(options: Options): Promise<Uint8Array> {
  const { connection, archive, known, timeline, signal } = options;
  const [row] = await connection.query(`TIMELINE_HISTORY ${timeline}`, { signal });
  const content = Buffer.from(row?.["content"] ?? "", "utf8");
  if (known.histories.has(timeline)) return content;
  const name = { kind: "history", timeline, compression: null } as const;
  await storeWal(archive, { name, content, compression: PLAIN, lookForOthers: true, signal });
  known.histories.add(timeline);
  return content;
}
