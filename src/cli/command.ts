// What a command of the program is, and what it is given. A command reads nothing of the process itself.

import type { Command } from "commander";
import type { Clock, Random } from "../base/clock.ts";
import type { Machine } from "../repository/repository.ts";
import type { Meter } from "../storage/meter.ts";
import type { Closers } from "./closers.ts";
import type { Environment, Settings } from "./environment.ts";
import type { Output } from "./output.ts";
import type { RepositoryFlags, RepositoryRole, SecretIo } from "./repository-source.ts";

/** One run of the program. */
export interface Context {
  output: Output;
  clock: Clock;
  random: Random;
  machine: Machine;
  /** Current directory, a byte string. */
  cwd: string;
  /** Threads that this machine runs at once. */
  cores: number;
  settings: Settings;
  /** Which repository, and how to open it. */
  flags: RepositoryFlags;
  /** Whether `flags` and variables are about the usual repository, or about the source of a copy. */
  role?: RepositoryRole;
  environment: Environment;
  /** Counts what is asked of storages. */
  meter: Meter;
  secrets: SecretIo;
  /** Takes what is to be closed when the run ends. */
  closers: Closers;
  /** Aborts when the program is asked to stop, or when nobody reads what a reading command prints. */
  signal: AbortSignal;
  /** Leaves SIGINT to a program that has the terminal, until the result is called. */
  leaveInterrupts(): () => void;
}

/** A verb of the command line. */
export interface CommandModule {
  /** Adds arguments, options and examples. */
  configure(command: Command): void;
  /** Does the work; resolves with the exit status. */
  run(context: Context, parameters: string[], options: Record<string, unknown>): Promise<number>;
  /**
   * True for a command whose whole work is what it prints: it ends when its reader goes away. Any other goes on, because
   * a backup must not fail for the sake of its report.
   */
  readonly stopsWithReader?: boolean;
  /** Every failure, also of the words on the command line, has at least this exit status. */
  readonly failsFrom?: number;
}

/** A verb that has verbs of its own and does nothing by itself. */
export interface CommandFamily {
  readonly members: readonly CommandMember[];
  /** As of a command: for words that are none of its members. */
  readonly failsFrom?: number;
}

export interface CommandMember {
  readonly name: string;
  readonly summary: string;
  load(): Promise<CommandModule>;
}
