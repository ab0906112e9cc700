// The options that every command takes, and the ways to spell options that restic's users know and commander does not.

import { Option } from "commander";
import type { Command } from "commander";
import type { GlobalFlags } from "./environment.ts";
import type { RepositoryFlags } from "./repository-source.ts";
import type { SecretFlags } from "./secret-variables.ts";

/** Options that every command takes, as commander names them. */
export interface GlobalOptions extends GlobalFlags, RepositoryFlags, SecretFlags {
  json?: boolean;
  quiet?: boolean;
  verbose: number;
}

/** Adds the options that may stand before and behind every verb. */
export function addGlobalOptions(program: Command): void {
  program
    .option("-r, --repo <location>", "repository (default: $RESTIC_REPOSITORY)")
    .option("--repository-file <file>", "file that names the repository")
    .option("-p, --password-file <file>", "file with the password (default: $RESTIC_PASSWORD_FILE)")
    .option("--password-command <command>", "program that prints the password")
    .option("--from-secret <file>", "variables of a Secret or .env file, SOPS or plain", collect)
    .option(
      "--secret <name=source>",
      "variable from sops:FILE#PATH, env:, file:, command:",
      collect,
    )
    .option("--sops-keys <place>", "Flux's decryption Secret: manifest or folder of its entries")
    .option("--key-hint <id>", "key to try first")
    .option("--insecure-no-password", "the password is empty")
    .option("--cache-dir <folder>", "folder of caches")
    .option("--no-cache", "use no cache")
    .option("--compression <mode>", "auto, off, fastest, better or max")
    .option("--pack-size <MiB>", "size of packs, 4 to 128 (default: 16)")
    .option("--json", "print messages as JSON, one a line")
    .option("-q, --quiet", "print no progress and no reports")
    .option("-v, --verbose", "print more; -vv names every file", (_, level) => level + 1, 0)
    .option("--no-lock", "do not lock the repository (reading commands only)")
    .option("--retry-lock <duration>", "wait this long for a lock, such as 5m")
    .option("--no-extra-verify", "do not check data once more before it is stored")
    .option("-o, --option <key=value>", "option of a storage, such as gs.kms-key=…", collect)
    .option("--limit-upload <KiB/s>", "send no faster than this")
    .option("--limit-download <KiB/s>", "receive no faster than this")
    .option("--cacert <file>", "authorities to trust, PEM (default: $RESTIC_CACERT)", collect)
    .option("--tls-client-cert <file>", "certificate and key to show to servers, PEM")
    .option("--insecure-tls", "trust any certificate")
    .option("--http-user-agent <text>", "how to introduce the program to servers")
    .option("--stuck-request-timeout <time>", "give silent requests up after this (default: 5m)")
    // Old caches are harmless; whoever asks for their removal need not be refused.
    .addOption(new Option("--cleanup-cache").hideHelp());
}

function collect(value: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), value];
}

/** What restic renamed and still takes. */
const OLD_NAMES: Readonly<Record<string, string>> = { "--hostname": "--host" };

/**
 * The words in commander's spelling: `-r=x` becomes `-r x`, `--json=true` becomes `--json`, `--verbose=2` becomes
 * `--verbose --verbose`. Values and what follows `--` are left alone. `commands` are those whose options can occur.
 */
export function respell(words: readonly string[], commands: readonly Command[]): string[] {
  const options = commands.flatMap((command) => command.options);
  const find = (flag: string): Option | undefined =>
    options.find(({ short, long }) => short === flag || long === flag);
  const spelled: string[] = [];
  let isValue = false;
  for (const [at, word] of words.entries()) {
    if (word === "--" && !isValue) return [...spelled, ...words.slice(at)];
    const [, typed = word, value] = /^(-\w|--[\w-]+)=(.*)$/s.exec(word) ?? [];
    const flag: string = isValue || find(typed) ? typed : (OLD_NAMES[typed] ?? typed);
    const option: Option | undefined = isValue ? undefined : find(flag);
    isValue = option?.required === true && value === undefined;
    if (option === undefined) spelled.push(word);
    else if (value === undefined) spelled.push(flag);
    else if (option.required)
      spelled.push(...(flag === option.short ? [flag, value] : [`${flag}=${value}`]));
    else if (flag === "-v" || flag === "--verbose") spelled.push(...repeated(flag, value, word));
    else spelled.push(...(isTrue(value) ? [flag] : isFalse(value) ? [] : [word]));
  }
  return spelled;
}

function repeated(flag: string, count: string, word: string): string[] {
  // What is no small number stays as it is, to be refused by name.
  return /^\d$/.test(count) ? Array.from({ length: Number(count) }, () => flag) : [word];
}

function isTrue(value: string): boolean {
  return ["true", "1", "t", "T", "TRUE", "True"].includes(value);
}

function isFalse(value: string): boolean {
  return ["false", "0", "f", "F", "FALSE", "False"].includes(value);
}
