// What `migrate volsync` tells a person: what stands in the way first, then a table with one line for each resource, then what is
// to be done. Names and texts come from a cluster and are shown as such.

import type {
  MigratedResource,
  MigrationNote,
  MigrationReport,
  MigrationVerdict,
} from "../operator/migrate-volsync.ts";
import { formatAge } from "./format.ts";
import { formatTable } from "./table.ts";
import { quoteUnprintable } from "./terminal-text.ts";

const VERDICTS: Readonly<Record<MigrationVerdict, string>> = {
  stays: "stays as it is",
  changes: "works; read on",
  fails: "FAILS",
  unsupported: "NOT SUPPORTED",
  "left-alone": "not ours",
};

const SHORT: Readonly<Record<string, string>> = {
  ReplicationSource: "source",
  ReplicationDestination: "destination",
};

/** The lines of the report. `now` in milliseconds since 1970. */
export function viewMigration(report: MigrationReport, { now }: { now: number }): string[] {
  return [
    sentence(report.resources),
    "",
    ...resourceLines(report.resources),
    ...(report.resources.length > 0 ? [""] : []),
    ...clusterLines(report, now),
    ...unreadLines(report.unread),
  ];
}

function sentence(resources: readonly MigratedResource[]): string {
  if (resources.length === 0) return "No ReplicationSource and no ReplicationDestination there.";
  const count = (...verdicts: MigrationVerdict[]): number =>
    resources.filter(({ verdict }) => verdicts.includes(verdict)).length;
  const parts = [
    `${count("stays", "changes")} of ${resources.length} resources work as they are`,
    ...(count("unsupported") > 0 ? [`${count("unsupported")} not supported`] : []),
    ...(count("fails") > 0 ? [`${count("fails")} fail until they are mended`] : []),
    ...(count("left-alone") > 0 ? [`${count("left-alone")} belong to others`] : []),
  ];
  return `${parts.join(", ")}. Nothing was changed.`;
}

function resourceLines(resources: readonly MigratedResource[]): string[] {
  if (resources.length === 0) return [];
  const title = ({ kind, name }: MigratedResource): string =>
    `${SHORT[kind] ?? kind} ${quoteUnprintable(name)}`;
  const rows = resources.map((one) => [
    quoteUnprintable(one.namespace),
    title(one),
    VERDICTS[one.verdict],
  ]);
  return [
    ...formatTable({ headers: ["Namespace", "Resource", "Verdict"], rows }),
    ...resources.flatMap((one) => [
      "",
      `${quoteUnprintable(one.namespace)}, ${title(one)}`,
      ...one.notes.flatMap(noteLines),
    ]),
  ];
}

const MARKS: Readonly<Record<MigrationNote["kind"], string>> = {
  same: "=",
  better: "+",
  change: "~",
  problem: "!",
};

function noteLines({ kind, text, fix }: MigrationNote): string[] {
  const [first = "", ...rest] = broken(quoteUnprintable(text));
  const more = fix === undefined ? rest : [...rest, ...broken(quoteUnprintable(fix))];
  return [`  ${MARKS[kind]} ${first}`, ...more.map((line) => `    ${line}`)];
}

/** What stands behind a mark, in lines that fit a terminal. */
const NOTE_WIDTH = 76;

function broken(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1) ?? ""} ${word}`;
    if (lines.length > 0 && longer.length <= NOTE_WIDTH) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

function clusterLines(
  { deployments, lease, kinds, rights }: MigrationReport,
  now: number,
): string[] {
  const lines: string[] = [];
  for (const { namespace, name, replicas, image } of deployments) {
    const where = `VolSync: Deployment ${namespace}/${name}${image === undefined ? "" : ` (${image})`}`;
    lines.push(
      replicas === 0
        ? `${where} is at rest`
        : `${where} still runs ${replicas}: set it to 0 in git before Holdfast starts`,
    );
  }
  if (deployments.length === 0) lines.push("VolSync: no Deployment of it is there");
  if (lease === undefined) lines.push("Lease: nobody holds it");
  else {
    const renewed = lease.renewed === undefined ? Number.NaN : Date.parse(lease.renewed);
    const age = Number.isNaN(renewed) ? "" : `, renewed ${formatAge((now - renewed) / 1000)}`;
    lines.push(`Lease: ${lease.namespace}, held by ${lease.holder}${age}`);
  }
  for (const { name, owner } of kinds) {
    lines.push(
      `CRD ${name}: ${owner === undefined ? "no owner says that it is its own" : `owned by ${owner}`}`,
    );
  }
  if (!rights.exists) {
    lines.push(
      `Rights: there is no service account ${rights.account} yet, so none were asked about`,
    );
  } else if (rights.missing.length === 0) {
    lines.push(`Rights: ${rights.account} has all that it needs`);
  } else {
    lines.push(`Rights that ${rights.account} lacks:`);
    for (const { right, why } of rights.missing) lines.push(`  ${right}: ${why}`);
  }
  return lines.map(quoteUnprintable);
}

function unreadLines(unread: readonly string[]): string[] {
  if (unread.length === 0) return [];
  return ["", "Not looked at:", ...unread.map((line) => `  ${quoteUnprintable(line)}`)];
}
