// Parses the command line, runs one command and turns what it ends with into an exit status.

import { availableParallelism } from "node:os";
import { Command, CommanderError, Help } from "commander";
import type { Option } from "commander";
import { systemClock, systemRandom } from "../base/clock.ts";
import { HoldfastError, errnoOf } from "../base/errors.ts";
import { textToByteString } from "../restic/byte-string.ts";
import { Meter } from "../storage/meter.ts";
import { Closers } from "./closers.ts";
import type { CommandFamily, CommandModule, Context } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { readSettings } from "./environment.ts";
import type { Environment } from "./environment.ts";
import { reportError } from "./errors.ts";
import { MOVER_EXIT } from "../operator/mover-variables.ts";
import { EXIT, EXIT_MEANINGS } from "./exit-status.ts";
import { addGlobalOptions, respell } from "./global-options.ts";
import type { GlobalOptions } from "./global-options.ts";
import { thisMachine } from "./machine.ts";
import { Output } from "./output.ts";
import type { OutputOptions, Verbosity } from "./output.ts";
import { createSecretIo } from "./secret-input.ts";
import { tellCost } from "./storage-cost.ts";
import { fileStream } from "./file-stream.ts";
import { onStopSignals } from "./signals.ts";
import { PROGRAM_VERSION } from "./version.ts";

/** A command as it was typed, ready to run. */
interface Call {
  module: CommandModule;
  parameters: string[];
  options: Record<string, unknown>;
  globals: GlobalOptions;
}

/** What becomes known of the words before they are understood. */
interface Parsing {
  /** What was asked for: help, or the version. */
  help: string;
  /** Least exit status, as the command that was typed wants it. */
  failsFrom: number | undefined;
  /** The member of a family that was typed: "pg expire". */
  member: string | undefined;
}

/** Runs the command that `words` name; resolves with the exit status. */
export async function runProgram(typed: readonly string[]): Promise<number> {
  const words = renamed(typed);
  const parsing: Parsing = { help: "", failsFrom: undefined, member: undefined };
  try {
    const call = await parse(words, parsing);
    if (call !== undefined) return await runCall(call);
  } catch (error) {
    const output = createOutput({ json: words.includes("--json") });
    return reportFailure(
      asUsage(error, parsing.member ?? verbOf(words)),
      output,
      parsing.failsFrom,
    );
  }
  const { help } = parsing;
  const output = createOutput({});
  output.raw(Buffer.from(help));
  output.flush();
  return EXIT.ok;
}

async function runCall(call: Call): Promise<number> {
  const { module, parameters, options, globals } = call;
  const stop = onStopSignals();
  const unread = new AbortController();
  const output = createOutput({
    verbosity: globals.quiet === true ? 0 : (Math.min(3, 1 + globals.verbose) as Verbosity),
    json: globals.json === true,
    onBroken: (error) => unread.abort(error),
  });
  const stops = module.stopsWithReader === true;
  const closers = new Closers(systemClock);
  const signal = stops ? AbortSignal.any([stop.signal, unread.signal]) : stop.signal;
  let status: number;
  try {
    const { leaveInterrupts } = stop;
    const context = await createFullContext(call, { output, signal, closers, leaveInterrupts });
    status = await module.run(context, parameters, options);
    tellCost(context);
  } catch (error) {
    const silent = stops && unread.signal.aborted;
    status = silent ? EXIT.failed : reportFailure(error, output, module.failsFrom);
  } finally {
    output.flush();
    await closers.close();
    stop.end();
    await output.settle();
  }
  if (!stops || !unread.signal.aborted) return status;
  return errnoOf(unread.signal.reason) === "EPIPE" ? EXIT.unread : EXIT.failed;
}

/** The command that was typed; undefined when help or the version was asked for, which is in `parsing` then. */
async function parse(words: readonly string[], parsing: Parsing): Promise<Call | undefined> {
  const calls: Call[] = [];
  const program = createProgram((text) => (parsing.help += text));
  const loaded = [program];
  const add = (command: Command, module: CommandModule): void => {
    module.configure(command);
    command.addHelpText("after", "\nOptions that every command takes: holdfast help");
    loaded.push(command);
    command.action((...parameters: unknown[]) => {
      const texts = parameters.slice(0, -2).flat() as (string | undefined)[];
      const given = texts.filter((text) => text !== undefined);
      const globals = program.opts<GlobalOptions>();
      calls.push({ module, parameters: given, options: command.opts(), globals });
    });
  };
  for (const { name, summary, load } of COMMANDS) {
    const command = program.command(name).description(summary);
    // Only those whose name was typed are loaded.
    if (!words.includes(name)) continue;
    const isVerb = name === verbOf(words);
    const addTo = { words, add, ...(isVerb && { parsing }) };
    await addCommand(command, await load(), addTo);
  }
  if (words.length === 0) {
    program.outputHelp();
    return undefined;
  }
  try {
    await program.parseAsync(respell(asked(words), loaded), { from: "user" });
  } catch (error) {
    // Help and version are printed by now.
    const isAnswer = error instanceof CommanderError && /help|version/.test(error.code);
    if (!isAnswer) throw error;
  }
  return calls[0];
}

/** With the name that `rebuild-index` has today: restic still takes the old one. */
function renamed(words: readonly string[]): readonly string[] {
  const at = words.indexOf("rebuild-index");
  if (at < 0 || verbOf(words) !== undefined) return words;
  return [...words.slice(0, at), "repair", "index", ...words.slice(at + 1)];
}

/** `help pg expire` is `pg expire --help`: commander's own help knows the family alone. */
function asked(words: readonly string[]): readonly string[] {
  const [help, family, member] = words;
  return help === "help" && family !== undefined && member !== undefined
    ? [family, member, "--help"]
    : words;
}

