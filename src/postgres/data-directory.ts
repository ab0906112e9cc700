// What the data directory of a server tells that a command of PostgreSQL runs in.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, isHoldfastError } from "../base/errors.ts";
import { parseControlFile } from "../barman/control-file.ts";

export interface Cluster {
  readonly systemId: bigint;
  /** Bytes; undefined of versions whose control file is not known. */
  readonly segmentSize: number | undefined;
}

/** What the control file in a data directory says; undefined when there is no cluster. */
export async function clusterOfDirectory(directory: string): Promise<Cluster | undefined> {
  let content: Buffer;
  try {
    content = await readFile(join(directory, "global", "pg_control"));
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
  if (content.length < 8) return undefined;
  // Whatever the version, it begins with the identifier. The rest is read while the server writes it: what is torn says nothing.
  const systemId = content.readBigUInt64LE();
  try {
    return { systemId, segmentSize: parseControlFile(content, "pg_control").segmentSize };
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    return { systemId, segmentSize: undefined };
  }
}
