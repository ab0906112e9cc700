// What `verify` says: how many files are as they should be, what is missing or damaged and to whom it belongs, what is left
// over, and what takes the room.

import { formatLsn } from "../barman/lsn.ts";
import type { AttachmentRecord } from "../odoo/attachment-records.ts";
import type { Amount, AttachmentClass, AttachmentSizes } from "../odoo/attachment-sizes.ts";
import { isInconsistent, lostFiles, type Condition, type FileFinding } from "../odoo/verify.ts";
import type { VerifyReport } from "../odoo/verify.ts";
import { formatAge, formatBytes, formatLocalTime } from "./format.ts";
import { formatTable } from "./table.ts";
import { quoteUnprintable } from "./terminal-text.ts";

/** A report, and where it comes from. */
export interface Consistency {
  readonly report: VerifyReport;
  readonly sizes: AttachmentSizes;
  /** "db1:5432" */
  readonly place: string;
  /** "filestore /var/lib/odoo/filestore/odoo", "snapshot 4bba301e". */
  readonly source: string;
}

export interface ConsistencyView {
  readonly now: number;
  /** Findings that are listed at most. */
  readonly limit: number;
  /** Models and months that are listed at most. */
  readonly rows: number;
}

const STATES: readonly [state: FileFinding["condition"]["state"], meaning: string][] = [
  ["missing", "no file"],
  ["empty", "a file without a byte"],
  ["truncated", "shorter than its row says"],
  ["altered", "another content than its name promises"],
  ["unreadable", "could not be read"],
];

const CLASSES: Readonly<Record<AttachmentClass, string>> = {
  document: "documents",
  image: "pictures of records",
  field: "other fields",
  bundle: "asset bundles",
};

/** The report as lines for people. */
export function consistencyLines(consistency: Consistency, view: ConsistencyView): string[] {
  const { report, sizes } = consistency;
  return [
    ...headLines(consistency, view.now),
    "",
    ...amountLines(report),
    ...findingLines(report, view.limit),
    ...repairLines(report),
    ...warningLines(report),
    "",
    ...sizeLines(sizes, view.rows),
    ...verdict(report),
  ];
}

function headLines({ report, place, source }: Consistency, now: number): string[] {
  const { database, position } = report.references;
  const { time, lsn, timeline } = position;
  const age = formatAge((now - time) / 1000);
  const how = report.namesOnly
    ? "names and sizes only, no content was read"
    : "every file was read";
  return [
    quoteUnprintable(`Database ${database} at ${place}`),
    `  as of ${formatLocalTime(time)} (${age}), position ${formatLsn(lsn)} on timeline ${timeline}`,
    quoteUnprintable(`Compared with ${source}: ${how}`),
  ];
}

function amountLines(report: VerifyReport): string[] {
  const { references, ok, findings, orphans, strangers, goneMeanwhile } = report;
  const { files, rows, inDatabase, urls, empty } = references;
  const line = (name: string, value: string): string => `  ${name.padEnd(14)}${value}`;
  const lines = [
    line("referenced", `${plural(files.names.size, "file")} by ${plural(rows, "attachment")}`),
    line("whole", `${plural(ok.files, "file")}, ${formatBytes(ok.bytes)}`),
  ];
  const lost = lostFiles(report);
  for (const [state, meaning] of STATES) {
    const count = lost.filter(({ condition }) => condition.state === state).length;
    if (count > 0) lines.push(line(state.toUpperCase(), `${plural(count, "file")}: ${meaning}`));
  }
  const again = findings.filter(({ regenerable }) => regenerable).length;
  const newer = findings.filter((finding) => finding.newer && !finding.regenerable).length;
  if (newer > 0) {
    lines.push(line("newer", `${plural(newer, "file")} attached after this snapshot was made`));
  }
  if (again > 0) lines.push(line("regenerable", `${plural(again, "file")} that Odoo makes again`));
  if (goneMeanwhile > 0) {
    lines.push(line("gone", `${plural(goneMeanwhile, "file")} whose row went while this ran`));
  }
  const size = orphans.bytes === undefined ? "" : `, ${formatBytes(orphans.bytes)}`;
  const marked =
    orphans.marked > 0 ? `, ${orphans.marked} of them on the list of Odoo's collector` : "";
  lines.push(line("without row", `${plural(orphans.files, "file")}${size}${marked}`));
  if (strangers.count > 0) {
    const names = strangers.examples.slice(0, 5).map(quoteUnprintable).join(", ");
    lines.push(line("strangers", `${plural(strangers.count, "name")} of no filestore: ${names}`));
  }
  lines.push(line("elsewhere", `${inDatabase} in the database, ${urls} links, ${empty} empty`));
  return lines;
}

