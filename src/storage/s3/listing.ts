// Listing and deleting: whole pages of a thousand keys, which is what the service takes and gives at once.

import { throwIfCancelled } from "../../base/cancellation.ts";
import { mapLimit } from "../../base/concurrency.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { isKey, normalPrefix } from "../keys.ts";
import type { CallOptions, ListOptions, StoredObject } from "../storage.ts";
import type { Bucket } from "./bucket.ts";
import { failedWith, S3Failure } from "./client.ts";
import { s3Error } from "./s3-error.ts";

const KEYS_PER_REQUEST = 1000;
/** Deletions fail together as a rule, so a few tell enough. */
const TOLD_MAX = 3;

/** As `list` of src/storage/storage.ts. */
export async function* listObjects(
  bucket: Bucket,
  prefix: string,
  { signal, after }: ListOptions,
): AsyncGenerator<StoredObject> {
  const below = normalPrefix(prefix);
  const { bucket: name, prefix: root } = bucket.options;
  let token: string | undefined;
  do {
    throwIfCancelled(signal);
    const command = new bucket.client.sdk.ListObjectsV2Command({
      Bucket: name,
      Prefix: `${root}${below}`,
      MaxKeys: KEYS_PER_REQUEST,
      // Keys of others may hold what XML cannot.
      EncodingType: "url",
      ...(token !== undefined && { ContinuationToken: token }),
      ...(after !== undefined && { StartAfter: root + after }),
    });
    const { output } = await bucket.client.send(command, {
      kind: "list",
      what: `list ${below === "" ? "the bucket" : below}`,
      permission: "s3:ListBucket",
      root: "ListBucketResult",
      signal,
    });
    const isEncoded = output.EncodingType === "url";
    for (const { Key = "", Size, LastModified } of output.Contents ?? []) {
      throwIfCancelled(signal);
      const full = isEncoded ? decoded(Key) : Key;
      if (!full.startsWith(`${root}${below}`)) continue;
      const key = full.slice(root.length);
      if (isKey(key) && Size !== undefined)
        yield { key, size: Size, modified: LastModified?.getTime() };
    }
    token = output.IsTruncated ? nextOf(output.NextContinuationToken, token, below) : undefined;
  } while (token !== undefined);
}

/** A page that leads nowhere must not look like the last one. */
function nextOf(next: string | undefined, current: string | undefined, prefix: string): string {
  if (next !== undefined && next !== "" && next !== current) return next;
  const message = `cannot list ${prefix === "" ? "the bucket" : prefix}: the service names no next page`;
  throw new HoldfastError("STORAGE_FAILED", message);
}

function decoded(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll("+", " "));
  } catch {
    return key;
  }
}

/** Deletes one object; absence is success. */
export async function deleteObject(
  bucket: Bucket,
  key: string,
  { signal }: CallOptions,
): Promise<void> {
  const command = new bucket.client.sdk.DeleteObjectCommand(bucket.nameOf(key));
  try {
    const permission = "s3:DeleteObject";
    await bucket.client.send(command, {
      kind: "delete",
      what: `delete ${key}`,
      permission,
      signal,
    });
  } catch (error) {
    if (failedWith(error, "NoSuchBucket") || !isHoldfastError(error, "STORAGE_NOT_FOUND")) {
      throw error;
    }
  }
}

/** Deletes objects, a thousand in a request. */
export class Deletions {
  readonly #bucket: Bucket;
  /** The service deletes one object at a time. */
  #isSingle = false;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  async run(keys: readonly string[], options: CallOptions): Promise<void> {
    for (let at = 0; at < keys.length; at += KEYS_PER_REQUEST) {
      const some = keys.slice(at, at + KEYS_PER_REQUEST);
      if (!this.#isSingle) {
        try {
          await this.#deleteTogether(some, options);
          continue;
        } catch (error) {
          const isUnknown =
            failedWith(error, "NotImplemented", "MethodNotAllowed") ||
            (error instanceof S3Failure && [405, 501].includes(error.fault.status));
          if (!isUnknown) throw error;
          this.#isSingle = true;
        }
      }
      const { connections } = this.#bucket;
      await mapLimit(
        some,
        connections,
        (key, _, signal) => deleteObject(this.#bucket, key, { signal }),
        options,
      );
    }
  }

  async #deleteTogether(keys: readonly string[], { signal }: CallOptions): Promise<void> {
    const { client, options, context } = this.#bucket;
    const names = keys.map((key) => ({ Key: this.#bucket.nameOf(key).Key }));
    const what = keys.length === 1 ? `delete ${keys[0]}` : `delete ${keys.length} objects`;
    const permission = "s3:DeleteObject";
    const command = new client.sdk.DeleteObjectsCommand({
      Bucket: options.bucket,
      Delete: { Objects: names, Quiet: true },
      ChecksumAlgorithm: "SHA256",
    });
    const call = { kind: "delete", what, permission, root: "DeleteResult", signal } as const;
    const { output } = await client.send(command, call);
    const failed = (output.Errors ?? []).filter(({ Code }) => Code !== "NoSuchKey");
    if (failed.length === 0) return;
    const told = failed.slice(0, TOLD_MAX).map(({ Key = "", Code, Message }) => {
      const key = Key.slice(options.prefix.length);
      const status = Code !== undefined && /Denied|Lock/.test(Code) ? 403 : 400;
      const fault = { status, code: Code, message: Message, region: undefined, isBodiless: false };
      const now = context.clock.now();
      const redact = (text: string): string => client.redact(text);
      return s3Error({ what: `delete ${key}`, fault, permission, now, redact });
    });
    // One that may pass must not hide one that will not.
    const worst = told.find(({ retryable }) => !retryable) ?? told[0]!;
    const more = failed.length > 1 ? ` (and ${failed.length - 1} more of ${keys.length})` : "";
    throw new HoldfastError(worst.code, `${worst.message}${more}`, {
      retryable: worst.retryable,
      ...(worst.hint !== undefined && { hint: worst.hint }),
    });
  }
}
