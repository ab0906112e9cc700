// Why a server did not let us in, as our errors: what the network said, what TLS said, or what the server said, in the form in
// which `pg` hands each of them over.

import { errnoOf, HoldfastError, messageOf } from "../../base/errors.ts";
import { serverError } from "./server-error.ts";
import type { Asker } from "./server-error.ts";

/** An ErrorResponse as `pg` gives it. */
interface LibraryError {
  readonly severity?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
  readonly detail?: unknown;
  readonly hint?: unknown;
}

const CERTIFICATE =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_|ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH)/;

/** The error for an attempt to connect that failed with `error`. */
export function attemptError(error: unknown, asker: Asker): HoldfastError {
  if (error instanceof HoldfastError) return error;
  const { severity, code, message, detail, hint } = (error ?? {}) as LibraryError;
  if (typeof severity === "string" && typeof code === "string") {
    const fields = new Map<string, string>();
    const given = { V: severity, C: code, M: message, D: detail, H: hint };
    for (const [letter, text] of Object.entries(given)) {
      if (typeof text === "string") fields.set(letter, text);
    }
    return serverError(fields, asker);
  }
  const text = messageOf(error);
  const where = `PostgreSQL at ${asker.place}`;
  if (/password must be a string|password must be a non-empty/i.test(text)) {
    return new HoldfastError("POSTGRES_DENIED", `${where} asks for a password, and none is given`, {
      hint: `Give the password of "${asker.user}" in PGPASSWORD or ~/.pgpass.`,
    });
  }
  if (/does not support SSL/.test(text)) {
    return new HoldfastError("POSTGRES_SETTING", `${where} does not speak TLS`, {
      hint: "Set ssl = on with a certificate at the server, or connect with sslmode=prefer.",
    });
  }
  if (typeof code === "string" && CERTIFICATE.test(code)) {
    return new HoldfastError(
      "POSTGRES_UNREACHABLE",
      `${where} shows a certificate that is not trusted: ${text}`,
      {
        hint: "Name the authority's certificate with sslrootcert, and connect under the name that the server's certificate has.",
        cause: error,
      },
    );
  }
  return new HoldfastError(
    "POSTGRES_UNREACHABLE",
    `${where} cannot be reached: ${reason(error, text)}`,
    {
      hint: "Check that the server runs, that host and port are right, and that listen_addresses and firewalls let us through.",
      retryable: true,
      cause: error,
    },
  );
}

const ERRNO: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ENOENT: "there is no socket",
  EACCES: "the socket may not be used by this user",
  ETIMEDOUT: "no answer",
  EHOSTUNREACH: "there is no way to that host",
  ENETUNREACH: "there is no way to that network",
  ENOTFOUND: "the host's name is unknown",
  EAI_AGAIN: "the name service does not answer",
  ECONNRESET: "the connection was reset",
};

function reason(error: unknown, text: string): string {
  // Several addresses of one name fail together.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const errno = errnoOf(first);
  if (errno !== undefined && ERRNO[errno] !== undefined) return ERRNO[errno];
  if (text === "timeout expired") return "no answer in time";
  if (/terminated unexpectedly/.test(text)) return "the server hung up";
  return text;
}
