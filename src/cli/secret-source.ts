// `--secret NAME=SOURCE`: one variable, and where its value is: a value of a SOPS file, another variable, a file, or what a
// program prints. What stands on the command line may be a secret that was typed in the wrong place, and values are secrets:
// no message repeats either.

import { isUtf8 } from "node:buffer";
import { HoldfastError, errnoOf, messageOf } from "../base/errors.ts";
import { splitWords } from "../base/shell-words.ts";
import { decodeTextFile } from "../base/text-file.ts";
import { nodeAt, parsePath } from "../sops/decrypt.ts";
import { VARIABLE_NAME } from "../sops/manifest.ts";
import type { Environment } from "./environment.ts";
import type { SecretIo } from "./repository-source.ts";
import type { OpenedFile } from "./sops-file.ts";

/** Files that secrets are in. */
export interface SecretFiles {
  read(file: string): Promise<Uint8Array>;
  /** Opens a SOPS file. */
  open(file: string): Promise<OpenedFile>;
}

/** What sources may use. */
export interface SecretMeans {
  readonly files: SecretFiles;
  readonly io: SecretIo;
  /** The variables so far. */
  readonly environment: Environment;
}

export interface NamedSecret {
  /** The variable that gets the value. */
  readonly name: string;
  readonly read: (means: SecretMeans) => Promise<string>;
}

/** The value as it is kept. */
type Read = (means: SecretMeans) => Promise<Uint8Array>;
/** How a kind of source understands what follows its name; `option` is for messages. */
type Kind = (rest: string, option: string) => Read;

const KINDS: ReadonlyMap<string, Kind> = new Map([
  ["sops", inSopsFile],
  ["env", inVariable],
  ["file", inFile],
  ["command", ofCommand],
]);

const SOURCES = "sops:FILE#PATH, env:NAME, file:PATH or command:WORDS";

/** Understands one `NAME=SOURCE`. USAGE when there is no sense in it. */
export function parseSecret(given: string): NamedSecret {
  const cut = given.indexOf("=");
  if (cut === -1)
    throw usage("--secret: there is no = in it", `Give NAME=SOURCE, with ${SOURCES}.`);
  const name = given.slice(0, cut);
  if (!VARIABLE_NAME.test(name)) {
    throw usage(
      "--secret: what stands before the = is no name of a variable",
      "Letters, digits and _ make a name, such as RESTIC_PASSWORD.",
    );
  }
  const option = `--secret ${name}`;
  const [, word = "", rest = ""] = /^([a-z]+):(.*)$/s.exec(given.slice(cut + 1)) ?? [];
  const kind = KINDS.get(word);
  if (kind === undefined) {
    throw usage(
      `${option}: no known kind of source`,
      `Give ${SOURCES}; a secret itself does not belong on a command line, where others can read it.`,
    );
  }
  if (rest === "") throw usage(`${option}: nothing follows ${word}:`, `Give ${SOURCES}.`);
  const read = kind(rest, option);
  return { name, read: async (means) => textOf(await read(means), option) };
}

function inSopsFile(rest: string, option: string): Read {
  const cut = rest.indexOf("#");
  const [file, path] = [rest.slice(0, cut), rest.slice(cut + 1)];
  if (cut < 1 || path === "") {
    throw usage(
      `${option}: sops: wants a file and a path into it`,
      "Write it like sops:secret.enc.yaml#stringData.RESTIC_PASSWORD.",
    );
  }
  const steps = parsePath(path);
  return async ({ files }) => {
    const { decrypted } = await files.open(file);
    const node = nodeAt(decrypted.roots, steps);
    if (node === undefined) {
      throw usage(
        `${option}: ${file} has nothing at ${path}`,
        "Paths are those of the decrypted file: holdfast secrets decrypt shows it.",
      );
    }
    const value = node.kind === "leaf" ? node.value : undefined;
    // A number is not kept as it was typed: 0644 is 420.
    if (value?.type === "str" || value?.type === "bytes") return value.bytes;
    throw usage(
      `${option}: what ${file} has at ${path} is no text`,
      "Name a single value; one that looks like a number must stand in quotes.",
    );
  };
}

function inVariable(other: string, option: string): Read {
  if (!VARIABLE_NAME.test(other)) throw usage(`${option}: env: wants the name of a variable`);
  return ({ environment }) => {
    const value = environment[other];
    if (value === undefined) throw usage(`${option}: the variable ${other} is not set`);
    return Promise.resolve(Buffer.from(value));
  };
}

function inFile(path: string, option: string): Read {
  return async ({ io }) => {
    const content = await io.readFile(path).catch((error: unknown) => {
      const why =
        errnoOf(error) === "ENOENT" ? "does not exist" : `cannot be read: ${messageOf(error)}`;
      throw usage(`${option}: ${path} ${why}`);
    });
    return withoutLineEnd(Buffer.from(decodeTextFile(content), "latin1"));
  };
}

function ofCommand(command: string, option: string): Read {
  const [program, ...args] = splitWords(command, option);
  return async ({ io }) => {
    const printed = await io.run(program, args).catch((error: unknown) => {
      throw usage(`${option}: ${program} failed: ${messageOf(error)}`);
    });
    return withoutLineEnd(Buffer.from(printed));
  };
}

/** `bytes` without the line end that editors and programs leave last. */
function withoutLineEnd(bytes: Buffer): Buffer {
  const [last, before] = [bytes.at(-1), bytes.at(-2)];
  if (last !== 0x0a) return bytes;
  return bytes.subarray(0, before === 0x0d ? -2 : -1);
}

/** The value as a variable can hold it. */
function textOf(bytes: Uint8Array, option: string): string {
  if (bytes.length === 0) throw usage(`${option}: the value is empty`);
  if (!isUtf8(bytes)) throw usage(`${option}: the value is not UTF-8 text`);
  if (bytes.includes(0)) throw usage(`${option}: the value has a NUL, which no variable can hold`);
  return Buffer.from(bytes).toString("utf8");
}

function usage(message: string, hint?: string): HoldfastError {
  return new HoldfastError("USAGE", message, hint === undefined ? {} : { hint });
}
