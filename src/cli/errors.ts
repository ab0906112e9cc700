// How an error that ends the program is told: what happened, why, and what to do about it. Never a stack trace, unless
// HOLDFAST_DEBUG asks for one; never a credential (errors carry none).
//
// Scripts recognise some of restic's errors by their words, so those words stay, whatever else is said.

import { isHoldfastError, messageOf } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { exitStatus, isCancellation } from "./exit-status.ts";
import type { Output } from "./output.ts";

export interface ReportOptions {
  /** HOLDFAST_DEBUG is set: print stack traces and causes. */
  debug?: boolean;
  /** Where the repository is, without credentials: told when it is missing. */
  location?: string | undefined;
  /** The least exit status of the command that failed. */
  failsFrom?: number | undefined;
}

/** Words that must be in the message of a code; put before it when they are not. */
const EXPECTED_WORDS: Partial<Record<ErrorCode, string>> = {
  REPO_NOT_FOUND: "repository does not exist",
  REPO_LOCKED: "unable to create lock in backend",
  WRONG_PASSWORD: "wrong password or no key found",
};

const LOCATION_QUESTION = "Is there a repository at the following location?";
const DEFECT = "unexpected error (this is a defect)";
const REPORT_HINT =
  "Please report it to the makers of Holdfast, with what the same command prints under HOLDFAST_DEBUG=1.";

/** Tells the error on stderr, with --json as an exit_error message. Returns the exit status. */
export function reportError(error: unknown, output: Output, options: ReportOptions = {}): number {
  const usual = exitStatus(error);
  const { failsFrom = 0 } = options;
  const status = usual < failsFrom ? failsFrom : usual;
  const { message: told, hint } = describe(error, options);
  const message = withoutKeys(told);
  if (output.isJson) {
    output.jsonError({ message_type: "exit_error", code: status, message, hint });
  } else {
    output.warn(hint === undefined ? message : `${message}\nhint: ${hint}`);
  }
  if (options.debug) output.warn(withoutKeys(trace(error)));
  return status;
}

/** Messages name what was given, and a key that was given in place of its file's name would be among it. */
export function withoutKeys(text: string): string {
  return text
    .replaceAll(/AGE-SECRET-KEY-[0-9A-Z-]+/gi, "AGE-SECRET-KEY-…")
    .replaceAll(/("private_key"\s*:\s*")(?:[^"\\]|\\.)*/g, "$1…")
    .replaceAll(/(-----BEGIN [A-Z ]*PRIVATE KEY[A-Z ]*-----)[^]*?(?:-----END|$)/g, "$1…");
}

function describe(
  error: unknown,
  options: ReportOptions,
): { message: string; hint: string | undefined } {
  if (isHoldfastError(error)) {
    const { code } = error;
    // The question is part of the message, as scripts expect it; a hint that asks it has said all it has to say.
    const asks = error.hint?.startsWith(LOCATION_QUESTION);
    const lines = [`${prefixOf(code)}${withExpectedWords(code, error.message)}`];
    if (code === "REPO_NOT_FOUND" && asks) lines.push(error.hint ?? "");
    else if (code === "REPO_NOT_FOUND") lines.push(LOCATION_QUESTION, options.location ?? "");
    return {
      message: lines.join("\n").trimEnd(),
      hint: asks ? undefined : (error.hint ?? (code === "BUG" ? REPORT_HINT : undefined)),
    };
  }
  if (isCancellation(error)) return { message: "Cancelled: stopped", hint: undefined };
  return { message: `Fatal: ${DEFECT}: ${messageOf(error)}`, hint: REPORT_HINT };
}

function prefixOf(code: ErrorCode): string {
  if (["INCOMPLETE", "ODOO_INCONSISTENT", "RECOVERY_INCOMPLETE"].includes(code)) return "Warning: ";
  if (code === "CANCELLED") return "Cancelled: ";
  return code === "BUG" ? `Fatal: ${DEFECT}: ` : "Fatal: ";
}

function withExpectedWords(code: ErrorCode, message: string): string {
  const words = EXPECTED_WORDS[code];
  return words === undefined || message.includes(words) ? message : `${words}: ${message}`;
}

/** The stack of the error and of everything that caused it. */
function trace(error: unknown): string {
  if (!(error instanceof Error)) return `thrown: ${String(error)}`;
  const stack = error.stack ?? messageOf(error);
  return error.cause === undefined ? stack : `${stack}\ncaused by: ${trace(error.cause)}`;
}
