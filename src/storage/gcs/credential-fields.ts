// The fields of a credential file, each taken only under its own name and as what it has to be.

import { HoldfastError } from "../../base/errors.ts";

/** What a credential file may only do when it is allowed to. */
export const RISKS = ["executable", "url", "token-uri"] as const;
export type Risk = (typeof RISKS)[number];

/** Hosts that belong to Google's token services. */
const GOOGLE_HOST = /^(?:[a-z0-9-]+\.)*googleapis\.com$|^accounts\.google\.com$/;

/**
 * Names that google-auth-library understands beside the documented ones: options of its own, and the documented names
 * in another spelling. None is passed on, and a file that has one was made to get past a judge.
 */
const OPTIONS = new Set(["endpoint", "transporter", "transporter_options", "api_key"]);
const SPELT_OTHERWISE = new Set(
  (
    "token_url token_uri token_info_url universe_domain cloud_resource_manager_url private_key client_email " +
    "service_account_impersonation_url service_account_impersonation source_credentials credential_source " +
    "subject_token_type subject_token_supplier aws_security_credentials_supplier transporter_options api_key " +
    "client_id client_secret refresh_token quota_project_id workforce_pool_user_project environment_id " +
    "region_url regional_cred_verification_url imdsv2_session_token_url subject_token_field_name " +
    "output_file timeout_millis"
  ).split(" "),
);

export class Fields {
  readonly source: string;
  readonly #json: Readonly<Record<string, unknown>>;
  readonly #allowed: ReadonlySet<Risk>;

  constructor(json: Readonly<Record<string, unknown>>, source: string, allowed: ReadonlySet<Risk>) {
    this.#json = json;
    this.source = source;
    this.#allowed = allowed;
  }

  /** Whether the file says anything under this name. */
  has(name: string): boolean {
    return this.#value(name) !== undefined;
  }

  /** A text; undefined when it is absent or empty. Anything else is refused. */
  text(name: string): string | undefined {
    const value = this.#value(name);
    if (value === undefined || value === "") return undefined;
    if (typeof value !== "string") throw this.#misshapen(name, "text");
    return value;
  }

  need(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw this.missing(name);
    return value;
  }

  /** Those of the texts that are there, as a new object. */
  texts(...names: readonly string[]): Record<string, string> {
    const found: Record<string, string> = {};
    for (const name of names) {
      const value = this.text(name);
      if (value !== undefined) found[name] = value;
    }
    return found;
  }

  wholeNumber(name: string): number | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value) || (value as number) < 0) {
      throw this.#misshapen(name, "whole number");
    }
    return value as number;
  }

  list(name: string): string[] | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    const isList = Array.isArray(value) && value.every((each) => typeof each === "string");
    if (!isList) throw this.#misshapen(name, "list of texts");
    return [...(value as string[])];
  }

  object(name: string): Fields | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    if (!isObject(value)) throw this.#misshapen(name, "object");
    const fields = new Fields(value, `${this.source}, ${name}`, this.#allowed);
    fields.refuseOptions();
    return fields;
  }

  /** Every field as a text, by its name: headers. */
  everyText(): Record<string, string> {
    const names = Object.keys(this.#json).filter((name) => this.has(name));
    return Object.fromEntries(names.map((name) => [name, this.need(name)]));
  }

  /** An address that `load` is sent to: Google's own, or any when that is allowed. */
  address(name: string, load: string): void {
    const url = this.text(name);
    if (url === undefined || isGoogle(url)) return;
    const host = URL.canParse(url) ? new URL(url).host : "an address that is none";
    this.refuse("token-uri", `would have ${load} sent to ${host} (${name})`);
    if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) throw this.#misshapen(name, "address");
  }

  refuse(risk: Risk, what: string): void {
    if (this.#allowed.has(risk)) return;
    const hint = `If you trust whoever wrote this file, allow it with -o gs.allow-credentials=${risk} or HOLDFAST_GS_ALLOW_CREDENTIALS=${risk}.`;
    throw invalid(this.source, `is refused: it ${what}`, hint);
  }

  /** Refuses a file with names that only a library would understand. */
  refuseOptions(): void {
    const name = Object.keys(this.#json).find((each) => {
      const documented = each.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      return OPTIONS.has(each) || (documented !== each && SPELT_OTHERWISE.has(documented));
    });
    if (name === undefined) return;
    throw invalid(
      this.source,
      `is refused: "${name}" is no field of credential files`,
      "Google writes the names of fields as in token_url. Remove the field.",
    );
  }

  missing(name: string): HoldfastError {
    return invalid(this.source, `lacks the field "${name}"`);
  }

  #misshapen(name: string, wanted: string): HoldfastError {
    return invalid(this.source, `has a field "${name}" that is no ${wanted}`);
  }

  #value(name: string): unknown {
    const value = Object.hasOwn(this.#json, name) ? this.#json[name] : undefined;
    return value ?? undefined;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Over TLS, at the usual port, of a host of Google's. */
export function isGoogle(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname, port, username, password } = new URL(url);
  const plain = port === "" && username === "" && password === "";
  return protocol === "https:" && plain && GOOGLE_HOST.test(hostname);
}

export function invalid(source: string, why: string, hint?: string): HoldfastError {
  const message = `the credentials in ${source} cannot be used: the JSON ${why}`;
  return new HoldfastError("CREDENTIALS_INVALID", message, hint === undefined ? {} : { hint });
}
