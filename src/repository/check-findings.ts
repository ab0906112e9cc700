// What a check found, as values: each finding says what and where, what to do about it, and which packs and snapshots
// it makes suspect. Nothing found is thrown or dropped; only the number of findings that are kept is bounded.

import type { Id } from "../base/bytes.ts";

/** What can be found. Hints are findings that harm nobody; all others are errors. */
export const FINDINGS = {
  KEY_DAMAGED: "a key file cannot be read",
  INDEX_DAMAGED: "an index file cannot be read",
  PACK_MISSING: "an index names a pack that is not there",
  PACK_SIZE: "a pack does not have the size that its index entries add up to",
  PACK_SPLIT: "index files say different things of one pack",
  PACK_DAMAGED: "a pack's content is damaged or not what the index says",
  PACK_UNREADABLE: "a pack could not be fetched, so nothing is known about it",
  READ_UNSTABLE: "a pack was damaged when read first and sound when read again",
  SNAPSHOT_DAMAGED: "a snapshot file cannot be read",
  TREE_DAMAGED: "a directory listing is not valid",
  TREE_HOSTILE: "a directory listing names a path outside its directory",
  TREE_MISSING: "a directory listing is in no index",
  BLOB_MISSING: "content of a file is in no index",
  BLOB_DAMAGED: "a blob cannot be opened from a pack",
  PACK_DUPLICATE: "several index files list the same pack",
  PACK_MIXED: "a pack holds both directory listings and file content",
  PACK_UNINDEXED: "a pack is in no index",
} as const;

export type FindingCode = keyof typeof FINDINGS;

const HINTS: ReadonlySet<FindingCode> = new Set([
  "PACK_DUPLICATE",
  "PACK_MIXED",
  "PACK_UNINDEXED",
] as const);

/** Packs of which `repair packs` should save what can be saved. */
const BREAKS_PACKS: ReadonlySet<FindingCode> = new Set([
  "PACK_MISSING",
  "PACK_SIZE",
  "PACK_SPLIT",
  "PACK_DAMAGED",
  "BLOB_DAMAGED",
] as const);

const ADVICE: Record<FindingCode, string> = {
  KEY_DAMAGED:
    "Its password opens nothing any more: add it again with `key add`, then remove this key.",
  INDEX_DAMAGED: "Run `repair index`: it reads the packs again.",
  PACK_MISSING: "Bring it back from a copy of the repository, or run `repair packs` with its id.",
  PACK_SIZE: "Bring it back from a copy of the repository, or run `repair packs` with its id.",
  PACK_SPLIT: "Run `repair packs` with its id: it writes the index from the pack itself.",
  PACK_DAMAGED: "Bring it back from a copy of the repository, or run `repair packs` with its id.",
  PACK_UNREADABLE: "Check the storage and its credentials, then check again.",
  READ_UNSTABLE: "Look for faults of memory, disk or network on the way here.",
  SNAPSHOT_DAMAGED:
    "Bring it back from a copy of the repository, or remove it with `repair snapshots`.",
  TREE_DAMAGED: "`find --tree` names the snapshots; `repair snapshots` makes copies without it.",
  TREE_HOSTILE: "Restore refuses it. Find out who can write to this repository.",
  TREE_MISSING: "Back up the same files again, then check again; what is gone is gone otherwise.",
  BLOB_MISSING: "Back up the same files again, then check again; what is gone is gone otherwise.",
  BLOB_DAMAGED:
    "Bring the pack back from a copy of the repository, or run `repair packs` with its id.",
  PACK_DUPLICATE: "Harmless. `repair index` tidies it.",
  PACK_MIXED: "Harmless. `prune` tidies it.",
  PACK_UNINDEXED: "Harmless: what an interrupted or a running backup leaves. `prune` tidies it.",
};

export interface CheckFinding {
  readonly code: FindingCode;
  readonly severity: "error" | "hint";
  /** What and where, one line. */
  readonly what: string;
  /** Single faults, where there are several: the first few. */
  readonly details: readonly string[];
  /** Errors that this finding stands for. */
  readonly count: number;
  readonly hint: string;
  readonly packs: readonly Id[];
  readonly snapshots: readonly Id[];
}

export interface FindingFields {
  details?: readonly string[];
  count?: number;
  packs?: readonly Id[];
  snapshots?: readonly Id[];
}

/** Details kept of one finding. */
export const DETAILS_MAX = 20;
/** Findings kept; all are counted and shown to `onFinding`. */
const KEPT_MAX = 10_000;

/** Collects findings and what follows from them. */
export class CheckFindings {
  readonly kept: CheckFinding[] = [];
  /** Findings that were counted but not kept. */
  omitted = 0;
  errors = 0;
  readonly brokenPacks: Set<Id> = new Set();
  readonly brokenSnapshots: Set<Id> = new Set();
  suggestRepairIndex = false;
  suggestPrune = false;
  readonly #onFinding: ((finding: CheckFinding) => void) | undefined;

  constructor(onFinding?: (finding: CheckFinding) => void) {
    this.#onFinding = onFinding;
  }

  add(code: FindingCode, what: string, fields: FindingFields = {}): void {
    const { details = [], packs = [], snapshots = [], count = 1 } = fields;
    const severity = HINTS.has(code) ? "hint" : "error";
    const finding: CheckFinding = {
      code,
      severity,
      what,
      details: details.slice(0, DETAILS_MAX),
      count,
      hint: ADVICE[code],
      packs,
      snapshots,
    };
    if (severity === "error") this.errors += count;
    if (BREAKS_PACKS.has(code)) for (const pack of packs) this.brokenPacks.add(pack);
    if (code === "SNAPSHOT_DAMAGED") for (const id of snapshots) this.brokenSnapshots.add(id);
    this.suggestRepairIndex ||= code === "INDEX_DAMAGED" || code === "PACK_DUPLICATE";
    this.suggestPrune ||= code === "PACK_MIXED" || code === "PACK_UNINDEXED";
    if (this.kept.length < KEPT_MAX) this.kept.push(finding);
    else this.omitted++;
    this.#onFinding?.(finding);
  }
}