interface AddTo {
  words: readonly string[];
  add: (to: Command, module: CommandModule) => void;
  /** For the command that was typed; others are loaded because a word is spelt as they are. */
  parsing?: Parsing;
}

async function addCommand(
  command: Command,
  loaded: CommandModule | CommandFamily,
  { words, add, parsing }: AddTo,
): Promise<void> {
  if (parsing) parsing.failsFrom = loaded.failsFrom;
  if (!("members" in loaded)) {
    add(command, loaded);
    return;
  }
  for (const { name, summary, load } of loaded.members) {
    const member = command.command(name).description(summary);
    if (!words.includes(name)) continue;
    const module = await load();
    if (parsing) {
      parsing.failsFrom = module.failsFrom;
      parsing.member = `${command.name()} ${name}`;
    }
    add(member, module);
  }
}

function createProgram(print: (text: string) => void): Command {
  const program = new Command("holdfast");
  addGlobalOptions(program);
  return (
    program
      .description(
        "Brings Odoo's database and filestore back to the same moment, out of Barman archives and restic repositories.",
      )
      .version(PROGRAM_VERSION, "-V, --version")
      .helpCommand("help [command]", "Explain a command")
      .showSuggestionAfterError()
      .exitOverride()
      .configureHelp({ optionDescription: describeOption })
      // Errors are told by reportError, in one form.
      .configureOutput({ writeOut: print, writeErr: print, outputError: () => {} })
      .addHelpText("afterAll", ({ command }) => `\nExit statuses:\n${exitStatuses(command)}`)
  );
}

/** Without the default of options that may be repeated: it says nothing. */
function describeOption(this: Help, option: Option): string {
  if (Array.isArray(option.defaultValue)) return option.description;
  return Help.prototype.optionDescription.call(this, option);
}

/** Statuses that only one family of commands ends with; the others are not told of them. */
const STATUSES_OF: Readonly<Record<string, readonly number[]>> = {
  secrets: [25, 51, 128, 200, 203],
  pg: [126, 127],
  "": [141],
};

/** What the Job of a mover goes by. */
const MOVER_STATUSES: readonly (readonly [number, string])[] = [
  [MOVER_EXIT.ok, "done; the last lines of the log say what to look at"],
  [MOVER_EXIT.again, "failed, and trying again may help: the Job does"],
  [MOVER_EXIT.ended, "failed, and trying again the same way does not help: the Job ends"],
];

/** All of them for the program, and those of one command for that. */
function exitStatuses(command: Command): string {
  let top = command;
  while (top.parent?.parent) top = top.parent;
  const line = ([status, meaning]: readonly [number, string]): string =>
    `  ${String(status).padEnd(4)} ${meaning}`;
  if (top.name() === "mover") return MOVER_STATUSES.map(line).join("\n");
  const foreign =
    top.parent === null
      ? []
      : Object.entries(STATUSES_OF).flatMap(([name, own]) => (name === top.name() ? [] : own));
  return EXIT_MEANINGS.filter(([status]) => !foreign.includes(status))
    .map(line)
    .join("\n");
}

/** The first word that is the name of a command. */
function verbOf(words: readonly string[]): string | undefined {
  return words.find((word) => COMMANDS.some(({ name }) => name === word));
}

/** What commander complains about, as one of our errors. `verb`: the command that was typed, as far as it is known. */
function asUsage(error: unknown, verb: string | undefined): unknown {
  if (!(error instanceof CommanderError)) return error;
  // What was given too much may be a secret that was typed in the wrong place.
  const message = error.message.replace(/( but got \d+): .*/s, "$1");
  const [what = "", suggestion] = message.replace(/^error: /, "").split("\n");
  const see = `See \`holdfast help${verb === undefined ? "" : ` ${verb}`}\`.`;
  const guess = suggestion === undefined ? "" : `${suggestion.replace(/^\(|\)$/g, "")} `;
  return new HoldfastError("USAGE", what, { hint: guess + see });
}

function createOutput(options: Partial<OutputOptions>): Output {
  const canRedraw = process.env["TERM"] !== "dumb";
  const stdout = fileStream(1) ?? process.stdout;
  return new Output({ stdout, stderr: process.stderr, canRedraw, ...options });
}

type RunOfCall = Pick<Context, "output" | "signal" | "closers" | "leaveInterrupts">;

/** With what `--from-secret` and `--secret` bring over the variables of the process. */
async function createFullContext(call: Call, run: RunOfCall): Promise<Context> {
  const context = createContext(call, process.env, run);
  const { fromSecret, secret } = call.globals;
  if (fromSecret === undefined && secret === undefined) return context;
  const { withSecrets } = await import("./secret-variables.ts");
  return createContext(call, await withSecrets(context, call.globals), run);
}

function createContext(
  { globals, options }: Call,
  environment: Environment,
  run: RunOfCall,
): Context {
  const { host, readConcurrency } = options;
  const settings = readSettings(
    {
      ...globals,
      host: typeof host === "string" ? host : undefined,
      readConcurrency: readConcurrency as string | undefined,
    },
    environment,
  );
  return {
    ...run,
    clock: systemClock,
    random: systemRandom,
    machine: thisMachine(),
    cwd: textToByteString(process.cwd()),
    cores: availableParallelism(),
    settings,
    flags: globals,
    environment,
    meter: new Meter(),
    // Looking at process.stdin makes it non-blocking. src/files/file-reader.ts is prepared for that, and a read that blocks
    // could not be stopped.
    secrets: createSecretIo(process.stdin, process.stderr),
  };
}

function reportFailure(error: unknown, output: Output, failsFrom: number | undefined): number {
  const debug = (process.env["HOLDFAST_DEBUG"] || "0") !== "0";
  return reportError(error, output, { debug, failsFrom });
}
