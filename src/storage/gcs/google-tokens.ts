// Access tokens for Cloud Storage. A service account's key signs them here, without asking anybody; all other kinds are
// the business of google-auth-library. A token is kept until the service refuses it or it is about to expire.

import { createSign } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { AuthClient } from "google-auth-library";
import { unlessCancelled } from "../../base/cancellation.ts";
import { ahead } from "../../base/concurrency.ts";
import { HoldfastError, errnoOf, messageOf } from "../../base/errors.ts";
import type { BackendContext } from "../backend.ts";
import type { GoogleCredentials } from "../gcs.ts";
import { textOf } from "../http/transport.ts";
import type { Transport } from "../http/transport.ts";
import { isPassingStatus, statusError } from "../http/status.ts";
import { parseCredentialFile } from "./credential-file.ts";
import type { Risk } from "./credential-fields.ts";
import type { CredentialFile } from "./credential-file.ts";

/** A token is not used in its last minutes. */
const MARGIN_MS = 120_000;

interface Token {
  readonly value: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
}

/** Where tokens come from. */
export interface TokenSource {
  /** A token for the next request; undefined where none is needed. */
  token(signal?: AbortSignal): Promise<string | undefined>;
  /** The service refused `token`: the next one is made anew. False when there is no other to be had. */
  refused(token: string): boolean;
}

export interface TokenOptions {
  readonly credentials: GoogleCredentials;
  readonly context: BackendContext;
  /** For exchanges that are ours. */
  readonly transport: Transport;
  readonly allowed: ReadonlySet<Risk>;
  /** What the tokens are for. */
  readonly scope: string;
}

type Fetch = () => Promise<Token>;

/** Opens the source; the credentials are read and judged now, the first token is made when it is needed. */
export async function openTokens(options: TokenOptions): Promise<TokenSource> {
  const { credentials } = options;
  if (credentials.kind === "anonymous") return fixed(undefined);
  if (credentials.kind === "token") {
    const { token, source = "GOOGLE_ACCESS_TOKEN" } = credentials;
    return fixed(sendable(token, source));
  }
  return cached(await fetchOf(options), options.context);
}

function fixed(token: string | undefined): TokenSource {
  return { token: () => Promise.resolve(token), refused: () => false };
}

/** A token without the line end that files leave behind it. CREDENTIALS_INVALID when no header can hold it. */
function sendable(token: string, source: string): string {
  const value = token.trim();
  if (/^[\x21-\x7e]+$/.test(value)) return value;
  const why = value === "" ? "is empty" : "has characters that no token has";
  throw new HoldfastError("CREDENTIALS_INVALID", `the access token of ${source} ${why}`, {
    hint: "Set it to the token alone: one line, without quotes around it or words before it.",
  });
}

function cached(fetch: Fetch, context: BackendContext): TokenSource {
  let held: Token | undefined;
  let fetching: Promise<Token> | undefined;
  return {
    async token(signal) {
      if (held !== undefined && held.expires - MARGIN_MS > context.clock.now()) return held.value;
      // One exchange serves all who wait, and goes on when one of them gives up.
      fetching ??= ahead(
        fetch()
          .then((token) => (held = token))
          .finally(() => (fetching = undefined)),
      );
      const { value } = await (signal ? unlessCancelled(fetching, signal) : fetching);
      return value;
    },
    refused(token) {
      if (held?.value === token) held = undefined;
      return true;
    },
  };
}

async function fetchOf(options: TokenOptions): Promise<Fetch> {
  const { credentials, context, scope } = options;
  if (credentials.kind === "file") {
    const { value, source } = credentials;
    return await fromFile(await contentOf(value, source), source, options);
  }
  const named = context.env["GOOGLE_APPLICATION_CREDENTIALS"];
  if (named) {
    const source = "GOOGLE_APPLICATION_CREDENTIALS";
    return await fromFile(await contentOf(named, source), source, options);
  }
  const path = gcloudFile(context.env);
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text !== undefined) return await fromFile(text, path, options);
  const { Compute } = await import("google-auth-library");
  return fromMetadata(() => new Compute({ scopes: [scope] }), context);
}

