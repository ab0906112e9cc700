// Reading objects, whole and in ranges. A body that breaks off is continued where it broke, from the same object
// (If-Match); an object that is shorter than what was asked for is an error, never a short read.

import { HoldfastError } from "../../base/errors.ts";
import { TornAnswer } from "../http/transport.ts";
import type { WireAnswer } from "../http/transport.ts";
import { lengthWithin, rangeOf } from "../ranges.ts";
import type { ByteRange } from "../ranges.ts";
import type { GetOptions } from "../storage.ts";
import type { Bucket } from "./bucket.ts";
import { S3Failure } from "./client.ts";

/** How often one body is continued, each time with some progress. */
const CONTINUATIONS_MAX = 16;
/** Up to here memory is taken before the answer says that there is so much. */
const MEMORY_AHEAD = 64 * 1024 * 1024;

/** As `get` of src/storage/storage.ts, for a key that was checked. */
export async function readObject(
  bucket: Bucket,
  key: string,
  options: GetOptions,
): Promise<Uint8Array> {
  const range = rangeOf(key, options);
  const { signal } = options;
  const { length } = range;
  if (length === 0) {
    const { size } = await bucket.prove(key, options);
    lengthWithin(key, range, size);
    return options.into?.subarray(0, 0) ?? new Uint8Array(0);
  }
  let into = options.into?.subarray(0, length);
  if (into === undefined && length !== undefined && length <= MEMORY_AHEAD) {
    into = Buffer.allocUnsafeSlow(length);
  }
  try {
    return await new Reading(bucket, key, range, { into, signal }).run();
  } catch (error) {
    if (!(error instanceof S3Failure && error.fault.status === 416)) throw error;
    const { size } = await bucket.prove(key, options);
    lengthWithin(key, range, size);
    return new Uint8Array(0);
  }
}

/** One body, in as many answers as it takes. */
class Reading {
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #range: ByteRange;
  readonly #into: Uint8Array | undefined;
  readonly #signal: AbortSignal | undefined;
  /** What came, in order; with memory to read into they lie there one behind the other. */
  readonly #parts: Uint8Array[] = [];
  #received = 0;
  /** Bytes of the whole object, and which object it is, as the first answer says. */
  #size: number | undefined;
  #etag: string | undefined;

  constructor(
    bucket: Bucket,
    key: string,
    range: ByteRange,
    memory: { into: Uint8Array | undefined; signal: AbortSignal | undefined },
  ) {
    this.#bucket = bucket;
    this.#key = key;
    this.#range = range;
    this.#into = memory.into;
    this.#signal = memory.signal;
  }

  async run(): Promise<Uint8Array> {
    for (let continued = 0; ; continued += 1) {
      try {
        this.#take(await this.#ask());
        return this.#whole();
      } catch (error) {
        if (!(error instanceof TornAnswer)) throw this.#changed(error);
        const got = this.#take(error.answer);
        const canContinue = this.#etag !== undefined && continued < CONTINUATIONS_MAX;
        if (got === 0 || !canContinue) throw error;
        if (this.#received === this.#wanted()) return this.#whole();
      }
    }
  }

  async #ask(): Promise<WireAnswer> {
    const { client } = this.#bucket;
    const { offset, length } = this.#range;
    const from = offset + this.#received;
    const to = length === undefined ? "" : offset + length - 1;
    const isWhole = from === 0 && length === undefined;
    const command = new client.sdk.GetObjectCommand({
      ...this.#bucket.nameOf(this.#key),
      ...(!isWhole && { Range: `bytes=${from}-${to}` }),
      ...(this.#received > 0 && { IfMatch: this.#etag! }),
    });
    const { answer } = await client.send(command, {
      kind: "get",
      what: `read ${this.#key}`,
      permission: "s3:GetObject and s3:ListBucket",
      into: this.#into?.subarray(this.#received),
      signal: this.#signal,
    });
    return answer;
  }

  /** Keeps what an answer brought; the number of its bytes. */
  #take(answer: WireAnswer): number {
    const { status, headers } = answer;
    let { body } = answer;
    if (status === 206) {
      this.#size ??= Number(/\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1] ?? NaN);
    } else if (this.#received > 0) {
      const why = "the service began anew where it was asked to continue";
      throw new HoldfastError("STORAGE_FAILED", `cannot read ${this.#key}: ${why}`);
    } else {
      // It knows no ranges: the whole object came.
      this.#size ??= Number(headers["content-length"] ?? body.length);
      const { offset, length = body.length } = this.#range;
      if (this.#into === undefined) body = body.subarray(offset, offset + length);
      else if (offset > 0) {
        const why = "the service does not give parts of objects";
        throw new HoldfastError("STORAGE_FAILED", `cannot read ${this.#key}: ${why}`);
      }
    }
    this.#etag ??= headers.etag;
    this.#parts.push(body);
    this.#received += body.length;
    return body.length;
  }

  #wanted(): number {
    const { offset, length } = this.#range;
    return length ?? (this.#size ?? Infinity) - offset;
  }

  #whole(): Uint8Array {
    const { length } = this.#range;
    if (length !== undefined && this.#received < length) {
      const size = this.#size ?? NaN;
      const end = this.#range.offset + this.#received;
      lengthWithin(this.#key, this.#range, Number.isNaN(size) || size > end ? end : size);
    }
    if (this.#into !== undefined) return this.#into.subarray(0, this.#received);
    return this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts);
  }

  /** The object that was read from is another one now: begin anew. */
  #changed(error: unknown): unknown {
    const isOther = error instanceof S3Failure && error.fault.status === 412;
    if (!isOther) return error;
    const message = `cannot read ${this.#key}: it was replaced while it was read`;
    return new HoldfastError("STORAGE_UNAVAILABLE", message, { retryable: true, cause: error });
  }
}
