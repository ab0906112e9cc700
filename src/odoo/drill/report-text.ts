// A report as text that people read, in Markdown, which is as readable without a program. What was not checked stands as
// plainly as what was.

import type { DrillCheck, DrillFiles, DrillReport, DrillVerdict } from "./report.ts";

/** The verdict as a sentence. */
export const VERDICTS: Readonly<Record<DrillVerdict, string>> = {
  passed:
    "PASSED: what was written when the drill began came back, and everything that was checked is good",
  incomplete: "INCOMPLETE: nothing failed, but not everything that matters was checked",
  failed: "FAILED",
};

const MARKS: Readonly<Record<DrillCheck["result"], string>> = {
  ok: "ok",
  failed: "FAILED",
  "not checked": "not checked",
};

/** Names of lost files that the text lists, of each kind. */
const NAMES_SHOWN = 20;

/** The whole report. */
export function reportText(report: DrillReport): string {
  const { instance, reached, checks, steps, files } = report;
  const lines = [
    `# Drill ${report.id}: ${report.verdict}`,
    "",
    VERDICTS[report.verdict],
    "",
    `- begun: ${report.started}, ended ${report.ended} on ${report.host} by ${report.program}`,
    `- database: ${instance.database ?? "unknown"} out of ${instance.archive} (PostgreSQL ${instance.postgres ?? "?"}, cluster ${instance.system_id ?? "?"})`,
    `- files: ${instance.repository ?? "none"}${instance.captures === null ? "" : ` and ${instance.captures}`}`,
    `- recovered to: ${report.target}`,
  ];
  if (reached !== null) {
    lines.push(
      `- reached: ${reached.lsn} on timeline ${reached.timeline}, last commit ${reached.last_commit ?? "unknown"}`,
      `- base backup: ${reached.backup}, ended ${reached.backup_ended} (${age(report.started, reached.backup_ended)} before the drill)`,
    );
  }
  lines.push(`- time to recover: ${recoveryText(report)}`, "", "## Checks", "");
  lines.push("| check | result | what was found |", "|---|---|---|");
  for (const { name, result, detail } of checks)
    lines.push(`| ${cell(name)} | ${MARKS[result]} | ${cell(detail)} |`);
  lines.push("", "## Times", "", "| step | time |", "|---|---|");
  for (const { name, ms } of steps) lines.push(`| ${cell(name)} | ${duration(ms)} |`);
  if (files !== null) lines.push(...lostLines(files));
  return `${lines.join("\n")}\n`;
}

/** "4 min 5 s", and of how much. */
export function recoveryText({ recovery_ms: whole, steps, files }: DrillReport): string {
  if (whole !== null) return `${duration(whole)} for the database and all its files`;
  const took = (name: string): number => steps.find((step) => step.name === name)?.ms ?? 0;
  const database = took("restore") + took("replay");
  if (database === 0) return "not known";
  if (files === null || files.read_bytes === 0)
    return `${duration(database)} for the database alone`;
  const all = (took("files") * files.referenced_bytes) / files.read_bytes;
  return `${duration(database)} for the database; about ${duration(all)} more for all its files, by the ${files.read} of ${files.referenced} that were recovered`;
}

function lostLines(files: DrillFiles): string[] {
  const lines: string[] = [];
  const kinds = [
    ["missing", "Missing files", files.missing],
    ["corrupt", "Files without a good copy", files.corrupt],
    ["missing_at_source", "Missing at the source already", files.missing_at_source],
    ["corrupt_at_source", "Corrupt at the source already", files.corrupt_at_source],
  ] as const;
  for (const [kind, title, names] of kinds) {
    if (names.length === 0) continue;
    lines.push("", `## ${title}`, "", ...names.slice(0, NAMES_SHOWN).map((name) => `- ${name}`));
    const more = files.counts[kind] - Math.min(names.length, NAMES_SHOWN);
    if (more > 0) lines.push(`- and ${more} more`);
  }
  return lines;
}

/** "1 h 5 min", "12 s", "350 ms". */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function age(now: string, then: string): string {
  const hours = (Date.parse(now) - Date.parse(then)) / 3_600_000;
  if (hours < 1) return `${Math.max(0, Math.round(hours * 60))} min`;
  return hours < 48 ? `${Math.round(hours)} h` : `${Math.round(hours / 24)} d`;
}

/** A cell of a table: details quote what servers and commands said, which may be anything. */
function cell(text: string): string {
  return text.replaceAll(/[\x00-\x1f\x7f]+/g, " ").replaceAll("|", "\\|");
}
