// Scripts that show the program from outside: commands as a person types them, what they print and how they end. One file
// test/cli/*.txt is one story in one temporary folder.
//
//   # comment
//   @ repository NAME [PASSWORD]   a repository whose key costs no time
//   @ lock NAME exclusive|shared   a lock of a living program on another machine
//   @ needs PEER                   skips the script where that program is missing
//   $ COMMAND                      run by sh; what follows is its stdout, line for line
//   ! LINE                         a line of its stderr
//   = STATUS                       its exit status, when that is not 0
//
// In expected lines <id>, <short>, <time>, <instant>, <number> and <size> stand for what they say, <any> for anything,
// <folder> for the temporary folder; a line "..." stands for any lines. Every run is also held to what must never be: a
// stack trace, or with --json a line that is not one of restic's messages.

export interface ScriptCommand {
  readonly kind: "command";
  readonly line: number;
  readonly text: string;
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
  readonly status: number;
}

export interface ScriptDirective {
  readonly kind: "repository" | "lock" | "needs";
  readonly line: number;
  readonly words: readonly string[];
}

export type ScriptStep = ScriptCommand | ScriptDirective;

/** The steps of a script. Throws for a line that makes no sense. */
export function parseScript(text: string): ScriptStep[] {
  const steps: ScriptStep[] = [];
  let command: (ScriptCommand & { stdout: string[]; stderr: string[]; status: number }) | undefined;
  let continued = false;
  for (const [index, content] of text.split("\n").entries()) {
    const line = index + 1;
    if (continued && command !== undefined) {
      command = replaceText(steps, command, `${command.text.slice(0, -1)}${content.trim()}`);
      continued = content.endsWith("\\");
    } else if (content.startsWith("$ ")) {
      command = {
        kind: "command",
        line,
        text: content.slice(2),
        stdout: [],
        stderr: [],
        status: 0,
      };
      steps.push(command);
      continued = content.endsWith("\\");
    } else if (content.startsWith("@ ")) {
      const [kind = "", ...words] = content.slice(2).split(" ");
      if (!isDirective(kind)) throw new Error(`line ${line}: what is "@ ${kind}"?`);
      steps.push({ kind, line, words });
      command = undefined;
    } else if (content.startsWith("#")) {
      command = undefined;
    } else if (command === undefined) {
      if (content !== "") throw new Error(`line ${line} belongs to no command`);
    } else if (content.startsWith("! ")) {
      command.stderr.push(content.slice(2));
    } else if (content.startsWith("= ")) {
      command.status = Number(content.slice(2));
    } else {
      command.stdout.push(content);
    }
  }
  for (const step of steps) if (step.kind === "command") trimEnd(step.stdout as string[]);
  return steps;
}

function replaceText<T extends ScriptCommand>(steps: ScriptStep[], command: T, text: string): T {
  const longer = { ...command, text };
  steps[steps.length - 1] = longer;
  return longer;
}

function isDirective(kind: string): kind is ScriptDirective["kind"] {
  return kind === "repository" || kind === "lock" || kind === "needs";
}

/** Empty lines between commands are for the reader. */
function trimEnd(lines: string[]): void {
  while (lines.at(-1) === "") lines.pop();
}

const WILDCARDS: Readonly<Record<string, string>> = {
  any: ".*",
  id: "[0-9a-f]{64}",
  short: "[0-9a-f]{8}",
  time: "\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d",
  instant: "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?(?:Z|[+-]\\d\\d:\\d\\d)",
  number: "\\d+",
  size: "\\d+(?:\\.\\d{3} [KMGT]iB| B)",
};

/** True when `actual` is what the expected lines describe. */
export function matchesLines(expected: readonly string[], actual: readonly string[]): boolean {
  const [first, ...rest] = expected;
  if (first === undefined) return actual.length === 0;
  if (first === "...") {
    return actual.some((_, at) => matchesLines(rest, actual.slice(at))) || matchesLines(rest, []);
  }
  return actual.length > 0 && matchesLine(first, actual[0]!) && matchesLines(rest, actual.slice(1));
}

function matchesLine(expected: string, actual: string): boolean {
  const source = expected
    .split(/(<\w+>)/)
    .map((part) => WILDCARDS[part.slice(1, -1)] ?? part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"))
    .join("");
  return new RegExp(`^${source}$`, "s").test(actual);
}

/** The lines of an output, without the end of the last one. */
export function linesOf(output: string): string[] {
  const lines = output.split("\n");
  if (lines.at(-1) === "") lines.pop();
  trimEnd(lines);
  return lines;
}
