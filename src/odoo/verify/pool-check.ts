// Looks at files in a pool: whether a copy is there, and whether one of them has the content that its name promises.

import { throwIfCancelled } from "../../base/cancellation.ts";
import type { Pool } from "../pool.ts";
import type { Condition, Examined } from "./examine-file.ts";

export interface PoolCheckOptions {
  readonly pool: Pick<Pool, "has" | "copies" | "readMany">;
  readonly files: Iterable<Examined>;
  /** Only whether a copy is there. */
  readonly namesOnly: boolean;
  /** Takes each file once, in no order. */
  readonly take: (file: Examined, condition: Condition) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Looks at all files. Throws what the storages throw, CANCELLED. */
export async function examinePool(options: PoolCheckOptions): Promise<void> {
  const { pool, files, namesOnly, take, signal } = options;
  const wanted = new Map<string, Examined>();
  for (const file of files) {
    if (!namesOnly) wanted.set(file.sha1, file);
    else if (pool.has(file.sha1))
      take(file, { state: "ok", size: pool.copies(file.sha1)[0]!.size });
    else take(file, { state: "missing" });
    throwIfCancelled(signal);
  }
  await pool.readMany(
    wanted.keys(),
    (sha1, answer) => {
      const file = wanted.get(sha1)!;
      if (answer.status === "missing") take(file, { state: "missing" });
      else if (answer.status === "found") take(file, { state: "ok", size: answer.size });
      else take(file, { state: "unreadable", reason: answer.reason });
    },
    { signal },
  );
}
