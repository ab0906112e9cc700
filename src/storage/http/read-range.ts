// One get over HTTP, by the storage contract: exactly the bytes asked for or an error. An answer that breaks off is resumed
// where it broke, pinned to the same version of the object, as long as each attempt brings something.

import { throwIfCancelled } from "../../base/cancellation.ts";
import { concatBytes } from "../../base/bytes.ts";
import { HoldfastError } from "../../base/errors.ts";
import { lengthWithin, rangeOf } from "../ranges.ts";
import type { ByteRange } from "../ranges.ts";
import type { GetOptions } from "../storage.ts";
import { TornAnswer } from "./transport.ts";
import type { WireAnswer } from "./transport.ts";

export interface RangeRead {
  /** Value of the Range header; undefined for the whole object. */
  readonly range: string | undefined;
  /** Read this version of the object, or fail. */
  readonly pin: string | undefined;
  readonly into: Uint8Array | undefined;
  readonly signal: AbortSignal | undefined;
}

export interface RangeSource {
  /** Asks the service: answers of 200, 206 and 416 are returned, errors thrown. */
  read(request: RangeRead): Promise<WireAnswer>;
  /** What pins the version that an answer came from; undefined when the service names none. */
  pinOf(headers: WireAnswer["headers"]): string | undefined;
  /** Bytes of the object. */
  size(signal: AbortSignal | undefined): Promise<number>;
}

const RESUMPTIONS_MAX = 20;

/** Reads what `options` ask for; errors as the contract says. */
export async function readRange(
  key: string,
  options: GetOptions,
  source: RangeSource,
): Promise<Uint8Array> {
  const range = rangeOf(key, options);
  const { signal } = options;
  throwIfCancelled(signal);
  if (range.length === 0) {
    lengthWithin(key, range, await source.size(signal));
    return options.into?.subarray(0, 0) ?? new Uint8Array(0);
  }
  const into = options.into?.subarray(0, range.length);
  const pieces: Uint8Array[] = [];
  let done = 0;
  let pin: string | undefined;
  for (let resumptions = 0; ; resumptions++) {
    try {
      const request = { range: headerOf(range, done), pin, into: into?.subarray(done), signal };
      const answer = await source.read(request);
      if (answer.status === 416) return await beyondEnd(key, range, source, signal);
      checkPlace(key, answer, range, done);
      pieces.push(answer.body);
      done += answer.body.length;
      break;
    } catch (error) {
      const torn = error instanceof TornAnswer ? error.answer : undefined;
      if (torn === undefined || torn.body.length === 0 || resumptions === RESUMPTIONS_MAX)
        throw error;
      checkPlace(key, torn, range, done);
      pin ??= source.pinOf(torn.headers);
      // Without a version to hold on to, two halves might be of two objects.
      if (pin === undefined) throw error;
      pieces.push(torn.body);
      done += torn.body.length;
      if (done === range.length) break;
    }
  }
  if (range.length !== undefined && done !== range.length) {
    if (done < range.length) lengthWithin(key, range, range.offset + done);
    throw new HoldfastError(
      "STORAGE_FAILED",
      `${key}: ${done} bytes came where ${range.length} were asked for`,
    );
  }
  if (into !== undefined) return into;
  return pieces.length === 1 ? pieces[0]! : concatBytes(pieces);
}

function headerOf({ offset, length }: ByteRange, done: number): string | undefined {
  const from = offset + done;
  if (length !== undefined) return `bytes=${from}-${offset + length - 1}`;
  return from === 0 ? undefined : `bytes=${from}-`;
}

/** The service says that the range begins behind the end, which for "to the end" may be exactly there. */
async function beyondEnd(
  key: string,
  range: ByteRange,
  source: RangeSource,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const length = lengthWithin(key, range, await source.size(signal));
  if (length === 0) return new Uint8Array(0);
  throw new HoldfastError("STORAGE_UNAVAILABLE", `${key} changed while it was read`, {
    retryable: true,
  });
}

/** The answer must begin where it was asked to, and the object reach as far as was asked for. */
function checkPlace(key: string, answer: WireAnswer, range: ByteRange, done: number): void {
  const from = range.offset + done;
  const { headers } = answer;
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity") {
    throw new HoldfastError("STORAGE_FAILED", `cannot read ${key}: it was compressed on the way`);
  }
  if (answer.status === 200) {
    // Whoever ends a body by hanging up may as well have been cut off.
    const isBounded = "content-length" in headers || "transfer-encoding" in headers;
    if (!isBounded && range.length === undefined) {
      throw new HoldfastError("STORAGE_FAILED", `cannot read ${key}: the server tells no length`);
    }
    if (from === 0) return;
    throw new HoldfastError("STORAGE_FAILED", `cannot read ${key}: the server ignores ranges`);
  }
  const match = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(answer.headers["content-range"] ?? "");
  if (match === null || Number(match[1]) !== from) {
    throw new HoldfastError("STORAGE_FAILED", `cannot read ${key}: the server sent another range`);
  }
  if (match[2] !== "*") lengthWithin(key, range, Number(match[2]));
}