/** Content as it is, or the content of the file that is named. */
async function contentOf(value: string, source: string): Promise<string> {
  if (value.trimStart().startsWith("{")) return value;
  try {
    return await readFile(value.trim(), "utf8");
  } catch (error) {
    // What cannot be a path may be a secret in a form nobody expected, so it is not repeated.
    const isPath = /^[\w./~-]{1,200}$/.test(value.trim());
    const name = isPath ? `the file ${value.trim()}` : "what it names";
    const why = errnoOf(error) === "ENOENT" ? "does not exist" : "cannot be read";
    throw new HoldfastError("CREDENTIALS_INVALID", `${source}: ${name} ${why}`, {
      hint: "Set it to the path of a credential file, or to the JSON itself.",
    });
  }
}

function gcloudFile(env: Readonly<Record<string, string | undefined>>): string {
  const folder = env["CLOUDSDK_CONFIG"] || join(env["HOME"] || "/", ".config", "gcloud");
  return join(folder, "application_default_credentials.json");
}

async function fromFile(text: string, source: string, options: TokenOptions): Promise<Fetch> {
  const file = parseCredentialFile(text, source, options.allowed);
  if (file.type === "service_account") {
    return file.foreignTokenUri === undefined
      ? selfSigned(file, source, options)
      : exchanged(file, file.foreignTokenUri, source, options);
  }
  const { clientOf } = await import("./library-clients.ts");
  const make = (): AuthClient => clientOf(file.json, options.scope);
  try {
    make();
  } catch (error) {
    throw unusable(source, error);
  }
  return fromLibrary(make, source, options.context);
}

interface Assertion {
  readonly text: string;
  readonly expires: number;
}

/** A JWT of the account (RFC 7519, RS256), for the scope or for an audience to be exchanged at. */
function assertion(
  { json }: CredentialFile,
  claims: Record<string, string>,
  source: string,
  context: BackendContext,
): Assertion {
  const seconds = Math.floor(context.clock.now() / 1000);
  const email = json["client_email"] as string;
  const header = { alg: "RS256", typ: "JWT", kid: json["private_key_id"] };
  const body = { iss: email, sub: email, iat: seconds, exp: seconds + 3600, ...claims };
  const signed = [header, body]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  try {
    const signature = createSign("RSA-SHA256")
      .update(signed)
      .sign(json["private_key"] as string);
    const expires = (seconds + 3600) * 1000;
    return { text: `${signed}.${signature.toString("base64url")}`, expires };
  } catch {
    // OpenSSL's words would not help, and its input is a secret.
    const message = `the credentials in ${source} cannot be used: its private key does not sign`;
    throw new HoldfastError("CREDENTIALS_INVALID", message, {
      hint: "Make a new key of the service account; in variables `\\n` must stand for the line ends of the key.",
    });
  }
}

/** Google takes a token that the account signed itself: no exchange, nothing that could be down. */
function selfSigned(file: CredentialFile, source: string, { context, scope }: TokenOptions): Fetch {
  return () => {
    const { text, expires } = assertion(file, { scope }, source, context);
    return Promise.resolve({ value: text, expires });
  };
}

