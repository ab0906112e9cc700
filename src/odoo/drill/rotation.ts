// Which files a drill reads when it may not read them all: those that follow the last one of the drill before, in the order of
// their names, which is as good as random. After enough drills every file has had its turn, those that are new as well. Pure.

import type { FileReferences } from "../references.ts";
import { Sha1Set } from "../sha1-set.ts";

export interface Sample {
  readonly files: FileReferences;
  readonly bytes: number;
  /** The last name; null when all files are in it. */
  readonly rotation: string | null;
}

/**
 * Files of about `budget` bytes (at least one file), behind the name `after` and then from the first one on; all of them without
 * a budget. `isThere` leaves out what cannot be read anyway.
 */
export function chooseSample(
  files: FileReferences,
  options: {
    readonly budget: number | undefined;
    readonly after: string | undefined;
    readonly isThere: (sha1: string) => boolean;
  },
): Sample {
  const { names, sizes } = files;
  const { budget, after = "", isThere } = options;
  const sorted = [...names].filter(isThere).toSorted();
  const at = sorted.findIndex((name) => name > after);
  const order = at <= 0 ? sorted : [...sorted.slice(at), ...sorted.slice(0, at)];
  const chosen: string[] = [];
  let bytes = 0;
  for (const name of order) {
    const size = Math.max(0, sizes[names.indexOf(name)]!);
    if (budget !== undefined && chosen.length > 0 && bytes + size > budget) break;
    chosen.push(name);
    bytes += size;
  }
  const isAll = chosen.length === order.length;
  return { files: subset(files, chosen), bytes, rotation: isAll ? null : chosen.at(-1)! };
}

function subset(files: FileReferences, chosen: readonly string[]): FileReferences {
  const names = new Sha1Set(chosen.length);
  for (const name of chosen) names.add(name);
  const numbers = chosen.map((name) => files.names.indexOf(name));
  const oldPaths = new Map<string, string>();
  for (const name of chosen) {
    const path = files.oldPaths.get(name);
    if (path !== undefined) oldPaths.set(name, path);
  }
  return {
    names,
    sizes: Float64Array.from(numbers, (number) => files.sizes[number]!),
    rows: Uint32Array.from(numbers, (number) => files.rows[number]!),
    flags: Uint8Array.from(numbers, (number) => files.flags[number]!),
    oldPaths,
  };
}
