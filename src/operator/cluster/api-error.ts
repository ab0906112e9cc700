// From what an API server answers, or from the lack of an answer, to a HoldfastError that says what could not be done and why.
//
// A Status object's words come from servers, webhooks and controllers: they are shortened, control characters are escaped, and
// our own token is cut out, whoever repeats it.

import { errnoOf, HoldfastError, messageOf, type ErrorCode } from "../../base/errors.ts";

/** What was asked for, in words for a message and in those of RBAC for a hint. */
export interface Asked {
  /** `create Job odoo/volsync-src-x`. */
  readonly what: string;
  /** `create jobs.batch in namespace odoo`. */
  readonly right: string;
}

export interface ApiStatus {
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { retryAfterSeconds?: number; causes?: { reason?: string }[] };
}

const MESSAGE_MAX = 1024;
/** How much of a longer one is from its end. */
const TAIL = 400;
const ANSWER_DESCRIBED = "the API server answers";

export interface AnswerError {
  readonly asked: Asked;
  readonly httpStatus: number;
  /** Body of the answer. */
  readonly body: string;
  /** Header Retry-After. */
  readonly retryAfter?: string | undefined;
  /** Texts that must not be repeated. */
  readonly secrets?: readonly (string | undefined)[];
}

/** The error for an answer of 400 and above. */
export function answerError(answer: AnswerError): HoldfastError {
  const status = statusIn(answer.body);
  return statusError(status ?? { message: answer.body }, answer);
}

/** The error for a Status object, alone or inside a watch. */
export function statusError(
  status: ApiStatus,
  { asked, httpStatus, retryAfter, secrets = [] }: Omit<AnswerError, "body">,
): HoldfastError {
  const code = status.code ?? httpStatus;
  const { error, hint, retryable } = verdictOf(code, status.reason, asked);
  const said = plainText(status.message ?? "", secrets);
  const reason = status.reason === undefined ? "" : ` (${plainText(status.reason, secrets)})`;
  const message = `cannot ${asked.what}: ${ANSWER_DESCRIBED} ${code}${reason}${said && `: ${said}`}`;
  const seconds = Number(retryAfter ?? status.details?.retryAfterSeconds);
  return new HoldfastError(error, message, {
    ...(hint === undefined ? {} : { hint }),
    retryable,
    retryAfter:
      retryable && Number.isFinite(seconds) && seconds > 0
        ? Math.min(seconds, 3600) * 1000
        : undefined,
  });
}

interface Verdict {
  readonly error: ErrorCode;
  readonly hint?: string;
  readonly retryable: boolean;
}

function verdictOf(code: number, reason: string | undefined, asked: Asked): Verdict {
  switch (code) {
    case 401:
      return {
        error: "CLUSTER_DENIED",
        hint: "Renew the token or certificate; the server does not take it, or not any more.",
        retryable: false,
      };
    case 403:
      return {
        error: "CLUSTER_DENIED",
        hint: `Grant the right to ${asked.right}, or see which policy or quota the message names.`,
        retryable: false,
      };
    case 404:
      return { error: "CLUSTER_NOT_FOUND", retryable: false };
    case 409:
      return {
        error: reason === "AlreadyExists" ? "CLUSTER_EXISTS" : "CLUSTER_CONFLICT",
        retryable: false,
      };
    case 410:
      return { error: "CLUSTER_GONE", retryable: false };
    case 400:
    case 405:
    case 406:
    case 413:
    case 415:
    case 422:
      return { error: "CLUSTER_INVALID", retryable: false };
    default:
      return { error: "CLUSTER_FAILED", retryable: code === 429 || code >= 500 };
  }
}

/** Errors of TLS that time does not heal. */
const CERTIFICATE =
  /^(CERT_|ERR_TLS_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|ERR_SSL_|EPROTO)/;

/** The error when there was no answer. */
export function wireError(error: unknown, asked: Asked, server: string): HoldfastError {
  if (error instanceof HoldfastError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  const isCertificate = typeof code === "string" && CERTIFICATE.test(code);
  const name = errnoOf(error) ?? (typeof code === "string" ? code : undefined);
  // The text of Node's errors already begins with the name in most cases.
  const text = plainText(messageOf(error), []);
  const why = name === undefined || text.includes(name) ? text : `${name}: ${text}`;
  return new HoldfastError(
    "CLUSTER_UNREACHABLE",
    `cannot ${asked.what}: no answer from ${server}: ${why}`,
    {
      hint: isCertificate
        ? "Give the certificate authority that signed the API server's certificate, and the name in it."
        : "See whether the API server is reachable from here: network policy, proxy, address.",
      retryable: !isCertificate,
      cause: error,
    },
  );
}

function statusIn(body: string): ApiStatus | undefined {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== "object" || value === null) return undefined;
    return (value as { kind?: unknown }).kind === "Status" ? (value as ApiStatus) : undefined;
  } catch {
    return undefined;
  }
}

/** One line, bounded, without control characters and secrets. */
export function plainText(text: string, secrets: readonly (string | undefined)[]): string {
  let plain = String(text).slice(0, 64 * MESSAGE_MAX);
  for (const secret of secrets) if (secret) plain = plain.replaceAll(secret, "[redacted]");
  plain = plain
    .trim()
    .replaceAll(/\s+/g, " ")
    // Control characters, and those that turn the direction of text.
    .replaceAll(
      /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
  if (plain.length <= MESSAGE_MAX) return plain;
  // The reason is often at the end, behind a dump of the whole value that was refused.
  return `${plain.slice(0, MESSAGE_MAX - TAIL)}…${plain.slice(-TAIL)}`;
}
