// What the answers of S3 mean: which error, whether trying again helps, and what to do about it. Only the code and the
// message of an answer are looked at, since the rest of it may repeat what was signed and with which key.

import { HoldfastError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import { isPassingStatus, retryAfterOf } from "../http/status.ts";
import { textOf } from "../http/transport.ts";
import type { WireAnswer } from "../http/transport.ts";

/** Code and message of an answer that is an error, as far as it tells them. */
export interface S3Fault {
  readonly status: number;
  readonly code: string | undefined;
  readonly message: string | undefined;
  /** The region that the bucket is in, when the answer corrects us. */
  readonly region: string | undefined;
  /** It could not say why: a proxy's word and a service's look alike. */
  readonly isBodiless: boolean;
}

/** What `answer` says went wrong; also that of a success whose body is an error after all. */
export function faultOf(answer: WireAnswer, isBodiless: boolean): S3Fault {
  const text = textOf({ ...answer, body: answer.body.subarray(0, 64 * 1024) });
  const region = answer.headers["x-amz-bucket-region"];
  const code = elementOf(text, "Code");
  return {
    // A request that takes long is answered with 200 before its outcome is known.
    status: answer.status < 300 ? 503 : answer.status,
    code,
    message: elementOf(text, "Message"),
    region: typeof region === "string" ? region : elementOf(text, "Region"),
    isBodiless,
  };
}

function elementOf(text: string, name: string): string | undefined {
  const found = new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1]?.trim();
  if (found === undefined || found === "") return undefined;
  const plain = found.replace(/&(lt|gt|quot|apos|amp);/g, (_, entity: string) => ENTITIES[entity]!);
  const line = plain.replace(/[\s\p{Cc}]+/gu, " ");
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}

const ENTITIES: Readonly<Record<string, string>> = {
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  amp: "&",
};

interface Meaning {
  readonly code: ErrorCode;
  readonly retryable?: true;
  readonly hint?: string;
}

const PASSING: Meaning = { code: "STORAGE_UNAVAILABLE", retryable: true };
const KEYS = "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN or the profile";
const expired: Meaning = {
  code: "STORAGE_DENIED",
  hint: "Get new temporary credentials, with the session token that belongs to them.",
};
const wrongRegion: Meaning = {
  code: "STORAGE_FAILED",
  hint: "Set the bucket's region, as AWS_DEFAULT_REGION or with the option s3.region.",
};
const kms: Meaning = {
  code: "STORAGE_DENIED",
  hint: "Check that the key of KMS exists in the bucket's region, is enabled, and may be used by these credentials.",
};

