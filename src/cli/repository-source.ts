// Where the repository is and what opens it: from flags, or else from variables, with restic's names and rules.
// RESTIC_REPOSITORY, RESTIC_REPOSITORY_FILE, RESTIC_PASSWORD, RESTIC_PASSWORD_FILE, RESTIC_PASSWORD_COMMAND and
// RESTIC_KEY_HINT; with FROM_ behind the first word for the source of a copy; HOLDFAST_ beats RESTIC_.
// Passwords are never printed, not even in part.

import { HoldfastError, errnoOf, messageOf } from "../base/errors.ts";
import { splitWords } from "../base/shell-words.ts";
import { decodeTextFile, trimByteString } from "../base/text-file.ts";
import { byteStringToText, isUtf8 } from "../restic/byte-string.ts";
import { lookUp } from "./environment.ts";
import type { Environment } from "./environment.ts";

/** Flags about one repository, without the prefix "from-". */
export interface RepositoryFlags {
  repo?: string | undefined;
  repositoryFile?: string | undefined;
  passwordFile?: string | undefined;
  passwordCommand?: string | undefined;
  keyHint?: string | undefined;
  insecureNoPassword?: boolean | undefined;
}

export type PasswordSource =
  | { readonly kind: "given"; readonly password: string }
  | { readonly kind: "file"; readonly name: string; readonly source: string }
  | {
      readonly kind: "command";
      readonly words: readonly [string, ...string[]];
      readonly source: string;
    }
  /** The empty password, on purpose. */
  | { readonly kind: "none" }
  /** Ask the person, or read a line of stdin. */
  | { readonly kind: "ask" };

export interface RepositorySource {
  readonly location: { readonly text: string } | { readonly file: string; readonly source: string };
  readonly password: PasswordSource;
  readonly keyHint: string | undefined;
}

export interface SecretIo {
  readFile(name: string): Promise<Uint8Array>;
  /** Runs a program without a shell; what it wrote to stdout. */
  run(program: string, args: readonly string[]): Promise<Uint8Array>;
  /** Asks the person at the terminal, without showing the answer; undefined without a terminal. */
  readonly ask: ((prompt: string) => Promise<string>) | undefined;
  /** The first line of stdin. */
  readLine(): Promise<string>;
  /** All of stdin; at most `limit` bytes, or USAGE. */
  readAll(limit: number): Promise<Buffer>;
}

/** Which repository flags and variables are about: the usual one, or the source of a copy. */
export type RepositoryRole = "main" | "from";

/** Decides where location and password come from. Throws USAGE when that is unclear. */
export function findRepositorySource(
  flags: RepositoryFlags,
  environment: Environment,
  role: RepositoryRole = "main",
): RepositorySource {
  const infix = role === "from" ? "FROM_" : "";
  const variables = preferOwn(environment, infix);
  const option = (name: string): string => `--${role === "from" ? "from-" : ""}${name}`;
  return {
    location: findLocation(flags, variables, option, role),
    password: findPassword(flags, variables, option),
    keyHint: flags.keyHint ?? variables("KEY_HINT")?.value,
  };
}

type LookUp = (name: string) => { value: string; source: string } | undefined;

/** Variables that say the same thing in different ways: when one is set as HOLDFAST_, the RESTIC_ ones do not count. */
const ALTERNATIVES: readonly (readonly string[])[] = [
  ["REPOSITORY", "REPOSITORY_FILE"],
  ["PASSWORD", "PASSWORD_FILE", "PASSWORD_COMMAND"],
];

/** The variables that say what `name` says in another way, or under the other prefix. */
export function otherWays(name: string): string[] {
  const [, infix = "", word] = /^(?:RESTIC|HOLDFAST)_(FROM_)?(\w+)$/.exec(name) ?? [];
  if (word === undefined) return [];
  const group = ALTERNATIVES.find((names) => names.includes(word)) ?? [word];
  return ["RESTIC_", "HOLDFAST_"]
    .flatMap((prefix) => group.map((each) => prefix + infix + each))
    .filter((other) => other !== name);
}

function preferOwn(environment: Environment, infix: string): LookUp {
  return (name) => {
    const group = ALTERNATIVES.find((names) => names.includes(name)) ?? [name];
    const own = group.some((each) => environment[`HOLDFAST_${infix}${each}`]);
    const choice = lookUp(environment, infix + name);
    return own && choice?.source.startsWith("RESTIC_") ? undefined : choice;
  };
}

function findLocation(
  flags: RepositoryFlags,
  variables: LookUp,
  option: (name: string) => string,
  role: RepositoryRole,
): RepositorySource["location"] {
  const { repo, repositoryFile } = flags;
  const fromFlags = repo !== undefined || repositoryFile !== undefined;
  const text = fromFlags
    ? repo && { value: repo, source: option("repo") }
    : variables("REPOSITORY");
  const file = fromFlags
    ? repositoryFile && { value: repositoryFile, source: option("repository-file") }
    : variables("REPOSITORY_FILE");
  if (text && file) throw exclusive(text.source, file.source);
  if (text) return { text: text.value };
  if (file) return { file: file.value, source: file.source };
  const [what, variable] =
    role === "from"
      ? ["a source repository location (--from-repo or --from-repository-file)", "FROM_REPOSITORY"]
      : ["repository location (-r or --repository-file)", "REPOSITORY"];
  throw new HoldfastError("USAGE", `Please specify ${what}`, {
    hint: `Use ${option("repo")}, ${option("repository-file")} or the variable RESTIC_${variable}.`,
  });
}