/** The exchange of an assertion for a token (RFC 7523) at an address that is not Google's. */
function exchanged(
  file: CredentialFile,
  uri: string,
  source: string,
  { context, transport, scope }: TokenOptions,
): Fetch {
  return async () => {
    const { text } = assertion(file, { scope, aud: uri }, source, context);
    const grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    const what = `get a token for ${file.json["client_email"] as string}`;
    const answer = await transport.request({
      kind: "auth",
      method: "POST",
      url: new URL(uri),
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: [Buffer.from(new URLSearchParams({ grant_type: grant, assertion: text }).toString())],
      what,
    });
    const now = context.clock.now();
    if (isPassingStatus(answer.status)) throw statusError({ what, answer, now, why: "" });
    const given = parseAnswer(textOf(answer));
    if (answer.status !== 200 || typeof given["access_token"] !== "string") {
      throw unusable(source, new Error(refusalOf(given, answer.status)));
    }
    const seconds = Number(given["expires_in"] ?? 3600);
    return { value: sendable(given["access_token"], source), expires: now + seconds * 1000 };
  };
}

function parseAnswer(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function refusalOf(given: Record<string, unknown>, status: number): string {
  const texts = [given["error"], given["error_description"]].filter(
    (text) => typeof text === "string",
  );
  return texts.length > 0 ? texts.join(": ") : `HTTP ${status}`;
}

/** Tokens of a client of the library's, a new one each time: a client keeps its token, also one that was refused. */
function fromLibrary(make: () => AuthClient, source: string, context: BackendContext): Fetch {
  return async () => {
    try {
      return await tokenOf(make(), source, context);
    } catch (error) {
      if (error instanceof HoldfastError) throw error;
      if (!isPassing(error)) throw unusable(source, error);
      throw unavailable(`with the credentials in ${source}`, error);
    }
  };
}

/** Tokens of the metadata server. That there is none is known only while none has answered. */
function fromMetadata(make: () => AuthClient, context: BackendContext): Fetch {
  let hasAnswered = false;
  return async () => {
    try {
      const token = await tokenOf(make(), METADATA, context);
      hasAnswered = true;
      return token;
    } catch (error) {
      if (error instanceof HoldfastError) throw error;
      const status = statusOf(error);
      if (!hasAnswered && (status === undefined || status === 404)) throw noCredentials();
      if (status !== undefined && !isPassingStatus(status)) throw unusable(METADATA, error);
      throw unavailable(`from ${METADATA}`, error);
    }
  };
}

const METADATA = "the metadata server";

async function tokenOf(
  client: AuthClient,
  source: string,
  context: BackendContext,
): Promise<Token> {
  const { token } = await client.getAccessToken();
  if (!token) throw new Error("it gave no token");
  const expires = client.credentials.expiry_date ?? context.clock.now() + 10 * 60_000;
  return { value: sendable(token, source), expires };
}

function statusOf(error: unknown): number | undefined {
  const { status } = error as { status?: unknown };
  return typeof status === "number" ? status : undefined;
}

function isPassing(error: unknown): boolean {
  const status = statusOf(error);
  if (status !== undefined) return isPassingStatus(status);
  const cause = (error as { cause?: unknown } | null)?.cause;
  return errnoOf(error) !== undefined || errnoOf(cause) !== undefined;
}

function unavailable(where: string, error: unknown): HoldfastError {
  const message = `cannot get a token ${where}: ${firstLine(error)}`;
  return new HoldfastError("STORAGE_UNAVAILABLE", message, { retryable: true });
}

function noCredentials(): HoldfastError {
  return new HoldfastError(
    "CREDENTIALS_INVALID",
    "there are no credentials for Google Cloud Storage",
    {
      hint: "Set GOOGLE_APPLICATION_CREDENTIALS to the JSON of a service account's key or to its path, or GOOGLE_ACCESS_TOKEN to a token; no gcloud file and no metadata server was found.",
    },
  );
}

function unusable(source: string, error: unknown): HoldfastError {
  const message = `the credentials in ${source} are not accepted: ${firstLine(error)}`;
  return new HoldfastError("CREDENTIALS_INVALID", message, {
    hint: "Check that the account and its key exist and are enabled, and that this machine's clock is right.",
  });
}

/** Without what may follow: request dumps hold assertions. */
function firstLine(error: unknown): string {
  const line = messageOf(error).split("\n")[0] ?? "";
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}
