// A body that comes in pieces, as one object: parts of a multipart upload, which nobody sees before it is completed.
//
// Parts of 32 MiB: the service allows ten thousand of them, so an object has 312 GiB at most, and a stream with three
// parts under way holds 128 MiB. Where it is known that less will come, parts of 8 MiB do, and hold 32. A body of a single
// piece needs no parts and is stored by one request.
//
// Each upload marks its object with a random number, so that a completion whose reply was lost is known by it: whether
// the service repeats its success, no longer knows the upload or calls the name taken.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { toHex } from "../../base/bytes.ts";
import type { CallOptions, Upload, UploadOptions } from "../storage.ts";
import type { Bucket } from "./bucket.ts";
import { failedWith, isTaken } from "./client.ts";
import { createObject, hashOf } from "./create-only.ts";
import { encryptionInput, otherKeyOf, refuseOtherKey, wrongKey } from "./encryption.ts";

const PIECE_BYTES = 32 * 1024 * 1024;
const PIECE_BYTES_MIN = 8 * 1024 * 1024;
const PARALLEL = 3;
const PARTS_MAX = 10_000;
const MARK = "holdfast-upload";

/** Starts an upload; STORAGE_EXISTS when the name is taken. */
export async function startUpload(
  bucket: Bucket,
  key: string,
  options: UploadOptions,
): Promise<Upload> {
  if (await bucket.find(key, options)) throw taken(key);
  const { bytesMax = Number.POSITIVE_INFINITY } = options;
  const isSmall = bytesMax <= PIECE_BYTES_MIN * PARTS_MAX;
  return new MultipartUpload(bucket, key, isSmall ? PIECE_BYTES_MIN : PIECE_BYTES);
}

function taken(key: string): HoldfastError {
  return new HoldfastError("STORAGE_EXISTS", `${key} exists already`);
}

interface StoredPart {
  readonly ETag: string;
  readonly ChecksumSHA256: string;
}

class MultipartUpload implements Upload {
  readonly pieceBytes: number;
  readonly parallel = PARALLEL;
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #mark: string;
  readonly #parts = new Map<number, StoredPart>();
  #begun: Promise<string> | undefined;
  #isFinished = false;

  constructor(bucket: Bucket, key: string, pieceBytes: number) {
    this.pieceBytes = pieceBytes;
    this.#bucket = bucket;
    this.#key = key;
    this.#mark = toHex(bucket.context.random(16));
  }

  async write(piece: number, bytes: Uint8Array, options: CallOptions = {}): Promise<void> {
    if (piece >= PARTS_MAX) {
      const most = `${PARTS_MAX} pieces of ${this.pieceBytes} bytes`;
      throw new HoldfastError("STORAGE_FAILED", `cannot write ${this.#key}: more than ${most}`, {
        hint: "Divide it: the service takes no more in one object.",
      });
    }
    const uploadId = await this.#begin(options);
    const sha256 = hashOf(bytes);
    const { client } = this.#bucket;
    const command = new client.sdk.UploadPartCommand({
      ...this.#bucket.nameOf(this.#key),
      UploadId: uploadId,
      PartNumber: piece + 1,
      ContentLength: bytes.length,
      ChecksumSHA256: sha256,
    });
    const { output } = await client.send(command, {
      ...this.#call(`write ${this.#key}`, options),
      body: [bytes],
    });
    if (output.ETag === undefined) throw client.notS3(`write ${this.#key}`);
    this.#parts.set(piece, { ETag: output.ETag, ChecksumSHA256: sha256 });
  }

