// What the data directory of a server tells that a command of PostgreSQL runs in.

import { open } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/errors.ts";

/**
 * The system identifier of the cluster in `directory`, which begins its pg_control whatever the version; undefined when there is no
 * cluster.
 */
export async function systemIdOfDirectory(directory: string): Promise<bigint | undefined> {
  try {
    const file = await open(join(directory, "global", "pg_control"));
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8, 0);
      return bytesRead === 8 ? buffer.readBigUInt64LE() : undefined;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}
