// What the state machine needs to know of a run's Job. Pure.

import type { SeenJob } from "../machine/decide.ts";
import type { RunState } from "../mover/run-state.ts";
import { LABEL } from "../names.ts";

/** Undefined: there is no Job. */
export function seenJob(run: RunState): SeenJob | undefined {
  if (run.kind === "none") return undefined;
  const { uid = "", labels, deletionTimestamp } = run.job.metadata;
  const isLeaving = deletionTimestamp !== undefined;
  return { kind: run.kind, uid, run: labels?.[LABEL.run], isLeaving };
}
