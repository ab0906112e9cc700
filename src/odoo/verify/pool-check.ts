// Looks at files in a pool: whether a copy is there, and whether one of them has the content that its name promises.

import { throwIfCancelled } from "../../base/cancellation.ts";
import type { Pool } from "../pool.ts";
import type { Condition, Examined } from "./examine-file.ts";

export interface PoolCheckOptions {
  readonly pool: Pick<Pool, "copies" | "readMany">;
  /** Names to look at, and what is known of each. */
  readonly names: Iterable<string>;
  readonly examined: (sha1: string) => Examined;
  /** Only whether a copy is there. */
  readonly namesOnly: boolean;
  /** Takes each file once, in no order. */
  readonly take: (file: Examined, condition: Condition) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Looks at all files. Throws what the storages throw, CANCELLED. */
export async function examinePool(options: PoolCheckOptions): Promise<void> {
  const { pool, names, examined, namesOnly, take, signal } = options;
  if (namesOnly) {
    for (const sha1 of names) {
      throwIfCancelled(signal);
      const [copy] = pool.copies(sha1);
      take(examined(sha1), copy ? { state: "ok", size: copy.size } : { state: "missing" });
    }
    return;
  }
  await pool.readMany(
    names,
    (sha1, answer) => {
      const file = examined(sha1);
      if (answer.status === "missing") take(file, { state: "missing" });
      else if (answer.status === "found") take(file, { state: "ok", size: answer.size });
      else take(file, { state: "unreadable", reason: answer.reason });
    },
    { signal },
  );
}
