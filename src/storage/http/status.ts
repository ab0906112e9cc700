// What the statuses of HTTP mean where a service says nothing more precise: which error, and whether trying again helps.

import { HoldfastError } from "../../base/errors.ts";
import type { ErrorCode, ErrorFields } from "../../base/errors.ts";
import type { WireAnswer } from "./transport.ts";
import { textOf } from "./transport.ts";

/** Passing by the rules of Google, Amazon and the REST protocol alike; 501 and 505 are answers that never change. */
export function isPassingStatus(status: number): boolean {
  if (status === 408 || status === 425 || status === 429) return true;
  return status >= 500 && status !== 501 && status !== 505 && status !== 507;
}

/** Milliseconds that Retry-After asks for, as seconds or as a date; an hour at most. */
export function retryAfterOf(answer: WireAnswer, now: number): number | undefined {
  const text = answer.headers["retry-after"];
  if (text === undefined) return undefined;
  const wanted = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return wanted > 0 ? Math.min(wanted, 3_600_000) : undefined;
}

export interface StatusErrorOptions {
  /** What was being done: "read data/ab/ab12…". */
  readonly what: string;
  readonly answer: WireAnswer;
  /** What the service said; the beginning of the answer's text by default. */
  readonly why?: string | undefined;
  readonly hint?: string | undefined;
  /** Milliseconds since 1970, to understand dates. */
  readonly now: number;
}

/** The error of an answer that is no success. */
export function statusError(options: StatusErrorOptions): HoldfastError {
  const { what, answer, hint, now } = options;
  const { status } = answer;
  const why = excerptOf(options.why ?? textOf(answer));
  const message = `cannot ${what}: ${why === "" ? "" : `${why} `}(HTTP ${status})`;
  const fields: ErrorFields = {
    retryable: isPassingStatus(status),
    retryAfter: retryAfterOf(answer, now),
  };
  if (hint !== undefined) fields.hint = hint;
  return new HoldfastError(codeOf(status), message, fields);
}

function codeOf(status: number): ErrorCode {
  if (isPassingStatus(status)) return "STORAGE_UNAVAILABLE";
  if (status === 401 || status === 403) return "STORAGE_DENIED";
  if (status === 404) return "STORAGE_NOT_FOUND";
  if (status === 507 || status === 413) return "STORAGE_FULL";
  return "STORAGE_FAILED";
}

/** What is looked at of what a server answered, and what is repeated at most. */
const LOOKED_AT_MAX = 4000;
const EXCERPT_MAX = 300;

/** One line of what a server answered, for a message. What follows a path in an address is often a credential. */
function excerptOf(text: string): string {
  const line = text
    .slice(0, LOOKED_AT_MAX)
    .replace(/<[^>]*>/g, " ")
    .replace(/(https?:\/\/[^\s"'<>?#]*)[?#][^\s"'<>]*/gi, "$1?…")
    .replace(/\?[^\s"'<>?=]+=[^\s"'<>]*/g, "?…")
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim();
  return line.length > EXCERPT_MAX ? `${line.slice(0, EXCERPT_MAX)}…` : line;
}
