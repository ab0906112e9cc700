// `mover log`: what the pod that outlives a mover does. It prints the log that it was given and, where that does not end with it,
// the verdict, and ends well whatever they say: the pod itself did not fail.

import { VARIABLE } from "../../operator/mover-variables.ts";
import type { MoverVerdict } from "../../operator/mover-verdict.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { verdictLines } from "../mover-verdict.ts";
import { harmless } from "../terminal-text.ts";

export const moverLogCommand: CommandModule = {
  configure(command) {
    command.addHelpText(
      "after",
      `
The log is in HOLDFAST_LOG, the verdict as JSON in HOLDFAST_VERDICT: docs/operations/mover.md.`,
    );
  },

  async run({ environment, output }) {
    const log = (environment[VARIABLE.log] ?? "").trimEnd();
    if (log !== "") for (const line of log.split("\n")) output.print(harmless(line));
    const verdict = readVerdict(environment[VARIABLE.verdict]);
    const lines = verdict === undefined ? [] : verdictLines(verdict);
    if (!log.endsWith(lines.join("\n"))) for (const line of lines) output.print(harmless(line));
    return await Promise.resolve(EXIT.ok);
  },
};

function readVerdict(text: string | undefined): MoverVerdict | undefined {
  if (!text) return undefined;
  try {
    return JSON.parse(text) as MoverVerdict;
  } catch {
    return undefined;
  }
}