  async finish(piece: number, bytes: Uint8Array, options: CallOptions = {}): Promise<void> {
    if (this.#isFinished) return;
    if (piece === 0) await this.#storeWhole(bytes, options);
    else {
      try {
        // A repeated call finds its last piece stored.
        if (bytes.length > 0 && !this.#parts.has(piece)) await this.write(piece, bytes, options);
        await this.#complete(options);
      } catch (error) {
        const isUncertain = isTaken(error) || failedWith(error, "NoSuchUpload");
        if (!isUncertain) throw error;
        await this.#settle(error, options);
      }
    }
    this.#isFinished = true;
  }

  async abort(): Promise<void> {
    if (this.#begun === undefined || this.#isFinished) return;
    try {
      const uploadId = await this.#begun;
      const { client } = this.#bucket;
      const name = this.#bucket.nameOf(this.#key);
      const command = new client.sdk.AbortMultipartUploadCommand({ ...name, UploadId: uploadId });
      const permission = "s3:AbortMultipartUpload";
      await client.send(command, { kind: "delete", what: `give up ${this.#key}`, permission });
    } catch {
      // What is left of it is invisible; a rule of the bucket can remove it (docs/decisions/storage.md#s3).
    }
  }

  #begin(options: CallOptions): Promise<string> {
    const begun = (this.#begun ??= this.#create(options));
    // The next write tries anew.
    begun.catch(() => {
      if (this.#begun === begun) this.#begun = undefined;
    });
    return begun;
  }

  async #create(options: CallOptions): Promise<string> {
    const { client, options: settings } = this.#bucket;
    const command = new client.sdk.CreateMultipartUploadCommand({
      ...this.#bucket.nameOf(this.#key),
      ...encryptionInput(settings),
      ...this.#bucket.storageClassOf(this.#key),
      Metadata: { [MARK]: this.#mark },
      ChecksumAlgorithm: "SHA256",
      ContentType: "application/octet-stream",
    });
    const { output } = await client.send(command, this.#call(`begin ${this.#key}`, options));
    const { UploadId } = output;
    if (UploadId === undefined) {
      throw new HoldfastError("STORAGE_FAILED", `cannot begin ${this.#key}: no upload was named`);
    }
    const why = otherKeyOf(settings, output);
    if (why === undefined) return UploadId;
    this.#begun = Promise.resolve(UploadId);
    await this.abort();
    throw wrongKey(this.#key, why);
  }

  /** All of it is one piece. */
  async #storeWhole(body: Uint8Array, options: CallOptions): Promise<void> {
    const metadata = { [MARK]: this.#mark };
    const creation = { key: this.#key, body, metadata, sha256: hashOf(body) };
    const outcome = await createObject(this.#bucket, creation, options);
    if (outcome === "taken") await this.#settle(undefined, options);
  }

  async #complete(options: CallOptions): Promise<void> {
    const { conditions } = this.#bucket;
    if (conditions.honoured !== true && (await this.#bucket.find(this.#key, options))) {
      return await this.#settle(undefined, options);
    }
    try {
      await this.#sendCompletion(options, conditions.honoured !== false);
    } catch (error) {
      if (conditions.honoured !== undefined || !failedWith(error, "NotImplemented")) throw error;
      conditions.honoured = false;
      await this.#sendCompletion(options, false);
    }
  }

  async #sendCompletion(options: CallOptions, isConditional: boolean): Promise<void> {
    const { client } = this.#bucket;
    const ordered = [...this.#parts.entries()].toSorted(([a], [b]) => a - b);
    const command = new client.sdk.CompleteMultipartUploadCommand({
      ...this.#bucket.nameOf(this.#key),
      UploadId: await this.#begun!,
      ...(isConditional && { IfNoneMatch: "*" }),
      MultipartUpload: {
        Parts: ordered.map(([piece, { ETag, ChecksumSHA256 }]) => ({
          PartNumber: piece + 1,
          ETag,
          ChecksumSHA256,
        })),
      },
    });
    const { output } = await client.send(command, {
      ...this.#call(`complete ${this.#key}`, options),
      root: "CompleteMultipartUploadResult",
    });
    await refuseOtherKey(this.#bucket, this.#key, output);
  }

  /** There is an object of that name: success when it is that of this upload. */
  async #settle(error: unknown, options: CallOptions): Promise<void> {
    const found = await this.#bucket.find(this.#key, options);
    if (found?.metadata[MARK] === this.#mark) return;
    if (found !== undefined) throw taken(this.#key);
    if (isHoldfastError(error) && !isTaken(error)) throw error;
    const message = `cannot complete ${this.#key}: it was taken, and is gone again`;
    throw new HoldfastError("STORAGE_UNAVAILABLE", message, { retryable: true });
  }

  #call(
    what: string,
    { signal }: CallOptions,
  ): { kind: "put"; what: string; permission: string; signal: AbortSignal | undefined } {
    const kms = this.#bucket.options.kmsKeyId && ", kms:GenerateDataKey and kms:Decrypt";
    return { kind: "put", what, permission: `s3:PutObject${kms ?? ""}`, signal };
  }
}
