// Which remotes of rclone are reached without rclone: those whose every option we honour or may ignore. Anything else is a
// reason to run rclone itself, told to the person. A remote that wraps another (crypt, union, chunker …) is never looked
// through: its objects are not what it shows. Pure: configuration in, decision out.

import { posix } from "node:path";
import { HoldfastError } from "../../base/errors.ts";
import type { GcsOptions, GoogleCredentials } from "../gcs.ts";
import type { S3Credentials, S3Options } from "../s3.ts";
import { prefixOfPath } from "../option-values.ts";
import { remoteConfig } from "./config.ts";
import type { RemoteConfig } from "./config.ts";
import type { ConfigFile } from "./config-file.ts";
import { parseRemotePath } from "./connection-string.ts";
import { globalVariables, OPTION_RULES, PLAIN_PROVIDERS } from "./options.ts";

export type Native =
  | { readonly kind: "gcs"; readonly options: GcsOptions }
  | { readonly kind: "s3"; readonly options: S3Options }
  | { readonly kind: "local"; readonly root: string };

export type Mapping =
  | { readonly native: Native }
  /** Why rclone has to do it, in words that hold no value of an option. */
  | { readonly binary: readonly string[] };

export interface MappingInput {
  /** What follows `rclone:` in the location. */
  readonly target: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly file: ConfigFile;
  /** The location for people. */
  readonly location: string;
}

/** An alias of an alias of …; more is a circle. */
const ALIASES_MAX = 10;

/** How the remote is reached. USAGE when rclone could not reach it either. */
export function mapRemote(input: MappingInput): Mapping {
  const reasons = globalVariables(input.env);
  let { target } = input;
  for (let i = 0; i < ALIASES_MAX; i += 1) {
    const remote = parseRemotePath(target);
    const config = remoteConfig(remote, input.env, input.file);
    const { type, doubts } = config;
    if (type === undefined && doubts.length === 0) throw notConfigured(remote.name!);
    reasons.push(...doubts, ...unknownOptions(config));
    if (reasons.length > 0) return { binary: reasons };
    if (type !== "alias") return mapBackend(config, input);
    const aliased = valueOf(config, "remote");
    // What rclone says to an alias of nothing, or of itself, is clear enough.
    if (aliased === "" || aliased.startsWith(`${remote.name}:`)) {
      return { binary: ["its alias leads nowhere"] };
    }
    target = joinPath(aliased, config.path);
  }
  return { binary: ["its aliases lead in a circle"] };
}

function notConfigured(name: string): HoldfastError {
  const variable = `RCLONE_CONFIG_${name.toUpperCase()}_TYPE`;
  return new HoldfastError("USAGE", `rclone's remote "${name}" is not configured`, {
    hint: `Set ${variable} and what else it needs, or name its configuration file in RCLONE_CONFIG.`,
  });
}

/** What is set for the remote and would be ignored by us. */
function unknownOptions({ type, options }: RemoteConfig): string[] {
  if (type === undefined) return [];
  const rules = OPTION_RULES.get(type);
  if (rules === undefined) return [`type ${type}`];
  const reasons: string[] = [];
  for (const [name, { value }] of options) {
    const rule = rules.get(name);
    if (rule === "any" || rule === "map") continue;
    if (rule?.only.includes(value) || (rule?.only[0] === "false" && isFalse(value))) continue;
    reasons.push(`option ${name}`);
  }
  return reasons;
}

function mapBackend(config: RemoteConfig, { env, location }: MappingInput): Mapping {
  const { type, path } = config;
  if (type === "local") return { native: { kind: "local", root: path === "" ? "." : path } };
  const [bucket = "", ...rest] = path.split("/").filter((part) => part !== "");
  if (bucket === "") {
    throw new HoldfastError("USAGE", `the location ${location} names no bucket`, {
      hint: "Write rclone:REMOTE:BUCKET/PATH.",
    });
  }
  const place = { bucket, prefix: prefixOfPath(rest.join("/"), location), location };
  try {
    return type === "gcs" ? mapGcs(config, place, env) : mapS3(config, place);
  } catch (error) {
    if (error instanceof Unclear) return { binary: [error.message] };
    throw error;
  }
}

/** A value that rclone would refuse, or understand in a way of its own. */
class Unclear extends Error {}

interface Place {
  bucket: string;
  prefix: string;
  location: string;
}

function mapGcs(config: RemoteConfig, place: Place, env: MappingInput["env"]): Mapping {
  const storageClass = textOf(config, "storage_class");
  const userProject = textOf(config, "user_project");
  const endpoint = gcsEndpoint(valueOf(config, "endpoint"));
  const credentials = googleCredentials(config, env);
  const options = { ...place, credentials, endpoint, storageClass, userProject };
  return { native: { kind: "gcs", options } };
}

