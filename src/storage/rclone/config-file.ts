// rclone's configuration file: where it is, and its sections. It may be encrypted or use what only rclone's own reader
// understands; then this one says so instead of guessing. It is never written.

import { readFile } from "node:fs/promises";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { errnoOf, messageOf } from "../../base/errors.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export type ConfigSections = ReadonlyMap<string, ReadonlyMap<string, string>>;

export interface ConfigFile {
  readonly sections: ConfigSections;
  /** Why only rclone can read it. */
  readonly unreadable?: string;
}

const EMPTY: ConfigSections = new Map();

/** Reads the file that rclone would read; one that does not exist is empty. */
export async function readConfigFile(env: Environment): Promise<ConfigFile> {
  const path = configFileOf(env);
  if (path === undefined) return { sections: EMPTY };
  try {
    return parseConfigFile(await readFile(path, "utf8"));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return { sections: EMPTY };
    return { sections: EMPTY, unreadable: `its configuration file: ${messageOf(error)}` };
  }
}

/** Where rclone looks: the variable, beside its program, XDG_CONFIG_HOME, ~/.config, ~/.rclone.conf. */
export function configFileOf(env: Environment): string | undefined {
  const { RCLONE_CONFIG: named, XDG_CONFIG_HOME: xdg, HOME: home, PATH: path } = env;
  if (named !== undefined) {
    return named === "" || named === "/dev/null" || /(?:^|\/)notfound$/.test(named)
      ? undefined
      : named;
  }
  const program = path?.split(delimiter).find((folder) => isReadable(join(folder, "rclone")));
  const candidates = [
    program && join(program, "rclone.conf"),
    xdg && join(xdg, "rclone", "rclone.conf"),
    home && join(home, ".config", "rclone", "rclone.conf"),
    home && join(home, ".rclone.conf"),
  ];
  return candidates.find((candidate): candidate is string => !!candidate && isReadable(candidate));
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.F_OK);
    return true;
  } catch {
    return false;
  }
}

/** The sections of a file's text. */
export function parseConfigFile(text: string): ConfigFile {
  const sections = new Map<string, Map<string, string>>();
  const fail = (unreadable: string): ConfigFile => ({ sections: EMPTY, unreadable });
  let section: Map<string, string> | undefined;
  let first = true;
  for (const raw of text.replace(/^\ufeff/, "").split("\n")) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#") || line.startsWith(";")) continue;
    if (first && line.startsWith("RCLONE_ENCRYPT_V")) return fail("its configuration is encrypted");
    first = false;
    const name = /^\[(.*)\]$/.exec(line)?.[1]?.trim();
    if (name !== undefined) {
      section = sections.get(name) ?? new Map<string, string>();
      sections.set(name, section);
      continue;
    }
    const [, key = "", value = ""] = /^([^=:]+)[=:](.*)$/s.exec(line) ?? [];
    if (key === "") return fail("its configuration has a line that is no option");
    // References to other options, and quotes that only rclone's reader takes away.
    if (value.includes("%(") || value.includes("`")) {
      return fail(`option ${key.trim()} in its configuration refers to others`);
    }
    section?.set(key.trim(), value.trim());
  }
  return { sections };
}