function findPassword(
  flags: RepositoryFlags,
  variables: LookUp,
  option: (name: string) => string,
): PasswordSource {
  const { passwordFile, passwordCommand } = flags;
  const fromFlags = passwordFile !== undefined || passwordCommand !== undefined;
  const file = fromFlags
    ? passwordFile && { value: passwordFile, source: option("password-file") }
    : variables("PASSWORD_FILE");
  const command = fromFlags
    ? passwordCommand && { value: passwordCommand, source: option("password-command") }
    : variables("PASSWORD_COMMAND");
  const given = fromFlags ? undefined : variables("PASSWORD");
  if (file && command) throw exclusive(file.source, command.source);
  if (flags.insecureNoPassword) {
    const source = (file || command || given)?.source;
    if (source !== undefined) throw exclusive(option("insecure-no-password"), source);
    return { kind: "none" };
  }
  if (command) {
    const { source } = command;
    return { kind: "command", words: splitWords(command.value, source), source };
  }
  if (file) return { kind: "file", name: file.value, source: file.source };
  return given ? { kind: "given", password: given.value } : { kind: "ask" };
}

function exclusive(one: string, other: string): HoldfastError {
  return new HoldfastError(
    "USAGE",
    `${one} and ${other} are mutually exclusive, please specify only one`,
  );
}

/** The location of the repository, from its file if need be. */
export async function readLocation(source: RepositorySource, io: SecretIo): Promise<string> {
  const { location } = source;
  if ("text" in location) return location.text;
  const text = await readSecretFile(location.file, location.source, io);
  if (text !== "") return text;
  throw new HoldfastError("USAGE", `${location.source}: ${location.file} names no repository`);
}

/** A password, and whether a person typed it and may try again. */
export interface Password {
  readonly password: string;
  readonly asked: boolean;
}

/** The password that opens the repository. Throws USAGE when there is none. */
export async function readPassword(
  source: PasswordSource,
  io: SecretIo,
  prompt = "enter password for repository: ",
): Promise<Password> {
  if (source.kind === "given") return { password: source.password, asked: false };
  if (source.kind === "none") return { password: "", asked: false };
  if (source.kind === "ask") {
    const password = io.ask ? await io.ask(prompt) : await io.readLine();
    return { password: refuseEmpty(password), asked: io.ask !== undefined };
  }
  const password =
    source.kind === "file"
      ? await readSecretFile(source.name, source.source, io)
      : await readCommand(source.words, source.source, io);
  return { password: refuseEmpty(password), asked: false };
}

/** A password for a new repository or key: a person types it twice. */
export async function readNewPassword(
  source: PasswordSource,
  io: SecretIo,
  prompt = "enter password for new repository: ",
): Promise<string> {
  const first = await readPassword(source, io, prompt);
  if (!first.asked) return first.password;
  const second = await readPassword(source, io, "enter password again: ");
  if (first.password === second.password) return first.password;
  throw new HoldfastError("USAGE", "passwords do not match");
}

function refuseEmpty(password: string): string {
  if (password !== "") return password;
  throw new HoldfastError("USAGE", "an empty password is not allowed by default", {
    hint: "Set RESTIC_PASSWORD or RESTIC_PASSWORD_FILE, or pass --insecure-no-password to do without.",
  });
}

/** Text of a file without byte order mark and the white space around it. */
async function readSecretFile(name: string, source: string, io: SecretIo): Promise<string> {
  let content: Uint8Array;
  try {
    content = await io.readFile(name);
  } catch (error) {
    const why =
      errnoOf(error) === "ENOENT" ? "does not exist" : `cannot be read: ${messageOf(error)}`;
    throw new HoldfastError("USAGE", `${source}: ${name} ${why}`, { cause: error });
  }
  return toText(decodeTextFile(content), `${source}: ${name}`);
}

async function readCommand(
  [program, ...args]: readonly [string, ...string[]],
  source: string,
  io: SecretIo,
): Promise<string> {
  const output = await io.run(program, args).catch((error: unknown) => {
    throw new HoldfastError("USAGE", `${source}: ${program} failed: ${messageOf(error)}`, {
      cause: error,
    });
  });
  return toText(Buffer.from(output).toString("latin1"), `${source}: what ${program} printed`);
}

function toText(bytes: string, what: string): string {
  const trimmed = trimByteString(bytes);
  if (isUtf8(trimmed)) return byteStringToText(trimmed);
  throw new HoldfastError("USAGE", `${what} is not UTF-8 text`);
}