/** In the order in which rclone looks. */
function googleCredentials(config: RemoteConfig, env: MappingInput["env"]): GoogleCredentials {
  if (flagOf(config, "anonymous")) return { kind: "anonymous" };
  const content = config.options.get("service_account_credentials");
  if (content !== undefined && content.value !== "") return { kind: "file", ...content };
  const path = config.options.get("service_account_file");
  if (path !== undefined && path.value !== "") {
    return { kind: "file", value: expandPath(path.value, env), source: path.source };
  }
  const token = config.options.get("access_token");
  if (flagOf(config, "env_auth") || !token?.value) return { kind: "default" };
  return { kind: "token", token: token.value, source: token.source };
}

/** `~` and variables in the path of a file. */
function expandPath(path: string, env: MappingInput["env"]): string {
  if (path.startsWith("~") && !/^~(?:\/|$)/.test(path)) throw new Unclear("the path ~user");
  const home = path.startsWith("~") ? `${env["HOME"] ?? "~"}${path.slice(1)}` : path;
  return home.replace(
    /\$(?:\{(\w+)\}|(\w+))/g,
    (_, braced: string | undefined, bare: string | undefined) => env[braced ?? bare ?? ""] ?? "",
  );
}

/** rclone wants the whole base of the JSON API; we want the host. */
function gcsEndpoint(endpoint: string): string | undefined {
  if (endpoint === "") return undefined;
  const address = /^https?:\/\//.test(endpoint) ? endpoint : `https://${endpoint}`;
  if (!URL.canParse(address)) throw new Unclear("option endpoint");
  const { origin, pathname, search, username } = new URL(address);
  const path = pathname.replace(/\/?(?:storage\/v1\/?)?$/, "");
  if (path !== "" || search !== "" || username !== "") throw new Unclear("option endpoint");
  return origin;
}

function mapS3(config: RemoteConfig, place: Place): Mapping {
  const provider = valueOf(config, "provider");
  if (!PLAIN_PROVIDERS.has(provider)) throw new Unclear(`provider ${provider}`);
  const endpoint = valueOf(config, "endpoint");
  const region = valueOf(config, "region");
  if (region === "other-v2-signature") throw new Unclear("option region");
  const isAmazon = provider === "AWS";
  const arn = textOf(config, "role_arn");
  const options: S3Options = {
    ...place,
    credentials: s3Credentials(config),
    endpoint:
      endpoint === "" || endpoint.startsWith("http")
        ? endpoint || undefined
        : `https://${endpoint}`,
    region: region || "us-east-1",
    // Amazon wants the bucket in the host's name, whatever the option says.
    pathStyle: isAmazon ? false : flagOf(config, "force_path_style", true),
    assumeRole:
      arn === undefined ? undefined : { arn, sessionName: textOf(config, "role_session_name") },
    serverSideEncryption: textOf(config, "server_side_encryption"),
    kmsKeyId: textOf(config, "sse_kms_key_id"),
    storageClass: textOf(config, "storage_class"),
  };
  if (endpoint !== "" && !URL.canParse(options.endpoint!)) throw new Unclear("option endpoint");
  return { native: { kind: "s3", options } };
}

function s3Credentials(config: RemoteConfig): S3Credentials {
  const accessKeyId = valueOf(config, "access_key_id");
  const secretAccessKey = valueOf(config, "secret_access_key");
  if (accessKeyId === "" && secretAccessKey === "") {
    if (!flagOf(config, "env_auth")) return { kind: "anonymous" };
    return { kind: "default", profile: textOf(config, "profile") };
  }
  if (accessKeyId === "" || secretAccessKey === "") throw new Unclear("half a pair of keys");
  const sessionToken = textOf(config, "session_token");
  return { kind: "keys", accessKeyId, secretAccessKey, sessionToken };
}

function valueOf(config: RemoteConfig, name: string): string {
  return config.options.get(name)?.value ?? "";
}

function textOf(config: RemoteConfig, name: string): string | undefined {
  return valueOf(config, name) || undefined;
}

const TRUE = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const FALSE = new Set(["0", "f", "F", "false", "FALSE", "False"]);

/** As Go reads booleans; rclone refuses everything else, also "yes" and nothing. */
function flagOf(config: RemoteConfig, name: string, byDefault = false): boolean {
  const value = config.options.get(name)?.value;
  if (value === undefined) return byDefault;
  if (TRUE.has(value)) return true;
  if (FALSE.has(value)) return false;
  throw new Unclear(`option ${name}`);
}

function isFalse(value: string): boolean {
  return FALSE.has(value);
}

/** `aliased` with `path` below it; nothing in `path` leads out of it. */
function joinPath(aliased: string, path: string): string {
  if (path === "") return aliased;
  const below = posix.join("/", path).slice(1);
  if (below === "") return aliased;
  return /[:/]$/.test(aliased) ? `${aliased}${below}` : `${aliased}/${below}`;
}
