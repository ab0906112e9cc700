// Which captures go when a newer one of the same period holds all that they hold. As a copy of files none of them is needed;
// but each tells a position, and the newest one's may be ahead of the archive for as long as that lags behind: the watermark
// is then that of an earlier one. So they are thinned out by age instead of all going at once. Pure.

import type { Id } from "../../base/bytes.ts";

export interface EarlierCapture {
  readonly id: Id;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** True when it tells a position of the database. */
  readonly hasPosition: boolean;
}

/** An archive that is further behind has its watermark told no more exactly than by the last period. */
const KEPT_MS = 2 * 3_600_000;
/** Two that stay are apart by this part of their age, and at least by so much: at most about eighty stay. */
const PART_OF_AGE = 0.1;
const APART_MS = 1000;

/** Those of `earlier`, oldest first, that go now that `newest` is stored. */
export function goingCaptures(
  earlier: readonly EarlierCapture[],
  newest: Pick<EarlierCapture, "time">,
): EarlierCapture[] {
  const going: EarlierCapture[] = [];
  // From the oldest on, so that one that stays today was there yesterday.
  let last = -Infinity;
  for (const capture of earlier) {
    const age = newest.time - capture.time;
    const isApart = capture.time - last >= Math.max(APART_MS, age * PART_OF_AGE);
    if (capture.hasPosition && age <= KEPT_MS && isApart) last = capture.time;
    else going.push(capture);
  }
  return going;
}
