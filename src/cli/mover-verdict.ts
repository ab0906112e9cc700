// The verdict of a mover: what it adds up to while it works, how it is told to people, and how it leaves the pod. The termination
// message is one line of JSON that fits into what a kubelet keeps; texts are cut before facts are. No credential is in it.

import { closeSync, constants, openSync, writeSync } from "node:fs";
import { HoldfastError, errnoOf, isHoldfastError, messageOf } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import type { MoverProblem, MoverVerdict } from "../operator/mover-verdict.ts";
import { VERDICT_MAX } from "../operator/mover-verdict.ts";
import { MOVER_EXIT, PLACE, VARIABLE } from "../operator/mover-variables.ts";
import type { Environment } from "./environment.ts";
import { withoutKeys } from "./errors.ts";
import { isCancellation } from "./exit-status.ts";
import { formatBytes, shortId } from "./format.ts";

/** A verdict that is being added up. */
export type VerdictFacts = { -readonly [K in keyof MoverVerdict]?: MoverVerdict[K] };

const TEXT_MAX = 900;
const TEXT_MIN = 80;
/** Variables whose values appear in no text, whoever quoted them. */
const SECRET_NAME =
  /PASSWORD|PASSPHRASE|_PASS\d?$|SECRET|TOKEN|CREDENTIALS$|ACCOUNT_KEY|ACCESS_KEY$|_SAS$|(?<!KMS)_KEY$/;
const SECRET_LENGTH_MIN = 6;
/** The kubelet makes this file; where there is none, nobody reads it. */
const WRITE_EXISTING = constants.O_WRONLY | constants.O_TRUNC;

/** A failure as a verdict tells it. */
export function problemOf(error: unknown, environment: Environment): MoverProblem {
  const of = (code: ErrorCode, message: string): MoverProblem => ({
    code,
    message: withoutSecrets(message, environment),
    retryable: true,
  });
  if (isCancellation(error)) return of("CANCELLED", messageOf(error));
  if (!isHoldfastError(error)) return of("BUG", messageOf(error));
  const { code, message, hint, retryable } = error;
  return {
    code,
    message: withoutSecrets(message, environment),
    ...(hint !== undefined && { hint: withoutSecrets(hint, environment) }),
    retryable,
  };
}

/**
 * The exit status of a failed mover. Where only a person can help, or the operator (which alone can tell whose lock is in the
 * way), trying again in the same Job is a waste; so it is where a partial snapshot would be made once more.
 */
export function moverStatus(error: unknown): number {
  if (isCancellation(error) || !isHoldfastError(error)) return MOVER_EXIT.again;
  if (error.code === "REPO_LOCKED" || error.code === "INCOMPLETE") return MOVER_EXIT.ended;
  return error.retryable || error.code === "LOCK_LOST" ? MOVER_EXIT.again : MOVER_EXIT.ended;
}

/** The text without keys, and without the value of any variable that is a secret by its name. */
export function withoutSecrets(text: string, environment: Environment): string {
  let told = withoutKeys(text);
  for (const [name, value] of Object.entries(environment)) {
    if (!SECRET_NAME.test(name) || value === undefined || value.length < SECRET_LENGTH_MIN)
      continue;
    told = told.replaceAll(value, "***");
  }
  return told;
}

/** One line of JSON of at most VERDICT_MAX bytes. */
export function encodeVerdict(verdict: MoverVerdict): string {
  for (let most = TEXT_MAX; ; most = Math.floor(most / 2)) {
    const text = JSON.stringify(cut(verdict, most));
    if (Buffer.byteLength(text) <= VERDICT_MAX) return text;
    if (most < TEXT_MIN) break;
  }
  const { problems: _problems, locks: _locks, ...rest } = verdict;
  const [first] = verdict.problems ?? [];
  return JSON.stringify({
    ...rest,
    ...(first && { problems: [{ ...first, message: "", hint: undefined }] }),
  });
}

function cut(verdict: MoverVerdict, most: number): MoverVerdict {
  const shorten = (text: string): string =>
    text.length <= most ? text : `${text.slice(0, most - 1)}…`;
  const few = most < TEXT_MAX ? 4 : 8;
  return {
    ...verdict,
    ...(verdict.problems && {
      problems: verdict.problems.slice(0, few).map(({ message, hint, ...rest }) => ({
        ...rest,
        message: shorten(message),
        ...(hint !== undefined && { hint: shorten(hint) }),
      })),
    }),
    ...(verdict.locks && { locks: verdict.locks.slice(0, few) }),
  };
}

/** The verdict for people: the last lines of a mover's log. */
export function verdictLines(verdict: MoverVerdict): string[] {
  const { result, snapshot, files, bytes, problems = [] } = verdict;
  const lines = problems.map(({ code, message, hint }) => {
    const [what = ""] = message.split("\n");
    return `${result === "ok" ? "Warning" : "Problem"}: ${code}: ${what}${hint === undefined ? "" : `. ${hint}`}`;
  });
  const what =
    snapshot === undefined
      ? "no snapshot"
      : `snapshot ${shortId(snapshot)}${files === undefined ? "" : `, ${files} files, ${formatBytes(bytes ?? 0)}`}`;
  return [...lines, `Verdict: ${result === "ok" ? "successful" : "failed"}: ${what}`];
}

/** Writes the termination message. In a place that was not named it is written only where a kubelet wants it. */
export function writeVerdict(verdict: MoverVerdict, environment: Environment): void {
  const named = environment[VARIABLE.terminationLog];
  const flags = named ? WRITE_EXISTING | constants.O_CREAT : WRITE_EXISTING;
  let descriptor: number;
  try {
    descriptor = openSync(named || PLACE.terminationLog, flags, 0o600);
  } catch (error) {
    if (!named && ["ENOENT", "EACCES"].includes(errnoOf(error) ?? "")) return;
    throw new HoldfastError(
      "USAGE",
      `${VARIABLE.terminationLog} cannot be written: ${messageOf(error)}`,
    );
  }
  try {
    writeSync(descriptor, encodeVerdict(verdict));
  } finally {
    closeSync(descriptor);
  }
}
