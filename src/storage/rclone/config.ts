// The configuration of one remote as rclone would see it: options of the location itself, then variables, then the
// configuration file. What rclone would find but we cannot tell for sure is a doubt: the caller leaves it to rclone.

import type { ConfigFile } from "./config-file.ts";
import type { RemotePath } from "./connection-string.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface RemoteOption {
  readonly value: string;
  /** Where it was found, for messages: a variable's name, "the location", "rclone's configuration". */
  readonly source: string;
}

export interface RemoteConfig {
  /** rclone's own name of the backend, or undefined when no remote of that name is configured. */
  readonly type: string | undefined;
  /** Everything that is set, also what no backend knows. */
  readonly options: ReadonlyMap<string, RemoteOption>;
  readonly path: string;
  /** Why rclone might see something else. */
  readonly doubts: readonly string[];
}

/** Names that rclone takes for the same backend, by prefix of its variables. */
const TYPE_NAMES: Readonly<Record<string, string>> = {
  "google cloud storage": "gcs",
  googlecloudstorage: "gcs",
};

/** The prefix of a backend's variables for the name in `type`: "gcs" for Google Cloud Storage. */
export function backendOf(type: string): string {
  return TYPE_NAMES[type] ?? type;
}

/** What is configured for the remote of `remote`. */
export function remoteConfig(remote: RemotePath, env: Environment, file: ConfigFile): RemoteConfig {
  const { name = "local", parameters, path } = remote;
  const ofRemote = remoteVariables(name, env);
  const section = file.sections.get(name);
  const doubts: string[] = [];
  // A name that the file may hold too, in a part that we cannot read.
  if (file.unreadable !== undefined && remote.name !== undefined && !name.startsWith(":")) {
    doubts.push(file.unreadable);
  }
  const type =
    remote.name === undefined
      ? "local"
      : name.startsWith(":")
        ? name.slice(1)
        : (parameters.get("type") ?? ofRemote.get("type")?.value ?? section?.get("type"));
  const options = new Map<string, RemoteOption>();
  for (const [option, value] of section ?? []) {
    if (value !== "") options.set(option, { value, source: "rclone's configuration" });
  }
  for (const [option, found] of ofRemote) options.set(option, found);
  if (type !== undefined) {
    for (const [option, found] of backendVariables(backendOf(type), env)) {
      const other = ofRemote.get(option);
      // Which of the two wins has not always been the same.
      if (other !== undefined && other.value !== found.value) {
        doubts.push(`${found.source} and ${other.source} differ`);
      }
      options.set(option, found);
    }
  }
  for (const [option, value] of parameters) options.set(option, { value, source: "the location" });
  options.delete("type");
  return { type: type === undefined ? undefined : backendOf(type), options, path, doubts };
}

/** RCLONE_CONFIG_<REMOTE>_<OPTION>, but for what belongs to a remote with a longer name. */
function remoteVariables(name: string, env: Environment): Map<string, RemoteOption> {
  const prefix = `RCLONE_CONFIG_${name.toUpperCase()}_`;
  const longer = Object.keys(env).filter(
    (key) => key.startsWith(prefix) && key.endsWith("_TYPE") && key.length > prefix.length + 5,
  );
  const others = longer.map((key) => key.slice(0, -"TYPE".length));
  const found = variables(prefix, env);
  for (const [option, { source }] of found) {
    if (others.some((other) => source.startsWith(other))) found.delete(option);
  }
  return found;
}

/** RCLONE_<BACKEND>_<OPTION>. */
function backendVariables(backend: string, env: Environment): Map<string, RemoteOption> {
  const prefix = `RCLONE_${backend.toUpperCase().replaceAll("-", "_")}_`;
  return prefix === "RCLONE_CONFIG_" ? new Map<string, RemoteOption>() : variables(prefix, env);
}

function variables(prefix: string, env: Environment): Map<string, RemoteOption> {
  const found = new Map<string, RemoteOption>();
  for (const [key, value] of Object.entries(env)) {
    if (value === undefined || !key.startsWith(prefix) || key.length === prefix.length) continue;
    found.set(key.slice(prefix.length).toLowerCase(), { value, source: key });
  }
  return found;
}
