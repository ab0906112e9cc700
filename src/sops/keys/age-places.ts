// Where age identities are looked for: every place that SOPS knows, all of them and not the first that exists. A command
// is run without a shell and told the recipient; of it only the program's name is ever shown.

import { posix, win32 } from "node:path";
import { errnoOf, isHoldfastError } from "../../base/errors.ts";
import { splitWords } from "../../base/shell-words.ts";
import type { KeyContext } from "../key-source.ts";
import { once } from "./memory.ts";

export type Platform = "linux" | "darwin" | "win32";

export interface IdentityPlace {
  /** For people: the variable or the file. */
  readonly name: string;
  /** What lines are counted in. */
  readonly file: string;
  /** The text, or why there is none. */
  readonly read: () => Promise<Uint8Array | string>;
}

/** All places for identities that could open what is wrapped for `recipient`, those of X25519 keys first. */
export function identityPlaces(
  recipient: string,
  context: KeyContext,
  platform: Platform,
): IdentityPlace[] {
  const { env } = context;
  const path = platform === "win32" ? win32 : posix;
  const home = env["HOME"] || (platform === "win32" ? env["USERPROFILE"] : undefined) || undefined;
  const ssh = (name: string): string | undefined => home && path.join(home, ".ssh", name);
  const config = configFolder(env, platform, home);
  return [
    inVariable("SOPS_AGE_KEY", context),
    namedFile("SOPS_AGE_KEY_FILE", context),
    atPath(config && path.join(config, "sops", "age", "keys.txt"), "sops/age/keys.txt", context),
    fromCommand("SOPS_AGE_KEY_CMD", recipient, context),
    namedFile("SOPS_AGE_SSH_PRIVATE_KEY_FILE", context),
    fromCommand("SOPS_AGE_SSH_PRIVATE_KEY_CMD", recipient, context),
    atPath(ssh("id_ed25519"), "~/.ssh/id_ed25519", context),
    atPath(ssh("id_rsa"), "~/.ssh/id_rsa", context),
  ];
}

function configFolder(
  env: KeyContext["env"],
  platform: Platform,
  home: string | undefined,
): string | undefined {
  if (platform === "win32") return env["APPDATA"] || env["AppData"] || undefined;
  if (env["XDG_CONFIG_HOME"]) return env["XDG_CONFIG_HOME"];
  const below = platform === "darwin" ? ["Library", "Application Support"] : [".config"];
  return home && posix.join(home, ...below);
}

function inVariable(name: string, { env }: KeyContext): IdentityPlace {
  const value = env[name];
  const found = value ? Buffer.from(value) : "not set";
  return { name, file: name, read: () => Promise.resolve(found) };
}

function namedFile(variable: string, context: KeyContext): IdentityPlace {
  const path = context.env[variable];
  if (!path) return { name: variable, file: variable, read: () => Promise.resolve("not set") };
  return { ...atPath(path, variable, context), name: `${variable} (${path})` };
}

function atPath(path: string | undefined, otherwise: string, context: KeyContext): IdentityPlace {
  if (path === undefined) {
    const read = (): Promise<string> => Promise.resolve("no home directory is known");
    return { name: otherwise, file: otherwise, read };
  }
  const read = async (): Promise<Uint8Array | string> =>
    (await context.readFile(path)) ?? "missing";
  return { name: path, file: path, read };
}

function fromCommand(variable: string, recipient: string, context: KeyContext): IdentityPlace {
  const command = context.env[variable];
  const read = async (): Promise<Uint8Array | string> => {
    if (!command) return "not set";
    let words: [program: string, ...args: string[]];
    try {
      words = splitWords(command, variable);
    } catch (error) {
      if (!isHoldfastError(error, "USAGE")) throw error;
      return "no command, or a quote that is not closed";
    }
    const [program, ...args] = words;
    const env = { ...context.env, SOPS_AGE_RECIPIENT: recipient };
    const { status, stdout } = await context
      .run(program, args, undefined, env)
      .catch((error: unknown) => {
        // As a shell says it; "missing" would be taken for a missing key.
        if (errnoOf(error) !== "ENOENT") throw error;
        return { status: 127, stdout: new Uint8Array() };
      });
    if (status === 127) return "there is no such program";
    if (status !== 0) return `the command ended with status ${status}`;
    return stdout.length > 0 ? stdout : "the command printed nothing";
  };
  const text = (): Promise<Uint8Array | string> => once(context, `${variable} ${recipient}`, read);
  return { name: variable, file: variable, read: text };
}
