// How rclone is used: the options of the command line, some of them restic's.

import { parseDuration } from "../../base/duration.ts";
import { HoldfastError } from "../../base/errors.ts";
import { splitWords } from "../../base/shell-words.ts";
import type { BackendContext } from "../backend.ts";
import { connectionsOf } from "../option-values.ts";

const ARGS_DEFAULT = "serve restic --stdio --b2-hard-delete";
const TIMEOUT_DEFAULT = "1m";
/** As restic's: each upload costs rclone up to 16 MiB of memory. */
export const RCLONE_CONNECTIONS = 5;

export const RCLONE_OPTIONS: Readonly<Record<string, string>> = {
  native: "auto reaches plain remotes without rclone; always and never insist",
  program: "the program to run, with arguments in front of the others (rclone)",
  args: `its arguments (${ARGS_DEFAULT})`,
  connections: `requests at once (${RCLONE_CONNECTIONS} through rclone)`,
  timeout: `how long rclone may take to start (${TIMEOUT_DEFAULT})`,
};

export interface RcloneSettings {
  readonly native: "auto" | "always" | "never";
  /** Program and arguments, without the remote. */
  readonly command: readonly [program: string, ...args: string[]];
  /** Options that only an rclone can obey, when they were given. */
  readonly insisted: readonly string[];
  readonly connections: number | undefined;
  /** Milliseconds. */
  readonly timeout: number;
}

/** USAGE for values that make no sense. */
export function rcloneSettings({ option }: BackendContext): RcloneSettings {
  const native = option("rclone.native") ?? "auto";
  if (native !== "auto" && native !== "always" && native !== "never") {
    throw new HoldfastError("USAGE", `rclone.native: "${native}" is none of auto, always, never`);
  }
  const program = splitWords(option("rclone.program") ?? "rclone", "rclone.program");
  const args = splitWords(option("rclone.args") ?? ARGS_DEFAULT, "rclone.args");
  return {
    native,
    command: [...program, ...args],
    insisted: ["rclone.program", "rclone.args"].filter((name) => option(name) !== undefined),
    connections: connectionsOf(option("rclone.connections"), "rclone.connections"),
    timeout: parseDuration(option("rclone.timeout") ?? TIMEOUT_DEFAULT, "rclone.timeout"),
  };
}