/** Codes that say more than their status does. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  InvalidAccessKeyId: {
    code: "STORAGE_DENIED",
    hint: `${KEYS}: the service does not know the key.`,
  },
  XAdminUserNotFound: {
    code: "STORAGE_DENIED",
    hint: `${KEYS}: the service does not know the key.`,
  },
  SignatureDoesNotMatch: {
    code: "STORAGE_DENIED",
    hint: `${KEYS}: the secret does not belong to the key.`,
  },
  ExpiredToken: expired,
  ExpiredTokenException: expired,
  TokenRefreshRequired: expired,
  InvalidToken: expired,
  RequestTimeTooSkewed: {
    code: "STORAGE_DENIED",
    hint: "Set this machine's clock: it differs too much from that of the service.",
  },
  RequestExpired: {
    code: "STORAGE_DENIED",
    hint: "Set this machine's clock: it differs too much from that of the service.",
  },
  InvalidObjectState: {
    code: "STORAGE_DENIED",
    hint: "The object is in an archive class: restore it to one that can be read first.",
  },
  NoSuchBucket: {
    code: "STORAGE_NOT_FOUND",
    hint: "Check the bucket's name and the service's address; only `init` makes a bucket.",
  },
  NoSuchUpload: {
    code: "STORAGE_FAILED",
    hint: "What was sent is gone, perhaps by a rule of the bucket for unfinished uploads: begin again.",
  },
  InvalidBucketName: { code: "STORAGE_FAILED", hint: "Check the bucket's name in the location." },
  AuthorizationHeaderMalformed: wrongRegion,
  PermanentRedirect: wrongRegion,
  TemporaryRedirect: PASSING,
  Redirect: PASSING,
  IllegalLocationConstraintException: wrongRegion,
  "KMS.DisabledException": kms,
  "KMS.InvalidStateException": kms,
  "KMS.KMSInvalidStateException": kms,
  "KMS.NotFoundException": kms,
  "KMS.InvalidKeyUsageException": kms,
  QuotaExceeded: { code: "STORAGE_FULL" },
  InsufficientStorage: { code: "STORAGE_FULL" },
  XMinioStorageFull: { code: "STORAGE_FULL" },
  SlowDown: PASSING,
  SlowDownRead: PASSING,
  SlowDownWrite: PASSING,
  Throttling: PASSING,
  ThrottlingException: PASSING,
  TooManyRequests: PASSING,
  RequestLimitExceeded: PASSING,
  BandwidthLimitExceeded: PASSING,
  InternalError: PASSING,
  ServiceUnavailable: PASSING,
  RequestTimeout: PASSING,
  OperationAborted: PASSING,
  ConditionalRequestConflict: PASSING,
  // The body was hurt on its way.
  BadDigest: PASSING,
  IncompleteBody: PASSING,
  XAmzContentSHA256Mismatch: PASSING,
  XAmzContentChecksumMismatch: PASSING,
};

/** What says that an object is absent; any other 404 may mean anything. */
const ABSENCE = new Set(["NoSuchKey", "NoSuchVersion", "NotFound"]);
const RETENTION = /object lock|retention|legal hold|worm/i;

export interface S3ErrorOptions {
  /** What was being done: "read data/ab/ab12…". */
  readonly what: string;
  readonly fault: S3Fault;
  /** The permissions that the request needs, as a policy names them. */
  readonly permission: string;
  readonly answer?: WireAnswer | undefined;
  /** Milliseconds since 1970, to understand dates. */
  readonly now: number;
  /** Takes secrets out of a text. */
  readonly redact: (text: string) => string;
}

/** The error of an answer that is no success. */
export function s3Error(options: S3ErrorOptions): HoldfastError {
  const { what, fault, answer, now, redact } = options;
  const { code, hint, retryable = false } = meaningOf(fault, options.permission);
  const told = [fault.code, fault.message].filter((part) => part !== undefined).join(": ");
  const why = told === "" ? wordsOf(fault.status) : told;
  return new HoldfastError(code, `cannot ${what}: ${redact(why)} (HTTP ${fault.status})`, {
    retryable,
    retryAfter: answer && retryAfterOf(answer, now),
    ...(hint !== undefined && { hint }),
  });
}

function meaningOf(fault: S3Fault, permission: string): Meaning {
  const { status, code, message, isBodiless } = fault;
  const known = code === undefined ? undefined : MEANINGS[code];
  if (known) return known;
  if (code !== undefined && RETENTION.test(`${code} ${message}`)) {
    return {
      code: "STORAGE_DENIED",
      hint: "The object is under retention or legal hold: wait until it ends, or have it lifted.",
    };
  }
  if (isPassingStatus(status)) return PASSING;
  if (status === 401 || status === 403) {
    const allow = isBodiless ? "Check the credentials, and allow them" : "Allow these credentials";
    return { code: "STORAGE_DENIED", hint: `${allow} ${permission} on the bucket.` };
  }
  if (status === 404) {
    const isAbsent = code === undefined ? isBodiless : ABSENCE.has(code);
    if (isAbsent) return { code: "STORAGE_NOT_FOUND" };
    const hint = "Check the address: this does not say that the object is absent.";
    return { code: "STORAGE_FAILED", hint };
  }
  if (status === 301 || status === 307) return wrongRegion;
  if (status === 507) return { code: "STORAGE_FULL" };
  return { code: "STORAGE_FAILED" };
}

function wordsOf(status: number): string {
  if (status === 404) return "it does not exist";
  if (status === 401 || status === 403) return "access was denied";
  if (status === 301) return "the bucket is in another region";
  return "the service gave no reason";
}
