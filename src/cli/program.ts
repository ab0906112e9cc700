// Parses the command line, runs one command and turns what it ends with into an exit status.

import { availableParallelism, hostname, userInfo } from "node:os";
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { systemClock, systemRandom } from "../base/clock.ts";
import { HoldfastError } from "../base/errors.ts";
import { textToByteString } from "../restic/byte-string.ts";
import type { Machine } from "../repository/repository.ts";
import type { CommandModule, Context } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import type { CommandEntry } from "./commands.ts";
import { readSettings } from "./environment.ts";
import type { GlobalFlags } from "./environment.ts";
import { reportError } from "./errors.ts";
import { EXIT, EXIT_MEANINGS } from "./exit-status.ts";
import { Output } from "./output.ts";
import type { Verbosity } from "./output.ts";
import type { RepositoryFlags } from "./repository-source.ts";
import { createSecretIo } from "./secret-input.ts";
import { onStopSignals } from "./signals.ts";
import { PROGRAM_VERSION } from "./version.ts";

/** Options that every command takes, as commander names them. */
interface GlobalOptions extends GlobalFlags, RepositoryFlags {
  json?: boolean;
  quiet?: boolean;
  verbose: number;
}

/** Runs the command that `words` name; resolves with the exit status. */
export async function runProgram(words: readonly string[]): Promise<number> {
  const plain = new Output({ stdout: process.stdout, stderr: process.stderr });
  const stop = onStopSignals();
  let status: number = EXIT.ok;
  let output = plain;
  const program = createProgram(async (module, parameters, options, globals) => {
    const controller = new AbortController();
    output = createOutput(globals, controller);
    const signal = AbortSignal.any([stop.signal, controller.signal]);
    const context = createContext(globals, options, output, signal);
    status = await module.run(context, parameters, options);
  });
  try {
    await addCommands(program, words);
    await program.parseAsync(words, { from: "user" });
  } catch (error) {
    status = reportFailure(error, output, words);
  } finally {
    stop.end();
    output.flush();
  }
  return status;
}

type Run = (
  module: CommandModule,
  parameters: string[],
  options: Record<string, unknown>,
  globals: GlobalOptions,
) => Promise<void>;

interface Program extends Command {
  runCommand?: Run;
}

function createProgram(run: Run): Program {
  const program: Program = new Command("holdfast");
  const count = (_: string, before: number): number => before + 1;
  const level = (value: string | boolean, before: number): number =>
    typeof value === "string" && /^\d+$/.test(value) ? Number(value) : count("", before);
  program
    .description(
      "Backups of files in the restic format, as its own commands and options make them.",
    )
    .option("-r, --repo <location>", "repository (default: $RESTIC_REPOSITORY)")
    .option("--repository-file <file>", "file that names the repository")
    .option("-p, --password-file <file>", "file with the password (default: $RESTIC_PASSWORD_FILE)")
    .option("--password-command <command>", "program that prints the password")
    .option("--key-hint <id>", "key to try first")
    .option("--insecure-no-password", "the password is empty")
    .option("--cache-dir <folder>", "folder of caches")
    .option("--no-cache", "use no cache")
    .option("--compression <mode>", "auto, off, fastest, better or max")
    .option("--pack-size <MiB>", "size of packs, 4 to 128 (default: 16)")
    .option("--json", "print messages as JSON, one a line")
    .option("-q, --quiet", "print no progress and no reports")
    .option("-v, --verbose [level]", "print more; -vv names every file", level, 0)
    .option("--no-lock", "do not lock the repository (reading commands only)")
    .option("--retry-lock <duration>", "wait this long for a lock, such as 5m")
    .option("--no-extra-verify", "do not check data once more before it is stored")
    .version(PROGRAM_VERSION, "-V, --version")
    .helpCommand("help [command]", "Explain a command")
    .showSuggestionAfterError()
    .exitOverride()
    .addHelpText("after", `\nExit statuses:\n${exitStatuses()}`);
  program.runCommand = run;
  return program;
}

function exitStatuses(): string {
  return EXIT_MEANINGS.map(([status, meaning]) => `  ${String(status).padEnd(4)} ${meaning}`).join(
    "\n",
  );
}

/** Adds all commands; only those whose name was typed are loaded. */
async function addCommands(program: Program, words: readonly string[]): Promise<void> {
  for (const entry of COMMANDS) {
    const command = program.command(entry.name).description(entry.summary).exitOverride();
    if (words.includes(entry.name)) await configure(program, command, entry);
  }
}

async function configure(program: Program, command: Command, entry: CommandEntry): Promise<void> {
  const module = await entry.load();
  module.configure(command);
  command.action(async (...parameters: unknown[]) => {
    const texts = parameters.slice(0, -2).flat() as (string | undefined)[];
    const given = texts.filter((text) => text !== undefined);
    await program.runCommand!(module, given, command.opts(), program.opts<GlobalOptions>());
  });
}

function createOutput(globals: GlobalOptions, controller: AbortController): Output {
  const verbosity = globals.quiet === true ? 0 : Math.min(3, 1 + globals.verbose);
  return new Output({
    stdout: process.stdout,
    stderr: process.stderr,
    verbosity: verbosity as Verbosity,
    json: globals.json === true,
    canRedraw: process.env["TERM"] !== "dumb",
    // A reader of data that went away wants no more of it.
    onBroken: () => controller.abort(),
  });
}

function createContext(
  globals: GlobalOptions,
  options: Record<string, unknown>,
  output: Output,
  signal: AbortSignal,
): Context {
  const environment = process.env;
  const settings = readSettings(
    {
      ...globals,
      host: typeof options["host"] === "string" ? options["host"] : undefined,
      readConcurrency: options["readConcurrency"] as string | undefined,
    },
    environment,
  );
  return {
    output,
    clock: systemClock,
    random: systemRandom,
    machine: thisMachine(),
    cwd: textToByteString(process.cwd()),
    cores: availableParallelism(),
    settings,
    flags: globals,
    environment,
    secrets: createSecretIo(process.stdin, process.stderr),
    signal,
  };
}

function thisMachine(): Machine {
  const { uid, gid } = userInfo();
  return {
    clock: systemClock,
    random: systemRandom,
    hostname: hostname(),
    username: userName(),
    uid,
    gid,
    pid: process.pid,
    isAlive: (pid) => {
      try {
        process.kill(pid, 0);
        return true;
      } catch (error) {
        // Somebody else's process is alive, too.
        return (error as { code?: string }).code === "EPERM";
      }
    },
  };
}

/** A container may run under a number that no name belongs to. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return process.env["USER"] ?? "";
  }
}

function reportFailure(error: unknown, output: Output, words: readonly string[]): number {
  const debug = (process.env["HOLDFAST_DEBUG"] ?? "") !== "";
  if (!(error instanceof CommanderError)) return reportError(error, output, { debug });
  // Help and version were printed by commander itself.
  if (error.exitCode === 0) return EXIT.ok;
  if (words.length === 0) return EXIT.failed;
  if (!words.includes("--json") && !(error instanceof InvalidArgumentError)) return EXIT.failed;
  return reportError(new HoldfastError("USAGE", error.message), output, { debug });
}
