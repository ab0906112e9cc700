// Annotations that somebody wrote in good faith and that do nothing: a wrong name, or a value that is not understood. Kubernetes
// takes any annotation, so nobody else says so. And a trigger that is missing, which means more than it looks like. Pure.

import { ANNOTATION } from "../names.ts";
import { lookAlikes } from "./trigger.ts";
import type { SyncResource } from "./sync-resource.ts";

export interface AnnotationSlip {
  readonly key: string;
  /** CamelCase, for an Event. */
  readonly reason: "UnknownTrigger" | "UnknownMode" | "UnknownAnnotation" | "NoTrigger";
  readonly text: string;
  readonly fix: string;
}

const OURS = "holdfast.dev/";
/** They count with the value "true" alone. */
const SWITCHES: readonly string[] = [ANNOTATION.readyConditions, ANNOTATION.skipInitialSync];
const KNOWN: readonly string[] = Object.values(ANNOTATION);
const QUOTED_MAX = 60;
/** More than these would only fill the list of Events. */
const SLIPS_MAX = 5;

/** What is wrong with a resource's annotations; of hostile ones a few. */
export function annotationSlips(resource: SyncResource): AnnotationSlip[] {
  const triggers = lookAlikes(resource);
  const slips = triggers.map((key) => ({
    key,
    reason: "UnknownTrigger" as const,
    text: `annotation ${shown(key)} starts nothing`,
    fix: `Use ${ANNOTATION.trigger}, with a new value for each run.`,
  }));
  const others = Object.entries(resource.metadata.annotations ?? {})
    .filter(([key]) => !triggers.includes(key))
    .flatMap(([key, value]) => slipOf(key, value));
  return [...slips, ...others].slice(0, SLIPS_MAX);
}

/** VolSync's meaning of no trigger at all; a `trigger` whose only field is misspelt is one, once the API server has dropped it. */
export function triggerSlip({ spec }: SyncResource): AnnotationSlip | undefined {
  const { schedule, manual } = spec?.trigger ?? {};
  if (schedule || manual) return undefined;
  const text = "resource has no trigger, so a run begins as soon as the one before has ended";
  const fix = "Set spec.trigger.schedule, if that is not meant.";
  return { key: "", reason: "NoTrigger", text, fix };
}

function slipOf(key: string, value: string): AnnotationSlip[] {
  if (key === ANNOTATION.mode && value !== "safe" && value !== "compat") {
    const text = `annotation ${key} is ${shown(JSON.stringify(value))}, which is no mode, so the operator's own counts`;
    return [{ key, reason: "UnknownMode", text, fix: "Write safe or compat." }];
  }
  if (SWITCHES.includes(key) && value !== "true" && value !== "false") {
    const text = `annotation ${key} is ${shown(JSON.stringify(value))}, which does nothing`;
    return [{ key, reason: "UnknownAnnotation", text, fix: 'Write "true", or take it away.' }];
  }
  if (!key.startsWith(OURS) || KNOWN.includes(key)) return [];
  const known = KNOWN.filter((each) => each.startsWith(OURS)).map((each) =>
    each.slice(OURS.length),
  );
  const text = `annotation ${shown(key)} does nothing`;
  const fix = `Those of ${OURS} are ${known.sort().join(", ")}.`;
  return [{ key, reason: "UnknownAnnotation", text, fix }];
}

function shown(text: string): string {
  return text.length <= QUOTED_MAX ? text : `${text.slice(0, QUOTED_MAX)}…`;
}
