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

/** Runs the command that `words` name; resolves with the exit status. */
export async function runProgram(words: readonly string[]): Promise<number> {
  let help = "";
  try {
    const call = await parse(words, (text) => (help += text));
    if (call !== undefined) return await runCall(call);
  } catch (error) {
    const output = createOutput({ json: words.includes("--json") });
    return reportFailure(asUsage(error, words), output);
  }
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
    status = silent ? EXIT.failed : reportFailure(error, output);
  } finally {
    output.flush();
    await closers.close();
    stop.end();
    await output.settle();
  }
  if (!stops || !unread.signal.aborted) return status;
  return errnoOf(unread.signal.reason) === "EPIPE" ? EXIT.unread : EXIT.failed;
}

/** The command that was typed; undefined when help or the version was asked for, which `print` gets. */
async function parse(
  words: readonly string[],
  print: (text: string) => void,
): Promise<Call | undefined> {
  const calls: Call[] = [];
  const program = createProgram(print);
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
    if (words.includes(name)) await addCommand(command, await load(), { words, add });
  }
  if (words.length === 0) {
    program.outputHelp();
    return undefined;
  }
  try {
    await program.parseAsync(respell(words, loaded), { from: "user" });
  } catch (error) {
    // Help and version are printed by now.
    const isAnswer = error instanceof CommanderError && /help|version/.test(error.code);
    if (!isAnswer) throw error;
  }
  return calls[0];
}

async function addCommand(
  command: Command,
  loaded: CommandModule | CommandFamily,
  { words, add }: { words: readonly string[]; add: (to: Command, module: CommandModule) => void },
): Promise<void> {
  if (!("members" in loaded)) {
    add(command, loaded);
    return;
  }
  for (const { name, summary, load } of loaded.members) {
    const member = command.command(name).description(summary);
    if (words.includes(name)) add(member, await load());
  }
}

function createProgram(print: (text: string) => void): Command {
  const program = new Command("holdfast");
  addGlobalOptions(program);
  return (
    program
      .description("Backs directories up into restic repositories, and brings them back.")
      .version(PROGRAM_VERSION, "-V, --version")
      .helpCommand("help [command]", "Explain a command")
      .showSuggestionAfterError()
      .exitOverride()
      .configureHelp({ optionDescription: describeOption })
      // Errors are told by reportError, in one form.
      .configureOutput({ writeOut: print, writeErr: print, outputError: () => {} })
      .addHelpText("afterAll", `\nExit statuses:\n${exitStatuses()}`)
  );
}

/** Without the default of options that may be repeated: it says nothing. */
function describeOption(this: Help, option: Option): string {
  if (Array.isArray(option.defaultValue)) return option.description;
  return Help.prototype.optionDescription.call(this, option);
}

function exitStatuses(): string {
  return EXIT_MEANINGS.map(([status, meaning]) => `  ${String(status).padEnd(4)} ${meaning}`).join(
    "\n",
  );
}

/** What commander complains about, as one of our errors. */
function asUsage(error: unknown, words: readonly string[]): unknown {
  if (!(error instanceof CommanderError)) return error;
  // What was given too much may be a secret that was typed in the wrong place.
  const message = error.message.replace(/( but got \d+): .*/s, "$1");
  const [what = "", suggestion] = message.replace(/^error: /, "").split("\n");
  const verb = words.find((word) => COMMANDS.some(({ name }) => name === word));
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

function reportFailure(error: unknown, output: Output): number {
  return reportError(error, output, { debug: (process.env["HOLDFAST_DEBUG"] || "0") !== "0" });
}
