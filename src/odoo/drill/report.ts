// What a drill tells: as JSON for programs, whose exact bytes are signed (src/odoo/drill/signature.ts), and as text for people.
// Nothing that was not looked at is called good: every check is "ok", "failed" or "not checked", and the verdict says what
// they come to (docs/operations/drill.md#report).

/** The first member of every report; another shape gets another number. */
export const REPORT_FORMAT = "holdfast-drill-1";

export type CheckResult = "ok" | "failed" | "not checked";

export interface DrillCheck {
  /** "marker", "pages", "attachments", … */
  readonly name: string;
  readonly result: CheckResult;
  /** What was found, or why nothing was looked at. */
  readonly detail: string;
}

/**
 * `passed`: everything that matters was checked and is good, the marker too. `incomplete`: nothing failed, but what was written
 * after the drill began was not looked for, so that nobody knows how fresh a recovery would be. `failed`: something is not
 * as it should be.
 */
export type DrillVerdict = "passed" | "incomplete" | "failed";

export interface DrillReport {
  readonly format: typeof REPORT_FORMAT;
  readonly id: string;
  readonly verdict: DrillVerdict;
  /** RFC 3339 in UTC. */
  readonly started: string;
  readonly ended: string;
  readonly host: string;
  readonly program: string;
  /** What was recovered. */
  readonly instance: {
    readonly archive: string;
    readonly server: string;
    readonly repository: string | null;
    readonly captures: string | null;
    readonly database: string | null;
    readonly system_id: string | null;
    readonly postgres: number | null;
  };
  readonly target: string;
  /** Where the recovery came to; null when it did not get there. */
  readonly reached: {
    readonly lsn: string;
    readonly timeline: number;
    /** Commit time of the last transaction, as the server tells it. */
    readonly last_commit: string | null;
    readonly backup: string;
    /** When that backup had ended. */
    readonly backup_ended: string;
  } | null;
  /** Milliseconds from the beginning of the restore until the database answered and its files were there; null without. */
  readonly recovery_ms: number | null;
  readonly steps: readonly { readonly name: string; readonly ms: number }[];
  readonly checks: readonly DrillCheck[];
  readonly files: DrillFiles | null;
}

export interface DrillFiles {
  readonly referenced: number;
  readonly referenced_bytes: number;
  /** Found in the pool, whether or not they were read. */
  readonly present: number;
  /** Read, hashed and written. */
  readonly read: number;
  readonly read_bytes: number;
  /** Names, at most `NAMES_MAX` of each. */
  readonly missing: readonly string[];
  readonly corrupt: readonly string[];
  readonly missing_at_source: readonly string[];
  readonly corrupt_at_source: readonly string[];
  readonly regenerable: readonly string[];
  readonly counts: Readonly<Record<LostKind, number>>;
  /** With a sample: the last name that was read; the next drill goes on behind it. Null when all were read. */
  readonly rotation: string | null;
  readonly external: number;
}

export type LostKind =
  | "missing"
  | "corrupt"
  | "missing_at_source"
  | "corrupt_at_source"
  | "regenerable";

/** How many names of a kind a report lists. */
export const NAMES_MAX = 1000;

/** What all checks come to. */
export function verdictOf(checks: readonly DrillCheck[]): DrillVerdict {
  if (checks.some(({ result }) => result === "failed")) return "failed";
  const isOk = (name: string): boolean =>
    checks.some((check) => check.name === name && check.result === "ok");
  return REQUIRED.every(isOk) ? "passed" : "incomplete";
}

/** Without these a drill has not passed, whatever else it found. */
const REQUIRED: readonly string[] = ["marker", "recovery", "tables", "references", "content"];

/** The bytes that are signed: members sorted by their names, no white space, UTF-8, one line feed at the end. */
export function canonicalJson(value: unknown): string {
  return `${encode(value)}\n`;
}

function encode(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(encode).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1));
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${encode(member)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** "20261126T051233Z-4bba301e": when it began, and which one it was. */
export function reportName({ started, id }: Pick<DrillReport, "started" | "id">): string {
  return `drill-${started.replace(/\.\d+/, "").replaceAll(/[-:]/g, "")}-${id}`;
}