function findingLines(report: VerifyReport, limit: number): string[] {
  const lost = lostFiles(report);
  if (lost.length === 0) return [];
  const lines = lost.slice(0, limit).flatMap((finding) => {
    const { path, condition, size } = finding;
    const expected = size < 0 ? "" : ` (${formatBytes(size)})`;
    return [`  ${path}  ${conditionText(condition)}${expected}`, ...recordLines(finding)];
  });
  const more = lost.length - limit;
  if (more > 0) lines.push(`  … and ${more} more: --list ${lost.length} or --json shows them all`);
  return ["", "Missing or damaged", ...lines];
}

function conditionText(condition: Exclude<Condition, { state: "ok" }>): string {
  switch (condition.state) {
    case "truncated":
      return `truncated to ${formatBytes(condition.size)}`;
    case "altered":
      return condition.found === undefined
        ? `altered: it has ${formatBytes(condition.size)}`
        : `altered: its SHA-1 is ${condition.found}`;
    case "unreadable":
      return `unreadable: ${quoteUnprintable(condition.reason)}`;
    default:
      return condition.state;
  }
}

function recordLines({ records }: FileFinding): string[] {
  const shown = records.slice(0, 3).map((record) => `      ${recordText(record)}`);
  return records.length > 3 ? [...shown, `      … ${records.length - 3} more rows`] : shown;
}

/** "invoice.pdf" of account.move 42 (attachment 1234, made 2026-01-02). */
export function recordText(record: Omit<AttachmentRecord, "bundle" | "url">): string {
  const { id, name, res_model: model, res_field: field, res_id: number, created } = record;
  const owner = model === null ? "of no record" : `of ${model} ${number ?? ""}`.trim();
  const made = created === null ? "" : `, made ${created.slice(0, 10)}`;
  const which = field === null ? "" : `, field ${field}`;
  const quoted = quoteUnprintable(name);
  const shown = quoted === name ? `"${name}"` : quoted;
  return `${shown} ${quoteUnprintable(`${owner}${which}`)} (attachment ${id}${made})`;
}

function repairLines({ repairBundles, findings }: VerifyReport): string[] {
  const again = findings.filter(
    ({ regenerable, records }) => regenerable && records.some(({ bundle }) => bundle),
  );
  if (repairBundles === undefined) return [];
  const inTheWay = again.filter(({ condition }) => condition.state !== "missing");
  return [
    "",
    `${plural(again.length, "asset bundle")} missing or damaged. Odoo makes them again when their rows are gone:`,
    `  ${repairBundles}`,
    // With the row alone gone, Odoo makes the bundle, finds that it collides with the damaged file, and answers 422 for ever.
    ...(inTheWay.length === 0
      ? []
      : [
          "Remove the damaged files first, or Odoo refuses to write the new ones over them:",
          ...inTheWay.map(({ path }) => `  ${quoteUnprintable(path)}`),
        ]),
  ];
}

function warningLines({ references, findings }: VerifyReport): string[] {
  const { cloud, external, unknown } = references;
  const lines: string[] = [];
  if (cloud > 0) {
    lines.push(
      `WARNING: ${plural(cloud, "attachment")} of cloud_storage: in a bucket, NOT in the filestore and in no backup of it.`,
    );
  }
  for (const [scheme, count] of external) {
    lines.push(
      `WARNING: ${plural(count, "attachment")} in the store ${quoteUnprintable(scheme)}://, NOT in the filestore and in no backup of it.`,
    );
  }
  if (unknown.length > 0) {
    const shown = unknown.slice(0, 3).map((name) => quoteUnprintable(JSON.stringify(name)));
    lines.push(`WARNING: names of files that mean nothing to Odoo: ${shown.join(", ")}`);
  }
  if (findings.length === references.files.names.size && findings.length > 0) {
    lines.push(
      "WARNING: not one file is there. Is this the filestore of this database, and mounted?",
    );
  }
  return lines.length === 0 ? [] : ["", ...lines];
}

