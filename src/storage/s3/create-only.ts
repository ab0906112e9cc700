// Writes that never replace anything. The service is asked to refuse a name that is taken (If-None-Match: *); what is
// there already is then compared by its SHA-256 or, when the service keeps none, by its bytes. A service that does not
// know the condition is found out, is told of, and gets the second best: a look before the write.

import { createHash } from "node:crypto";
import { equalBytes } from "../../base/bytes.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { CallOptions } from "../storage.ts";
import type { Bucket } from "./bucket.ts";
import { encryptionInput, otherKeyOf, refuseOtherKey, wrongKey } from "./encryption.ts";
import { failedWith, isTaken } from "./client.ts";

/** A body up to which a service is tried out by writing it twice. */
const TRIAL_BYTES = 64 * 1024;
/** No key: the turn of those who try it out. */
const TRIAL = "";

export interface Creation {
  readonly key: string;
  readonly body: Uint8Array;
  /** Told with the object; tells whose it is. */
  readonly metadata?: Record<string, string> | undefined;
}

/** What became of a write: "taken" when there was an object before, which was left as it is. */
export type Outcome = "created" | "taken";

/** What is known of the service's way with conditions. */
export class Conditions {
  /** Names that were refused as taken although there was no object. */
  readonly ghosts: Set<string> = new Set();
  #honoured: boolean | undefined;
  readonly #notice: (text: string) => void;
  /** Writes of one name follow each other where the service cannot choose between them. */
  readonly #writing = new Map<string, Promise<unknown>>();

  /** `isTrusted` for services that are known to honour them. */
  constructor(options: { isTrusted: boolean; notice: (text: string) => void }) {
    this.#honoured = options.isTrusted ? true : undefined;
    this.#notice = options.notice;
  }

  /** Undefined until a write has shown it. */
  get honoured(): boolean | undefined {
    return this.#honoured;
  }

  set honoured(honoured: boolean) {
    if (this.#honoured === honoured) return;
    this.#honoured = honoured;
    if (honoured) return;
    this.#notice(
      "the S3 service does not refuse to replace objects (If-None-Match), so every name is looked up before it is " +
        "written: two programs that write different content under one name at once could still replace each other",
    );
  }

  /** Runs `work` after whatever else of this process writes `key`. */
  async inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#writing.get(key) ?? Promise.resolve();
    const mine = before.catch(() => {}).then(work);
    this.#writing.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#writing.get(key) === mine) this.#writing.delete(key);
    }
  }
}

/** Stores an object; equal content under the same name is success. STORAGE_EXISTS when it is other content. */
export async function putObject(
  bucket: Bucket,
  creation: Creation,
  options: CallOptions,
): Promise<void> {
  const sha256 = hashOf(creation.body);
  const hashed = { ...creation, sha256 };
  const outcome = await createObject(bucket, hashed, options);
  if (outcome === "created") return;
  const { key } = creation;
  const { ghosts } = bucket.conditions;
  const isStored = await compare(bucket, hashed, options);
  if (isStored === undefined) {
    // It was deleted in between; or the service takes the mark of a deletion for an object, and will again.
    if (ghosts.delete(key)) {
      await bucket.conditions.inTurn(key, () => write(bucket, hashed, options, false));
      return;
    }
    ghosts.add(key);
    const message = `cannot write ${key}: it was taken, and is gone again`;
    throw new HoldfastError("STORAGE_UNAVAILABLE", message, { retryable: true });
  }
  if (!isStored) throw new HoldfastError("STORAGE_EXISTS", `${key} exists with different content`);
}

/** Stores an object in place of whatever has its name. */
export async function replaceObject(
  bucket: Bucket,
  creation: Creation,
  options: CallOptions,
): Promise<void> {
  const hashed = { ...creation, sha256: hashOf(creation.body) };
  await bucket.conditions.inTurn(creation.key, () => write(bucket, hashed, options, false));
}

/** SHA-256 of `body` in base 64, as S3 tells checksums. */
export function hashOf(body: Uint8Array): string {
  return createHash("sha256").update(body).digest("base64");
}

interface HashedCreation extends Creation {
  readonly sha256: string;
}

/** Stores an object unless its name is taken. */
export async function createObject(
  bucket: Bucket,
  creation: HashedCreation,
  options: CallOptions,
): Promise<Outcome> {
  const { conditions } = bucket;
  if (conditions.honoured === true) return await write(bucket, creation, options);
  const isTrial = conditions.honoured === undefined && creation.body.length <= TRIAL_BYTES;
  return await conditions.inTurn(isTrial ? TRIAL : creation.key, async () => {
    if (conditions.honoured === true) return await write(bucket, creation, options);
    if (await bucket.find(creation.key, options)) return "taken";
    return await writeUntried(bucket, creation, options);
  });
}

/** Writes under a name that was free a moment ago, and finds out what the service makes of the condition. */
async function writeUntried(
  bucket: Bucket,
  creation: HashedCreation,
  options: CallOptions,
): Promise<Outcome> {
  const { conditions } = bucket;
  const isKnown = conditions.honoured !== undefined;
  if (isKnown) return await write(bucket, creation, options);
  try {
    const outcome = await write(bucket, creation, options);
    if (outcome === "taken") conditions.honoured = true;
    // The same once more: a service that knows conditions refuses it, and to the others it makes no difference.
    else if (creation.body.length <= TRIAL_BYTES) {
      conditions.honoured = (await write(bucket, creation, options)) === "taken";
    }
    return outcome;
  } catch (error) {
    if (!failedWith(error, "NotImplemented")) throw error;
    conditions.honoured = false;
    return await write(bucket, creation, options);
  }
}

async function write(
  bucket: Bucket,
  { key, body, metadata, sha256 }: HashedCreation,
  { signal }: CallOptions,
  isConditional = bucket.conditions.honoured !== false,
): Promise<Outcome> {
  const { sdk } = bucket.client;
  const command = new sdk.PutObjectCommand({
    ...bucket.nameOf(key),
    ...encryptionInput(bucket.options),
    ...bucket.storageClassOf(key),
    ...(isConditional && { IfNoneMatch: "*" }),
    ...(metadata && { Metadata: metadata }),
    ContentLength: body.length,
    ChecksumSHA256: sha256,
  });
  const what = `write ${key}`;
  try {
    const { output } = await bucket.client.send(command, {
      kind: "put",
      what,
      permission: bucket.options.kmsKeyId ? "s3:PutObject and kms:GenerateDataKey" : "s3:PutObject",
      body: [body],
      signal,
    });
    if (output.ETag === undefined) throw bucket.client.notS3(what);
    await refuseOtherKey(bucket, key, output);
    return "created";
  } catch (error) {
    if (isTaken(error)) return "taken";
    throw error;
  }
}

/**
 * Whether the object of that name has this content; undefined when there is none after all. STORAGE_WRONG_KEY when it
 * has, in the open or under another key.
 */
async function compare(
  bucket: Bucket,
  { key, body, sha256 }: HashedCreation,
  options: CallOptions,
): Promise<boolean | undefined> {
  const found = await bucket.find(key, { ...options, withChecksum: true });
  if (found === undefined) return undefined;
  if (found.size !== body.length) return false;
  if (found.sha256 === undefined) {
    try {
      if (!equalBytes(await bucket.read(key, options), body)) return false;
    } catch (error) {
      if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return undefined;
      throw error;
    }
  } else if (found.sha256 !== sha256) return false;
  const why = otherKeyOf(bucket.options, found.encryption);
  if (why !== undefined) throw wrongKey(key, `it exists already, and ${why}`);
  return true;
}
