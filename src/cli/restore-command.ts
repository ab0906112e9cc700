// The restore_command of a restored server: this program's `pg wal-fetch`, with the archive that was restored from. It is
// written into a file and shown by the server to everybody, so no credential may stand in it.

import { redactLocation } from "../storage/location.ts";

export interface CommandParts {
  /** Path of the program. */
  readonly program: string;
  /** As it was given; a path of this machine is absolute. */
  readonly location: string;
  readonly server: string;
  /** Options of storages: namespace.name, value. */
  readonly options: ReadonlyMap<string, string>;
}

/** Options of storages whose values are secrets. */
const SECRET = /(?:secret|token|password|key-id|credential)/i;

/**
 * The command, and what the server's environment has to bring because it must not stand there.
 */
export function restoreCommand(parts: CommandParts): { command: string; variables: string[] } {
  const { program, location, server, options } = parts;
  const words = [program, "pg", "wal-fetch"];
  const variables: string[] = [];
  if (redactLocation(location) === location) words.push("--archive", location);
  else variables.push("HOLDFAST_ARCHIVE");
  words.push("--server", server);
  for (const [name, value] of options) {
    if (!isSecret(name, value)) words.push("-o", `${name}=${value}`);
    else variables.push(`HOLDFAST_${name.replace(/\W/g, "_").toUpperCase()}`);
  }
  return { command: `${words.map(shellWord).join(" ")} %f %p`, variables };
}

/** True for what may hold a credential: an address with a password, arguments for rclone such as `--sftp-pass`. */
function isSecret(name: string, value: string): boolean {
  const isTold = /^rclone\.(?:args|program)$/.test(name) && /pass|secret|token|key/i.test(value);
  return SECRET.test(name) || isTold || redactLocation(value) !== value;
}

/** A word for the shell, inside a setting in which PostgreSQL replaces what follows a percent sign. */
function shellWord(word: string): string {
  const plain = /^[\w@+=:,./-]+$/.test(word);
  return (plain ? word : `'${word.replaceAll("'", `'\\''`)}'`).replaceAll("%", "%%");
}
