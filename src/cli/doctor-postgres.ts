// `doctor postgres`: what a server lets us do, line by line, with the statement that mends what is missing.

import { examineServer } from "../postgres/examination.ts";
import type { Examination, Finding, Outcome } from "../postgres/examination.ts";
import type { CommandModule } from "./command.ts";
import { addDatabaseOptions, namedDatabase } from "./database-option.ts";
import type { DatabaseFlags } from "./database-option.ts";
import { EXIT } from "./exit-status.ts";
import { formatTable } from "./table.ts";
import { quoteUnprintable } from "./terminal-text.ts";

interface Flags extends DatabaseFlags {
  slot?: string;
}

const WORDS: Readonly<Record<Outcome, string>> = {
  ok: "ok",
  limited: "limited",
  failed: "FAILED",
  unknown: "unknown",
};

export const doctorPostgres: CommandModule = {
  configure(command) {
    addDatabaseOptions(command);
    command.option("--slot <name>", "also look at this replication slot").addHelpText(
      "after",
      `
Examples:
  holdfast doctor postgres -d 'host=db1 user=holdfast dbname=odoo'
  PGHOST=db1 PGUSER=holdfast PGDATABASE=odoo holdfast doctor postgres --slot holdfast

Connects twice, for SQL and for replication, looks, and changes nothing. What is missing is told with the statement that
mends it; docs/operations/postgres-roles.md says what each is for. The status is 1 when something failed that backups need.`,
    );
  },

  async run(context, _, options) {
    const flags = options as Flags;
    const { output, signal } = context;
    const settings = await namedDatabase(context, flags);
    const found = await examineServer({ settings, slot: flags.slot, signal });
    const isWell = found.findings.every(({ outcome }) => outcome !== "failed");
    if (output.isJson) {
      output.json({ message_type: "postgres", ok: isWell, ...found });
    } else {
      for (const line of describe(found)) output.data(line);
      output.data("");
      output.data(isWell ? "Backups can be made." : "Backups cannot be made like this: see above.");
    }
    return isWell ? EXIT.ok : EXIT.failed;
  },
};

function describe({ place, version, role, systemId, findings }: Examination): string[] {
  const what = version === undefined ? "" : `: version ${version}, ${role}`;
  const cluster = systemId === undefined ? "" : `, cluster ${systemId}`;
  const rows = findings.map(({ name, outcome, value }) => [
    quoteUnprintable(name),
    WORDS[outcome],
    quoteUnprintable(value),
  ]);
  return [
    quoteUnprintable(`PostgreSQL at ${place}${what}${cluster}`),
    "",
    ...formatTable({ headers: ["What", "Result", "Found"], rows }),
    ...hints(findings),
  ];
}

function hints(findings: readonly Finding[]): string[] {
  const lines = findings.flatMap(({ name, hint }) =>
    hint === undefined ? [] : ["", `${quoteUnprintable(name)}:`, `  ${quoteUnprintable(hint)}`],
  );
  return lines;
}
