// The source of a copy: `--from-repo` and its kin, or RESTIC_FROM_ variables, with restic's names. What is left of a command
// line, storage options and limits, holds for both repositories.

import type { Command } from "commander";
import type { Context } from "./command.ts";

export interface FromFlags {
  fromRepo?: string;
  fromRepositoryFile?: string;
  fromPasswordFile?: string;
  fromPasswordCommand?: string;
  fromKeyHint?: string;
  fromInsecureNoPassword?: boolean;
}

/** Adds the options that name the source and what opens it. */
export function addFromOptions(command: Command): void {
  command
    .option("--from-repo <location>", "source repository (default: $RESTIC_FROM_REPOSITORY)")
    .option("--from-repository-file <file>", "file that names the source repository")
    .option(
      "--from-password-file <file>",
      "file with its password (default: $RESTIC_FROM_PASSWORD_FILE)",
    )
    .option("--from-password-command <command>", "program that prints its password")
    .option("--from-key-hint <id>", "key of it to try first")
    .option("--from-insecure-no-password", "its password is empty");
}

/** The same run, about the source. */
export function sourceContext(context: Context, flags: FromFlags): Context {
  return {
    ...context,
    role: "from",
    flags: {
      repo: flags.fromRepo,
      repositoryFile: flags.fromRepositoryFile,
      passwordFile: flags.fromPasswordFile,
      passwordCommand: flags.fromPasswordCommand,
      keyHint: flags.fromKeyHint,
      insecureNoPassword: flags.fromInsecureNoPassword,
    },
  };
}

/** True when an option names a source. */
export function namesSource({ fromRepo, fromRepositoryFile }: FromFlags): boolean {
  return Boolean(fromRepo ?? fromRepositoryFile);
}
