// What one run will do, decided when it begins and pinned: a reconcile minutes later, an edited resource, another Secret or a
// newer operator never changes a run under way. Kept as JSON in `status.external`, so that it outlives the operator.

import type { Role } from "./names.ts";

/** Why a run was begun. `initial`: the first one, at once. `always`: a resource without any trigger. */
export type RunCause =
  | { readonly kind: "initial" }
  | { readonly kind: "schedule"; readonly due: string }
  | { readonly kind: "manual"; readonly tag: string }
  | { readonly kind: "annotation"; readonly value: string }
  | { readonly kind: "always" };

export interface RunPlan {
  /** Told apart from other runs of the resource: a part of names, labels and tags. Lower case letters and digits. */
  readonly id: string;
  readonly role: Role;
  /** RFC 3339. Equals `status.lastSyncStartTime`. */
  readonly started: string;
  readonly cause: RunCause;
  /** `spec.trigger.manual` when it began: what `status.lastManualSync` becomes at its end. */
  readonly manualTag?: string | undefined;
  /** Value of the trigger annotation when it began: answered by this run. */
  readonly trigger?: string | undefined;
  /** `metadata.generation` of the resource. */
  readonly generation: number;
  /** Which version of the Secret (MoverSecret.hash): when it differs at the next attempt, that attempt is made with the new one. */
  readonly secretHash: string;
  readonly mode: "compat" | "safe";
  /** Source: what happens after the snapshot is made. */
  readonly forget?: ForgetPlan | undefined;
  readonly prune?: boolean;
  /** Value of `restic.unlock` that this run answers. */
  readonly unlock?: string | undefined;
  /** Value of the annotation that this run answers: a shrunken source is taken. */
  readonly acceptShrink?: string | undefined;
  readonly excludeCaches?: boolean;
  /** Destination: which snapshot. */
  readonly restore?: RestorePlan | undefined;
}

/** Keep rules in the order in which VolSync gives them to restic. All absent: the last one is kept. */
export interface ForgetPlan {
  readonly hourly?: number | undefined;
  readonly daily?: number | undefined;
  readonly weekly?: number | undefined;
  readonly monthly?: number | undefined;
  readonly yearly?: number | undefined;
  readonly within?: string | undefined;
  readonly last?: string | undefined;
}

export interface RestorePlan {
  /** RFC 3339: the newest snapshot not after it. */
  readonly asOf?: string | undefined;
  /** How many snapshots before that one. */
  readonly previous?: number | undefined;
  readonly delete?: boolean | undefined;
}
