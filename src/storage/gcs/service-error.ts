// What Cloud Storage means by its errors: which of ours, whether waiting helps, and which permission or setting to mend.

import { asBuffer } from "../../base/bytes.ts";
import { HoldfastError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import type { WireAnswer } from "../http/transport.ts";
import { isPassingStatus, retryAfterOf, statusError } from "../http/status.ts";

/** What an error is judged by; an answer within another one has no headers. */
export type ErrorAnswer = Pick<WireAnswer, "status" | "body">;

/** The parts of an error's body: JSON from the JSON API, XML from the other one. */
export interface ServiceComplaint {
  readonly message: string;
  readonly reason: string;
}

/** Reads an error's body; empty texts when it says nothing. */
export function complaintOf(answer: ErrorAnswer): ServiceComplaint {
  const text = asBuffer(answer.body).toString("utf8");
  try {
    const { error } = (JSON.parse(text) ?? {}) as {
      error?: { message?: unknown; errors?: { reason?: unknown }[] };
    };
    const textIn = (value: unknown): string => (typeof value === "string" ? value : "");
    return { message: textIn(error?.message), reason: textIn(error?.errors?.[0]?.reason) };
  } catch {
    const inner = (tag: string): string | undefined =>
      new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(text)?.[1];
    const message = [inner("Message"), inner("Details")].filter(Boolean).join(" ");
    return { message: message || text.slice(0, 300), reason: inner("Code") ?? "" };
  }
}

/** True when the bucket itself is what does not exist. */
export function isBucketMissing(answer: ErrorAnswer): boolean {
  return answer.status === 404 && /bucket does not exist/i.test(complaintOf(answer).message);
}

/**
 * True when the service itself says that the object does not exist. A 404 of something in between says nothing of it,
 * and would make a backup forget what it has.
 */
export function isAbsence(answer: ErrorAnswer): boolean {
  return answer.status === 404 && isComplaint(answer) && !isBucketMissing(answer);
}

/** An error in the service's own words: JSON, XML, or the bare sentence that reads of content are answered with. */
function isComplaint(answer: ErrorAnswer): boolean {
  const text = asBuffer(answer.body).toString("utf8");
  try {
    const { error } = (JSON.parse(text) ?? {}) as { error?: { message?: unknown } | null };
    return typeof error === "object" && typeof error?.message === "string";
  } catch {
    return (
      /^(?:<\?xml[^>]*>)?\s*<Error>\s*<Code>\w+<\/Code>/.test(text.trimStart()) ||
      /^(?:No such object: |The specified (?:bucket|object) does not exist)/.test(text)
    );
  }
}

export interface ServiceErrorOptions {
  readonly what: string;
  readonly answer: WireAnswer;
  readonly bucket: string;
  readonly now: number;
}

interface Meaning {
  readonly code: ErrorCode;
  readonly hint?: string;
  readonly retryable?: boolean;
}

/** The error of an answer that is no success. */
export function serviceError(options: ServiceErrorOptions): HoldfastError {
  const { what, answer, now } = options;
  const complaint = complaintOf(answer);
  const why = complaint.message.replace(/\s+/g, " ").trim();
  const meaning = meaningOf(options, complaint);
  if (meaning === undefined) return statusError({ what, answer, now, why });
  const { code, hint, retryable = false } = meaning;
  return new HoldfastError(code, `cannot ${what}: ${why} (HTTP ${answer.status})`, {
    ...(hint !== undefined && { hint }),
    retryable,
    retryAfter: retryAfterOf(answer, now),
  });
}

function meaningOf(
  { answer, bucket }: ServiceErrorOptions,
  { message, reason }: ServiceComplaint,
): Meaning | undefined {
  const { status } = answer;
  // Asked too much: 403 with these reasons is a 429 of an older kind.
  if (/rateLimitExceeded|userRateLimitExceeded|SlowDown/i.test(reason)) {
    return { code: "STORAGE_UNAVAILABLE", retryable: true };
  }
  if (isPassingStatus(status)) return undefined;
  if (isBucketMissing(answer)) {
    return {
      code: "STORAGE_NOT_FOUND",
      hint: `Create the bucket ${bucket} first, or check its name: Holdfast makes no buckets.`,
    };
  }
  if (status === 404 && !isComplaint(answer)) {
    return { code: "STORAGE_FAILED", hint: "Is that address Cloud Storage? Check the endpoint." };
  }
  // The body was damaged on its way: nothing was stored, and sending it again is right.
  if (status === 400 && /MD5 hash|CRC32C|Content-?MD5|BadDigest/i.test(message + reason)) {
    return { code: "STORAGE_UNAVAILABLE", retryable: true };
  }
  return keyMeaning(status, message) ?? denialMeaning(status, message, reason);
}

/** Trouble with a customer-managed key. */
function keyMeaning(status: number, message: string): Meaning | undefined {
  if (status !== 400 && status !== 403 && status !== 404) return undefined;
  if (/current state is|is not enabled|DISABLED|DESTROYED/.test(message)) {
    return {
      code: "STORAGE_DENIED",
      hint: "Enable the key version in Cloud KMS (or restore it, while it is scheduled for destruction): without it nothing it encrypted can be read.",
    };
  }
  if (/Permission denied on Cloud KMS key|cloudkms\./.test(message)) {
    return {
      code: "STORAGE_DENIED",
      hint: "Grant the role roles/cloudkms.cryptoKeyEncrypterDecrypter on the key to the service agent of Cloud Storage (service-NUMBER@gs-project-accounts.iam.gserviceaccount.com).",
    };
  }
  if (/KMS key/i.test(message)) {
    return {
      code: "STORAGE_DENIED",
      hint: "Use a key that exists, in the location of the bucket; `holdfast doctor storage` shows both.",
    };
  }
  return undefined;
}

function denialMeaning(status: number, message: string, reason: string): Meaning | undefined {
  if (/retention/i.test(reason + message) && status === 403) {
    return {
      code: "STORAGE_DENIED",
      hint: "A retention policy of the bucket keeps this object. Wait until it has passed, or shorten the policy while it is not locked.",
    };
  }
  if (/ActiveHold/i.test(reason)) {
    return { code: "STORAGE_DENIED", hint: "Release the hold on this object in Cloud Storage." };
  }
  if (/uniform bucket-level access/i.test(message)) return { code: "STORAGE_FAILED" };
  if (status === 401) {
    return {
      code: "STORAGE_DENIED",
      hint: "The token was refused: check the credentials, and that this machine's clock is right.",
    };
  }
  if (status !== 403) return undefined;
  const permission = /storage\.(?:objects|buckets)\.\w+/.exec(message)?.[0];
  if (permission !== undefined) {
    return {
      code: "STORAGE_DENIED",
      hint: `Grant ${permission} on the bucket to this account; roles/storage.objectAdmin holds all that backups need.`,
    };
  }
  if (/billing/i.test(message + reason)) {
    return { code: "STORAGE_DENIED", hint: "Set up billing for the project of the bucket again." };
  }
  return {
    code: "STORAGE_DENIED",
    hint: "Grant roles/storage.objectAdmin on the bucket to this account.",
  };
}
