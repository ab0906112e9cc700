// What a failed connection means: try again later, or mend something first. No message carries a URL's query or a header,
// because either may hold a secret.

import { HoldfastError, messageOf } from "../../base/errors.ts";
import { ProxyError } from "./tunnel.ts";

const MEANINGS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was cut",
  EPIPE: "the connection was cut",
  ENOTFOUND: "the host name is not known",
  EAI_AGAIN: "the host name cannot be looked up for now",
  ETIMEDOUT: "the connection timed out",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "the network cannot be reached",
};

/** Codes of TLS that no waiting mends. */
const CERTIFICATE = /^(?:CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|ERR_TLS_CERT|HOSTNAME_MISMATCH)/;
const NO_TLS = new Set([
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
  "EPROTO",
]);

/** The error of a request whose connection failed with `error`; `host` is the server's name and port. */
export function wireError(error: unknown, what: string, host: string): HoldfastError {
  const code = codeOf(error);
  const cannot = `cannot ${what} at ${host}`;
  if (error instanceof ProxyError && (error.status ?? 500) < 500) {
    return new HoldfastError("STORAGE_DENIED", `${cannot}: ${error.message}`, {
      hint: "Check HTTPS_PROXY with its user and password, or except the host with NO_PROXY.",
      cause: error,
    });
  }
  if (code !== undefined && CERTIFICATE.test(code)) {
    const why = `its certificate is not trusted (${messageOf(error)})`;
    return new HoldfastError("STORAGE_FAILED", `${cannot}: ${why}`, {
      hint: "Name the authority that signed it with --cacert, or mend the host name or the machine's clock.",
      cause: error,
    });
  }
  if (code !== undefined && NO_TLS.has(code)) {
    return new HoldfastError("STORAGE_FAILED", `${cannot}: it does not speak TLS (${code})`, {
      hint: "Check the port, and whether the address should begin with http:// instead of https://.",
      cause: error,
    });
  }
  const meaning = MEANINGS[code ?? ""] ?? messageOf(error);
  const why = code === undefined || meaning.includes(code) ? meaning : `${meaning} (${code})`;
  return new HoldfastError("STORAGE_UNAVAILABLE", `${cannot}: ${why}`, {
    retryable: true,
    cause: error,
  });
}

function codeOf(error: unknown): string | undefined {
  // A host with several addresses fails with all of their errors at once.
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : [error];
  const code = (first as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}
