// Kubeconfig files as kubectl reads them: several of them merged (the first one to name a thing wins), a context, and from it a
// cluster and a user. Paths in a file are relative to that file. What cannot be honoured is refused in words, never ignored: a proxy
// or an old auth provider that was skipped would look like a network failure.

import { dirname, isAbsolute, join } from "node:path";
import { parseDocument } from "yaml";
import type { Clock } from "../../base/clock.ts";
import { HoldfastError } from "../../base/errors.ts";
import { fixedCredentials, type ClusterConfig, type ClusterCredentials } from "./cluster-config.ts";
import type { ClusterIo } from "./cluster-io.ts";
import { execCredentials, type ExecPlugin } from "./exec-credential.ts";
import { inClusterConfig, tokenFile } from "./in-cluster.ts";

export interface KubeconfigOptions {
  readonly io: ClusterIo;
  readonly clock: Clock;
  /** A file; otherwise those of KUBECONFIG, otherwise `~/.kube/config`. */
  readonly path?: string | undefined;
  /** A context; otherwise the current one. */
  readonly context?: string | undefined;
}

type Entry = Record<string, unknown>;

/** A named thing, and the directory of the file that names it. */
interface Named {
  readonly entry: Entry;
  readonly directory: string;
}

interface Merged {
  currentContext: string | undefined;
  readonly clusters: Map<string, Named>;
  readonly users: Map<string, Named>;
  readonly contexts: Map<string, Named>;
  /** For messages. */
  readonly files: readonly string[];
}

const WHAT_TO_DO = "See what `kubectl config view` shows, or name another file or context.";

/**
 * The cluster that is meant: the file or context that was named, that of KUBECONFIG, the one we run in, that of `~/.kube/config`.
 * Throws USAGE when there is none, and what readKubeconfig throws.
 */
export async function findCluster(options: KubeconfigOptions): Promise<ClusterConfig> {
  const { io, clock, path, context } = options;
  const isNamed =
    path !== undefined || context !== undefined || Boolean(io.environment["KUBECONFIG"]);
  const around = isNamed ? undefined : await inClusterConfig(io, clock);
  return around ?? (await readKubeconfig(options));
}

/** The cluster and user of a context. Throws USAGE, saying which file and entry, and CREDENTIALS_INVALID for plugins. */
export async function readKubeconfig(options: KubeconfigOptions): Promise<ClusterConfig> {
  const { io, clock } = options;
  const merged = await mergeFiles(options);
  const name = options.context ?? merged.currentContext;
  if (!name) {
    throw unusable(`no context is named in ${merged.files.join(", ") || "any kubeconfig"}`);
  }
  const context = named(merged, "contexts", name).entry;
  const cluster = named(merged, "clusters", text(context, "cluster") ?? "");
  const userName = text(context, "user");
  const user = userName ? named(merged, "users", userName) : undefined;
  const server = text(cluster.entry, "server");
  if (!server) throw unusable(`the cluster of context ${name} has no server`);
  if (text(cluster.entry, "proxy-url")) {
    throw unusable(
      `the cluster of context ${name} is behind a proxy (proxy-url), which is not supported`,
      "Name a server that is reached directly, or run in the cluster.",
    );
  }
  const namespace = text(context, "namespace");
  const serverName = text(cluster.entry, "tls-server-name");
  const config: ClusterConfig = {
    server,
    authorities: await material(cluster, "certificate-authority", io),
    insecure: cluster.entry["insecure-skip-tls-verify"] === true,
    ...(serverName ? { serverName } : {}),
    ...(namespace ? { namespace } : {}),
  };
  if (user === undefined) return config;
  return {
    ...config,
    credentials: await credentialsOf(user, userName!, { io, clock, cluster: config }),
    impersonate: impersonationOf(user.entry, userName!),
  };
}

async function credentialsOf(
  user: Named,
  name: string,
  { io, clock, cluster }: { io: ClusterIo; clock: Clock; cluster: ClusterConfig },
): Promise<ClusterCredentials> {
  const { entry, directory } = user;
  if (entry["auth-provider"] !== undefined) {
    throw unusable(
      `user ${name} has an auth-provider, which Kubernetes itself removed`,
      "Use an exec plugin instead, such as gke-gcloud-auth-plugin.",
    );
  }
  const certificate = await material(user, "client-certificate", io);
  const key = await material(user, "client-key", io);
  if ((certificate === undefined) !== (key === undefined)) {
    throw unusable(`user ${name} has a client certificate without a key, or a key without one`);
  }
  if (entry["exec"] !== undefined) {
    const exec = entry["exec"] as ExecPlugin;
    // A command with a path in it is relative to the file, as others are; a bare name is looked up in PATH.
    const command = exec.command?.includes("/") ? absolute(exec.command, directory) : exec.command;
    const plugin = { ...exec, ...(command === undefined ? {} : { command }) };
    return execCredentials(plugin, { io, clock, cluster });
  }
  const file = text(entry, "tokenFile");
  if (file) {
    const inner = tokenFile(absolute(file, directory), io, clock);
    return { get: async (options) => ({ ...(await inner.get(options)), certificate, key }) };
  }
  const username = text(entry, "username");
  return fixedCredentials({
    token: text(entry, "token"),
    basic: username === undefined ? undefined : `${username}:${text(entry, "password") ?? ""}`,
    certificate,
    key,
  });
}

