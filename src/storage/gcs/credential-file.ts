// Google's credential files, and which of them we act on. A file may come from somebody we do not trust (a tenant's
// secret), and some kinds tell their reader to run a program, to ask any address or to send a signed assertion anywhere.
// Those are refused unless the one who runs Holdfast allows them (docs/decisions/storage.md#credentials).
//
// google-auth-library reads more of a file than is documented: other spellings of names, lists for texts, addresses and
// options of its own. So it is never given the file, but a new object with the fields that were judged here.

import { Fields, invalid, isGoogle, isObject } from "./credential-fields.ts";
import type { Risk } from "./credential-fields.ts";
import { credentialSource } from "./credential-source.ts";

/** A file that passed: what may be known of it, and the part that decides what is done with it. */
export interface CredentialFile {
  /** The fields that were judged, and no others. */
  readonly json: Readonly<Record<string, unknown>>;
  readonly type:
    | "service_account"
    | "authorized_user"
    | "external_account"
    | "impersonated_service_account";
  /** Where a service account's assertion is exchanged, when that is not Google. */
  readonly foreignTokenUri: string | undefined;
}

/** Reads the text of a credential file; `source` says where it came from. CREDENTIALS_INVALID for any doubt. */
export function parseCredentialFile(
  text: string,
  source: string,
  allowed: ReadonlySet<Risk>,
): CredentialFile {
  const value = parseJson(text, source);
  if (!isObject(value)) throw invalid(source, "is no JSON object");
  return judge(new Fields(value, source, allowed), true);
}

/** `isOuter` is false for the source of an impersonation, which is no impersonation itself. */
function judge(fields: Fields, isOuter: boolean): CredentialFile {
  const type = fields.text("type") ?? "";
  fields.refuseOptions();
  checkUniverse(fields);
  switch (type) {
    case "service_account":
      return { type, json: { type, ...serviceAccount(fields) }, foreignTokenUri: tokenUri(fields) };
    case "authorized_user":
      return { type, json: { type, ...authorizedUser(fields) }, foreignTokenUri: undefined };
    case "external_account":
      return { type, json: { type, ...externalAccount(fields) }, foreignTokenUri: undefined };
    case "impersonated_service_account":
      if (!isOuter) break;
      return { type, json: { type, ...impersonation(fields) }, foreignTokenUri: undefined };
    default:
  }
  throw invalid(
    fields.source,
    type === "" ? 'has no field "type"' : `is of type "${printable(type)}", which is not known`,
    "Use the JSON key of a service account, or a workload identity file.",
  );
}

function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // The parser's own message would repeat a part of the text.
    const hint =
      "Give the whole JSON of the key, or the path of its file. In YAML put it under a `|` so that quotes and line ends survive.";
    throw invalid(source, "is no JSON", hint);
  }
}

function serviceAccount(fields: Fields): Record<string, unknown> {
  fields.need("client_email");
  if (!fields.need("private_key").includes("-----BEGIN")) {
    throw invalid(fields.source, 'has a field "private_key" that is no key in PEM form');
  }
  return fields.texts("client_email", "private_key", "private_key_id", ...COMMON);
}

/** The token address, when it is not Google's and that is allowed. */
function tokenUri(fields: Fields): string | undefined {
  const uri = fields.text("token_uri");
  if (uri === undefined || isGoogle(uri)) return undefined;
  fields.address("token_uri", "a signed assertion");
  return uri;
}

function authorizedUser(fields: Fields): Record<string, unknown> {
  const names = ["client_id", "client_secret", "refresh_token"];
  for (const name of names) fields.need(name);
  return fields.texts(...names, ...COMMON);
}

function externalAccount(fields: Fields): Record<string, unknown> {
  fields.need("audience");
  const addresses = ["token_url", "token_info_url", "service_account_impersonation_url"];
  for (const name of addresses) fields.address(name, "tokens");
  const lifetime = fields
    .object("service_account_impersonation")
    ?.wholeNumber("token_lifetime_seconds");
  const source = fields.object("credential_source");
  if (source === undefined) throw fields.missing("credential_source");
  return {
    ...fields.texts("audience", "subject_token_type", ...addresses, ...COMMON),
    ...fields.texts("client_id", "client_secret", "workforce_pool_user_project"),
    ...(lifetime !== undefined && {
      service_account_impersonation: { token_lifetime_seconds: lifetime },
    }),
    credential_source: credentialSource(source),
  };
}

function impersonation(fields: Fields): Record<string, unknown> {
  fields.need("service_account_impersonation_url");
  fields.address("service_account_impersonation_url", "tokens");
  const inner = fields.object("source_credentials");
  if (inner === undefined) throw fields.missing("source_credentials");
  const delegates = fields.list("delegates");
  return {
    ...fields.texts("service_account_impersonation_url", ...COMMON),
    ...(delegates !== undefined && { delegates }),
    source_credentials: judge(inner, false).json,
  };
}

/** What every kind may have. */
const COMMON = ["quota_project_id", "universe_domain"];

/** Another universe is another set of hosts. */
function checkUniverse(fields: Fields): void {
  const universe = fields.text("universe_domain");
  if (universe === undefined || universe === "googleapis.com") return;
  fields.refuse("token-uri", `would have tokens sent to ${printable(universe)}`);
}

function printable(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, "?").slice(0, 80);
}
