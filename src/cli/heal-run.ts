// `recover --heal`: what is missing or damaged in a live filestore, and with --yes put back out of the repository and its
// captures.

import { HoldfastError } from "../base/errors.ts";
import { Progress } from "../base/progress.ts";
import { findDamage, heal, type Damage, type DamagedFile, type HealReport } from "../odoo/heal.ts";
import { openPool } from "../odoo/pool.ts";
import { Sha1Set } from "../odoo/sha1-set.ts";
import type { Connection } from "../postgres/connection.ts";
import type { Context } from "./command.ts";
import { openNamedConnection } from "./database-option.ts";
import { EXIT } from "./exit-status.ts";
import { requireFilestore } from "./instance-options.ts";
import { openInstance } from "./instance-session.ts";
import { ProgressDisplay } from "./progress.ts";
import { countView } from "./progress-views.ts";
import { requireHealAlone, type RecoverFlags } from "./recover-options.ts";
import { quoteUnprintable } from "./terminal-text.ts";

const NAMES_SHOWN = 20;

/** Heals, or shows what would be healed. Throws ODOO_INCONSISTENT when something stays as it is. */
export async function healFilestore(context: Context, flags: RecoverFlags): Promise<number> {
  const { output, clock, random, settings, cores } = context;
  requireHealAlone(flags);
  const apply = flags.yes === true && flags.dryRun !== true;
  const folder = requireFilestore(context, flags);
  const connection = await connectionOf(context, flags);
  await using instance = await openInstance(context, flags, { lock: "read" });
  const { repository, captures, signal } = instance;
  const progress = new Progress();
  const display = new ProgressDisplay({
    output,
    counters: progress,
    view: countView("files"),
    clock,
    framesPerSecond: settings.progressFps,
  });
  let damage: Damage;
  try {
    damage = await findDamage({ folder, connection, threads: cores, progress, signal });
  } catch (error) {
    display.stop("failed");
    throw error;
  }
  display.stop("done");
  const wanted = new Sha1Set(damage.files.length);
  for (const { sha1 } of damage.files) wanted.add(sha1);
  const full = { repository, kind: "snapshots" as const };
  const pool = await openPool({
    sources: captures === undefined ? [full] : [{ repository: captures, kind: "captures" }, full],
    wanted,
    onDamage: (what, error) => output.warn(`damaged: ${quoteUnprintable(what)}: ${error.message}`),
    signal,
  });
  const report = await heal({ folder, damage, pool, apply, now: clock.now(), random, signal });
  if (output.isJson) output.json(message(folder, { damage, report, apply }));
  else for (const line of lines(folder, { damage, report, apply })) output.print(line);
  requireHealed(report, apply);
  return EXIT.ok;
}

/** The live database; undefined when none is named: then files are compared with their names. */
async function connectionOf(
  context: Context,
  flags: RecoverFlags,
): Promise<Connection | undefined> {
  const { environment, output } = context;
  const isNamed = [flags.dbname, environment["HOLDFAST_DATABASE"], environment["PGDATABASE"]].some(
    (value) => value !== undefined && value !== "",
  );
  if (isNamed) return await openNamedConnection(context, flags);
  output.warn(
    "no database is named: files with a wrong content are looked for, and what is missing is not known (-d, or HOLDFAST_DATABASE)",
  );
  return undefined;
}

interface Healed {
  readonly damage: Damage;
  readonly report: HealReport;
  readonly apply: boolean;
}

function lines(folder: string, { damage, report, apply }: Healed): string[] {
  const { healed, lost, regenerable, refused, rightMeanwhile, replaced } = report;
  const listed = (
    title: string,
    files: readonly (DamagedFile & { reason?: string })[],
  ): string[] =>
    files.length === 0
      ? []
      : [
          `  ${title}`,
          ...files.slice(0, NAMES_SHOWN).map((file) => `    ${fileText(file)}`),
          ...(files.length > NAMES_SHOWN ? [`    and ${files.length - NAMES_SHOWN} more`] : []),
        ];
  const verb = apply ? "put back" : "could be put back";
  return [
    `${quoteUnprintable(folder)}: ${count(damage.ok, "file")} right, ${damage.files.length} not`,
    ...listed(`${count(healed.length, "file")} ${verb}:`, healed),
    ...listed(`${count(lost.length, "file")} LOST: no good copy in any snapshot or capture`, lost),
    ...listed(`${count(refused.length, "file")} left alone:`, refused),
    ...listed(
      `${count(regenerable.length, "bundle")} that Odoo makes again (\`holdfast verify\` has the SQL):`,
      regenerable,
    ),
    ...(rightMeanwhile > 0 ? [`  ${count(rightMeanwhile, "file")} right by now`] : []),
    ...(replaced === undefined ? [] : [`  what was replaced is in ${quoteUnprintable(replaced)}`]),
    ...(!apply && healed.length > 0 ? ["nothing was changed: run it again with --yes"] : []),
  ];
}

function fileText({ path, condition, records, reason }: DamagedFile & { reason?: string }): string {
  const [first] = records;
  const model = first?.res_model;
  const where = model ? `, ${model}${first.res_id === null ? "" : ` ${first.res_id}`}` : "";
  const record = first === undefined ? "" : `  ${first.name.slice(0, 80)}${where}`;
  return `${quoteUnprintable(path)}  ${reason ?? condition.state}${quoteUnprintable(record)}`;
}

function message(folder: string, { damage, report, apply }: Healed): object {
  const listOf = (files: readonly DamagedFile[]): object[] =>
    files.map(({ sha1, path, condition, records }) => ({
      sha1,
      path,
      state: condition.state,
      attachments: records,
    }));
  return {
    message_type: "summary",
    filestore: folder,
    applied: apply,
    knows_missing: damage.knowsMissing,
    right: damage.ok,
    healed: listOf(report.healed),
    lost: listOf(report.lost),
    refused: report.refused.map(({ sha1, path, reason }) => ({ sha1, path, reason })),
    regenerable: listOf(report.regenerable),
    right_meanwhile: report.rightMeanwhile,
    replaced: report.replaced ?? null,
  };
}

function requireHealed({ healed, lost, refused }: HealReport, apply: boolean): void {
  const open = lost.length + refused.length + (apply ? 0 : healed.length);
  if (open === 0) return;
  throw new HoldfastError(
    "ODOO_INCONSISTENT",
    `${count(open, "file")} of the filestore ${open === 1 ? "is" : "are"} missing or damaged${apply ? " still" : ""}`,
    {
      hint:
        apply || healed.length === 0
          ? "What is lost has no good copy in this repository: look in others, or ask whoever sent the documents."
          : `${count(healed.length, "file")} can be put back: run it again with --yes.`,
    },
  );
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