/** Tables of what takes the room. */
export function sizeLines(sizes: AttachmentSizes, rows: number): string[] {
  const { total, byClass, byModel, byMonth } = sizes;
  const cells = (name: string, { rows: count, bytes }: Amount): string[] => [
    name,
    String(count).padStart(9),
    formatBytes(bytes).padStart(12),
    (total.bytes > 0 ? `${Math.round((100 * bytes) / total.bytes)} %` : "").padStart(5),
  ];
  const table = (name: string, list: readonly [string, Amount][]): string[] =>
    formatTable({
      headers: [name, "     Rows", "       Bytes", "Share"],
      rows: list.map(([key, amount]) => cells(quoteUnprintable(key), amount)),
    });
  const classes = [...byClass].map(([name, amount]): [string, Amount] => [CLASSES[name], amount]);
  const lines = table("What", classes);
  if (rows === 0) return lines;
  const models = [...byModel].slice(0, rows);
  const months = [...byMonth].slice(-rows);
  return [
    ...lines,
    "",
    ...table(
      "Model",
      models.map(([name, amount]) => [name === "" ? "(none)" : name, amount]),
    ),
    "",
    ...table(
      "Month",
      months.map(([name, amount]) => [name === "" ? "(unknown)" : name, amount]),
    ),
  ];
}

/** The last word; an inconsistency is told as the error that it is. */
function verdict(report: VerifyReport): string[] {
  const { findings, namesOnly, references } = report;
  if (isInconsistent(report)) return [];
  const count = references.files.names.size;
  if (count === 0) return ["", "No attachment has a file."];
  const all = count === 1 ? "The one file is" : `All ${count} files are`;
  const regenerable = findings.filter((finding) => finding.regenerable).length;
  const newer = findings.length - regenerable;
  const but = [
    ...(regenerable > 0 ? [`${regenerable} that Odoo makes again`] : []),
    ...(newer > 0 ? [`${newer} that came after it`] : []),
  ].join(" and ");
  const again = but === "" ? "" : `, but for ${but}`;
  return [
    "",
    namesOnly
      ? `${all} there${again}, as long as they should be. Their content was not checked.`
      : `${all} whole${again}.`,
  ];
}

export function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** The report for programs. */
export function consistencyMessage({ report, sizes, place, source }: Consistency): object {
  const { references, ok, findings, orphans, strangers, goneMeanwhile, repairBundles } = report;
  const { database, position, files, rows, external, cloud, urls, inDatabase, empty, unknown } =
    references;
  const amounts = (map: ReadonlyMap<string, Amount>): object => Object.fromEntries(map);
  return {
    message_type: "verify",
    ok: !isInconsistent(report),
    database,
    server: place,
    source,
    position: {
      system: position.systemId,
      timeline: position.timeline,
      lsn: formatLsn(position.lsn),
      time: new Date(position.time).toISOString(),
    },
    content_checked: !report.namesOnly,
    referenced_files: files.names.size,
    rows,
    whole_files: ok.files,
    whole_bytes: ok.bytes,
    findings: findings.map(({ sha1, path, size, condition, regenerable, newer, records }) => ({
      sha1,
      path,
      ...condition,
      expected_size: size < 0 ? undefined : size,
      regenerable,
      newer,
      records,
    })),
    gone_meanwhile: goneMeanwhile,
    orphans,
    strangers,
    elsewhere: {
      cloud_storage: cloud,
      external: Object.fromEntries(external),
      urls,
      in_database: inDatabase,
      empty,
      unknown,
    },
    repair_bundles: repairBundles,
    sizes: {
      total: sizes.total,
      by_class: amounts(sizes.byClass),
      by_model: amounts(sizes.byModel),
      by_month: amounts(sizes.byMonth),
    },
  };
}
