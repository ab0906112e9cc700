// What the last successful run said in numbers, kept in `status.external` so that metrics are the same after the operator began
// anew. Written by the reconcilers from the mover's verdict, read by the metrics. Pure.

import { EXTERNAL } from "../names.ts";
import type { MoverVerdict } from "../mover-verdict.ts";

export interface RunFacts {
  /** Files and bytes of the snapshot. */
  readonly files?: number;
  readonly bytes?: number;
  /** Bytes that the run added to the repository. */
  readonly added?: number;
  /** Snapshots that the repository holds for this host and path. */
  readonly snapshots?: number;
  /** Locks of others that it saw. */
  readonly locks?: number;
}

const NUMBERS = ["files", "bytes", "added", "snapshots"] as const;

/** What goes under EXTERNAL.facts after a run. A pod's numbers: what is no count is left out. */
export function runFactsText(verdict: MoverVerdict): string {
  const facts: Record<string, number> = {};
  for (const name of NUMBERS) {
    const value = verdict[name];
    if (isCount(value)) facts[name] = value;
  }
  facts["locks"] = Array.isArray(verdict.locks) ? verdict.locks.length : 0;
  return JSON.stringify(facts);
}

/** The facts in `status.external`; empty when there are none, or they are not ours. */
export function readRunFacts(external: Readonly<Record<string, string>> | undefined): RunFacts {
  const text = external?.[EXTERNAL.facts];
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return {};
    const found = Object.entries(value).filter(
      ([name, count]) => [...NUMBERS, "locks"].includes(name) && isCount(count),
    );
    return Object.fromEntries(found) as RunFacts;
  } catch {
    return {};
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}
