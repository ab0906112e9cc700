// What `drill` says: what it does as it does it, and then every check with its result, the verdict last.

import type { Progress } from "../base/progress.ts";
import type { DrillReport } from "../odoo/drill.ts";
import { recoveryText, VERDICTS } from "../odoo/drill-reports.ts";
import type { Context } from "./command.ts";
import { formatAge } from "./format.ts";
import type { Output } from "./output.ts";
import { ProgressDisplay } from "./progress.ts";
import { bytesView } from "./progress-views.ts";
import { quoteUnprintable } from "./terminal-text.ts";

/** Shows the steps of a run. */
export class StepDisplay {
  readonly #context: Context;
  #display: ProgressDisplay | undefined;

  constructor(context: Context) {
    this.#context = context;
  }

  /** A step begins; its counters, where it counts something. */
  readonly begin = (what: string, counters?: Progress): void => {
    const { output, clock, settings } = this.#context;
    this.end();
    if (output.isJson) output.json({ message_type: "step", step: what });
    else output.print(`${what} …`);
    if (counters === undefined) return;
    const framesPerSecond = settings.progressFps;
    this.#display = new ProgressDisplay({
      output,
      counters,
      view: bytesView,
      clock,
      framesPerSecond,
    });
  };

  /** Takes what is shown away. */
  end(): void {
    this.#display?.stop();
    this.#display = undefined;
  }
}

/** Tells the report, and where it is kept. */
export function reportDrill(
  output: Output,
  report: DrillReport,
  kept: { readonly path: string | undefined; readonly snapshot: string | undefined },
): void {
  if (output.isJson) {
    output.json({
      message_type: "summary",
      report,
      report_file: kept.path,
      report_snapshot: kept.snapshot,
    });
    return;
  }
  const { reached, checks, files, started } = report;
  const now = Date.parse(started) / 1000;
  output.print("");
  if (reached !== null) {
    const ended = formatAge(now - Date.parse(reached.backup_ended) / 1000);
    output.print(`recovered to   ${quoteUnprintable(report.target)}, ${reached.lsn}`);
    output.print(`from           base backup ${reached.backup}, ended ${ended}`);
    output.print(`last commit    ${reached.last_commit ?? "unknown"}`);
  }
  output.print(`took           ${recoveryText(report)}`);
  if (files !== null && files.external > 0)
    output.print(`outside        ${files.external} attachments are in other stores: not checked`);
  output.print("");
  const width = Math.max(...checks.map(({ name }) => name.length));
  for (const { name, result, detail } of checks) {
    const word = result === "failed" ? "FAILED" : result;
    output.print(`${name.padEnd(width)}  ${word.padEnd(11)}  ${quoteUnprintable(detail)}`);
  }
  output.print("");
  if (kept.path !== undefined) output.print(`report: ${quoteUnprintable(kept.path)}`);
  if (kept.snapshot !== undefined) output.print(`report: snapshot ${kept.snapshot.slice(0, 8)}`);
  output.print(VERDICTS[report.verdict]);
}
