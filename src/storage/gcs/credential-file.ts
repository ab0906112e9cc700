// Google's credential files, and which of them we act on. A file may come from somebody we do not trust (a tenant's
// secret), and some kinds tell their reader to run a program, to ask any address or to send a signed assertion anywhere.
// Those are refused unless the one who runs Holdfast allows them (docs/decisions/storage.md#credentials).

import { HoldfastError } from "../../base/errors.ts";

/** What a credential file may only do when it is allowed to. */
export const RISKS = ["executable", "url", "token-uri"] as const;
export type Risk = (typeof RISKS)[number];

/** A file that passed: the JSON as it is, and the parts that decide what is done with it. */
export interface CredentialFile {
  readonly json: Readonly<Record<string, unknown>>;
  readonly type:
    | "service_account"
    | "authorized_user"
    | "external_account"
    | "impersonated_service_account";
  /** Where a service account's assertion is exchanged, when that is not Google. */
  readonly foreignTokenUri: string | undefined;
}

/** Hosts that belong to Google's token services. */
const GOOGLE_HOST = /^(?:[a-z0-9-]+\.)*googleapis\.com$|^accounts\.google\.com$/;

/** Reads the text of a credential file; `source` says where it came from. CREDENTIALS_INVALID for any doubt. */
export function parseCredentialFile(
  text: string,
  source: string,
  allowed: ReadonlySet<Risk>,
): CredentialFile {
  const json = parseJson(text, source);
  const type = stringOf(json, "type") ?? "";
  switch (type) {
    case "service_account":
      return { json, type, foreignTokenUri: checkServiceAccount(json, source, allowed) };
    case "authorized_user":
      for (const name of ["client_id", "client_secret", "refresh_token"]) need(json, name, source);
      return { json, type, foreignTokenUri: undefined };
    case "external_account":
      checkExternalAccount(json, source, allowed);
      return { json, type, foreignTokenUri: undefined };
    case "impersonated_service_account":
      checkImpersonation(json, source, allowed);
      return { json, type, foreignTokenUri: undefined };
    default:
      throw invalid(
        source,
        type === "" ? 'has no field "type"' : `is of type "${type}", which is not known`,
        "Use the JSON key of a service account, or a workload identity file.",
      );
  }
}

function parseJson(text: string, source: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message would repeat a part of the text.
    const hint =
      "Give the whole JSON of the key, or the path of its file. In YAML put it under a `|` so that quotes and line ends survive.";
    throw invalid(source, "is no JSON", hint);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw invalid(source, "is no JSON object");
}

/** The token address, when it is not Google's and that is allowed. */
function checkServiceAccount(
  json: Record<string, unknown>,
  source: string,
  allowed: ReadonlySet<Risk>,
): string | undefined {
  need(json, "client_email", source);
  const key = need(json, "private_key", source);
  if (!key.includes("-----BEGIN")) {
    throw invalid(source, 'has a field "private_key" that is no key in PEM form');
  }
  checkUniverse(json, source, allowed);
  const uri = stringOf(json, "token_uri");
  if (uri === undefined || isGoogle(uri)) return undefined;
  refuse("token-uri", `would have a signed assertion sent to ${hostOf(uri)}`, source, allowed);
  return uri;
}

function checkExternalAccount(
  json: Record<string, unknown>,
  source: string,
  allowed: ReadonlySet<Risk>,
): void {
  need(json, "audience", source);
  checkUniverse(json, source, allowed);
  for (const name of ["token_url", "token_info_url", "service_account_impersonation_url"]) {
    const url = stringOf(json, name);
    if (url === undefined || isGoogle(url)) continue;
    refuse("token-uri", `would have tokens sent to ${hostOf(url)} (${name})`, source, allowed);
  }
  const from = json["credential_source"];
  if (typeof from !== "object" || from === null) throw missing("credential_source", source);
  const keys = Object.keys(from);
  if (keys.includes("executable")) {
    refuse("executable", "names a program to run for its token", source, allowed);
  }
  // Everything but a file makes requests to addresses that the file names; the metadata of AWS are such addresses.
  if (keys.some((name) => name !== "file" && name !== "format" && name !== "executable")) {
    refuse("url", "names addresses to ask for its token", source, allowed);
  }
}

function checkImpersonation(
  json: Record<string, unknown>,
  source: string,
  allowed: ReadonlySet<Risk>,
): void {
  const url = need(json, "service_account_impersonation_url", source);
  if (!isGoogle(url)) {
    refuse("token-uri", `would have tokens sent to ${hostOf(url)}`, source, allowed);
  }
  const inner = json["source_credentials"];
  if (typeof inner !== "object" || inner === null) throw missing("source_credentials", source);
  parseCredentialFile(JSON.stringify(inner), `${source}, source_credentials`, allowed);
}

/** Another universe is another set of hosts. */
function checkUniverse(
  json: Record<string, unknown>,
  source: string,
  allowed: ReadonlySet<Risk>,
): void {
  const universe = stringOf(json, "universe_domain");
  if (universe === undefined || universe === "googleapis.com") return;
  refuse("token-uri", `would have tokens sent to ${printable(universe)}`, source, allowed);
}

function refuse(risk: Risk, what: string, source: string, allowed: ReadonlySet<Risk>): void {
  if (allowed.has(risk)) return;
  const hint = `If you trust whoever wrote this file, allow it with -o gs.allow-credentials=${risk} or HOLDFAST_GS_ALLOW_CREDENTIALS=${risk}.`;
  throw invalid(source, `is refused: it ${what}`, hint);
}

function isGoogle(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname, port, username, password } = new URL(url);
  const plain = port === "" && username === "" && password === "";
  return protocol === "https:" && plain && GOOGLE_HOST.test(hostname);
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "an address that is none";
}

function printable(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, "?").slice(0, 80);
}

function stringOf(json: Record<string, unknown>, name: string): string | undefined {
  const value = json[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function need(json: Record<string, unknown>, name: string, source: string): string {
  const value = stringOf(json, name);
  if (value === undefined) throw missing(name, source);
  return value;
}

function missing(name: string, source: string): HoldfastError {
  return invalid(source, `lacks the field "${name}"`);
}

function invalid(source: string, why: string, hint?: string): HoldfastError {
  const message = `the credentials in ${source} cannot be used: the JSON ${why}`;
  return new HoldfastError("CREDENTIALS_INVALID", message, hint === undefined ? {} : { hint });
}