function impersonationOf(entry: Entry, name: string): ClusterConfig["impersonate"] {
  const user = text(entry, "as");
  if (entry["as-user-extra"] !== undefined) {
    throw unusable(`user ${name} acts as somebody else with as-user-extra, which is not supported`);
  }
  if (!user) return undefined;
  const groups = entry["as-groups"];
  return {
    user,
    uid: text(entry, "as-uid"),
    groups: Array.isArray(groups) ? groups.map(String) : [],
  };
}

async function mergeFiles({ io, path }: KubeconfigOptions): Promise<Merged> {
  const fromEnvironment = io.environment["KUBECONFIG"];
  const paths =
    path !== undefined
      ? [path]
      : fromEnvironment
        ? fromEnvironment.split(":").filter((part) => part !== "")
        : [join(io.home, ".kube", "config")];
  const merged: Merged = {
    currentContext: undefined,
    clusters: new Map(),
    users: new Map(),
    contexts: new Map(),
    files: paths,
  };
  let found = 0;
  for (const file of paths) {
    const content = await io.readText(file);
    // One of several may be missing, as with kubectl.
    if (content === undefined) continue;
    found += 1;
    addFile(merged, file, content);
  }
  if (found === 0) throw unusable(`there is no kubeconfig: looked for ${paths.join(", ")}`);
  return merged;
}

function addFile(merged: Merged, file: string, content: string): void {
  const document = parseDocument(content, { prettyErrors: true });
  const problem = document.errors[0];
  if (problem !== undefined) {
    // Its first line alone: what follows quotes the file, which holds keys.
    throw unusable(`${file} is no YAML: ${problem.message.split("\n")[0]}`);
  }
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  if (value === null) return;
  if (typeof value !== "object") throw unusable(`${file} is no kubeconfig`);
  const config = value as Entry;
  merged.currentContext ??= text(config, "current-context");
  for (const [list, inner] of [
    ["clusters", "cluster"],
    ["users", "user"],
    ["contexts", "context"],
  ] as const) {
    const entries = config[list] ?? [];
    if (!Array.isArray(entries)) throw unusable(`${list} of ${file} is no list`);
    for (const item of entries as Entry[]) {
      const name = item?.["name"];
      const entry = item?.[inner];
      if (typeof name !== "string" || typeof entry !== "object") {
        throw unusable(`${list} of ${file} has an entry without name or ${inner}`);
      }
      if (!merged[list].has(name)) {
        merged[list].set(name, { entry: (entry ?? {}) as Entry, directory: dirname(file) });
      }
    }
  }
}

function named(merged: Merged, list: "clusters" | "users" | "contexts", name: string): Named {
  const found = merged[list].get(name);
  if (found !== undefined) return found;
  const known = [...merged[list].keys()].join(", ") || "none";
  throw unusable(`the kubeconfig has no ${list.slice(0, -1)} "${name}"; it has ${known}`);
}

/** PEM given as data, or in a file. Data wins, as with kubectl. */
async function material(
  { entry, directory }: Named,
  field: string,
  io: ClusterIo,
): Promise<string | undefined> {
  const data = text(entry, `${field}-data`);
  if (data) return Buffer.from(data, "base64").toString("utf8");
  const file = text(entry, field);
  if (!file) return undefined;
  const path = absolute(file, directory);
  const content = await io.readText(path);
  if (content === undefined)
    throw unusable(`${field} of the kubeconfig names ${path}: no such file`);
  return content;
}

function text(entry: Entry, field: string): string | undefined {
  const value = entry[field];
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") throw unusable(`${field} of the kubeconfig is no text`);
  return value;
}

function absolute(path: string, directory: string): string {
  return isAbsolute(path) ? path : join(directory, path);
}

function unusable(message: string, hint: string = WHAT_TO_DO): HoldfastError {
  return new HoldfastError("USAGE", message, { hint });
}
