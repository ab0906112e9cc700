// Uploads in pieces, through a session that the service keeps for a week. After a failure the service is asked what it
// has, so a piece is sent again only as far as it is missing. The session's address is all it takes to write the object:
// it is as secret as a token and appears in no message.

import { crc32c, crc32cText } from "../../base/crc32c.ts";
import { HoldfastError } from "../../base/errors.ts";
import type { WireAnswer } from "../http/transport.ts";
import type { CallOptions, Upload } from "../storage.ts";
import { resourceOf } from "./answers.ts";
import type { ObjectResource } from "./answers.ts";
import { GOOGLE_ENDPOINT } from "./service.ts";
import type { Service } from "./service.ts";

/** A multiple of 256 KiB, as the service wants it: large enough that round trips do not count. */
const PIECE_BYTES = 16 << 20;

export interface ResumableOptions {
  readonly service: Service;
  readonly key: string;
  /** The session's address. */
  readonly session: string;
  /** Judges the finished object: its key, its checksum. */
  readonly accept: (resource: ObjectResource, checksum: string, size: number) => Promise<void>;
}

/** The session's address in the answer that opened it. STORAGE_FAILED when it leads elsewhere. */
export function sessionOf(answer: WireAnswer, service: Service, key: string): string {
  const location = answer.headers.location ?? "";
  const isOurs =
    URL.canParse(location) &&
    (new URL(location).origin === new URL(service.endpoint).origin ||
      (service.endpoint === GOOGLE_ENDPOINT &&
        /^https:\/\/[\w.-]+\.googleapis\.com\//.test(location)));
  if (isOurs) return location;
  throw new HoldfastError("STORAGE_FAILED", `cannot write ${key}: the upload would go elsewhere`, {
    hint: "The service answered with an address that is not its own; check the endpoint.",
  });
}

/** The upload through an open session. */
export function resumableUpload(options: ResumableOptions): Upload {
  const session = new Session(options);
  return {
    pieceBytes: PIECE_BYTES,
    parallel: 1,
    write: (piece, bytes, call) => session.write(piece, bytes, call),
    finish: (piece, bytes, call) => session.finish(piece, bytes, call),
    abort: () => session.abort(),
  };
}

class Session {
  readonly #options: ResumableOptions;
  /** CRC-32C of the pieces so far, and how many they are. */
  #checksum = 0;
  #summed = 0;
  /** Bytes that the service said it has; undefined after a failure, when nobody knows. */
  #held: number | undefined = 0;
  #resource: ObjectResource | undefined;
  /** How the finished object was judged, once and for all: one that was refused may be somebody else's by now. */
  #verdict: Promise<void> | undefined;

  constructor(options: ResumableOptions) {
    this.#options = options;
  }

  async write(piece: number, bytes: Uint8Array, call: CallOptions = {}): Promise<void> {
    this.#sum(piece, bytes);
    await this.#send(piece * PIECE_BYTES, bytes, undefined, call);
  }

  async finish(piece: number, bytes: Uint8Array, call: CallOptions = {}): Promise<void> {
    if (this.#verdict !== undefined) return await this.#verdict;
    this.#sum(piece, bytes);
    const start = piece * PIECE_BYTES;
    const total = start + bytes.length;
    await this.#send(start, bytes, total, call);
    this.#verdict ??= this.#options.accept(this.#resource!, crc32cText(this.#checksum), total);
    await this.#verdict;
  }

  async abort(): Promise<void> {
    if (this.#resource !== undefined) return;
    const { key, service, session: path } = this.#options;
    const call = { kind: "delete", method: "DELETE", path, what: `give up ${key}` } as const;
    // The service answers 499; whatever it says, it forgets the session by itself in a week.
    await service.call({ ...call, expect: [404, 410, 499] }).catch(() => undefined);
  }

  #sum(piece: number, bytes: Uint8Array): void {
    if (piece !== this.#summed) return;
    this.#checksum = crc32c(bytes, this.#checksum);
    this.#summed += 1;
  }

  /** Sends what the service lacks of the bytes that begin at `start`; `total` is known with the last ones only. */
  async #send(
    start: number,
    bytes: Uint8Array,
    total: number | undefined,
    { signal }: CallOptions,
  ): Promise<void> {
    const end = start + bytes.length;
    let last = -1;
    while (this.#resource === undefined) {
      this.#held ??= await this.#ask(total, signal);
      if (this.#resource !== undefined) return;
      if (this.#held >= end && total === undefined) return;
      if (this.#held < start || this.#held > end) {
        throw this.#failed(
          `the service has ${this.#held} bytes where ${start} to ${end} were sent`,
        );
      }
      // Two rounds without progress: let whoever retries wait a little.
      if (this.#held === last) throw this.#stuck();
      last = this.#held;
      const from = this.#held;
      this.#held = undefined;
      const rest = bytes.subarray(from - start);
      const span = rest.length === 0 ? "*" : `${from}-${end - 1}`;
      const answer = await this.#put(`bytes ${span}/${total ?? "*"}`, [rest], signal);
      this.#held = this.#take(answer, from);
    }
  }

  async #ask(total: number | undefined, signal: AbortSignal | undefined): Promise<number> {
    return this.#take(await this.#put(`bytes */${total ?? "*"}`, [], signal), 0);
  }

  async #put(
    range: string,
    body: readonly Uint8Array[],
    signal: AbortSignal | undefined,
  ): Promise<WireAnswer> {
    const { service, session, key } = this.#options;
    const answer = await service.call({
      kind: "put",
      method: "PUT",
      path: session,
      headers: { "content-range": range },
      body,
      what: `write ${key}`,
      expect: [308, 404, 410, 412],
      signal,
    });
    if (answer.status === 412) {
      throw new HoldfastError("STORAGE_EXISTS", `${key} exists already`);
    }
    if (answer.status === 404 || answer.status === 410) {
      throw this.#failed("the service has forgotten the upload");
    }
    return answer;
  }

  /** How much the service has now; everything, once it answers with the object. */
  #take(answer: WireAnswer, from: number): number {
    if (answer.status !== 308) {
      this.#resource = resourceOf(answer, `write ${this.#options.key}`);
      return this.#resource.size;
    }
    const held = /^bytes=0-(\d+)$/.exec(answer.headers.range ?? "")?.[1];
    if (held === undefined && from > 0) throw this.#failed("the service has lost the upload");
    return held === undefined ? 0 : Number(held) + 1;
  }

  #failed(why: string): HoldfastError {
    return new HoldfastError("STORAGE_FAILED", `cannot write ${this.#options.key}: ${why}`, {
      hint: "Start again: nothing of this object was stored.",
    });
  }

  #stuck(): HoldfastError {
    const message = `cannot write ${this.#options.key}: the service takes no more of it for now`;
    return new HoldfastError("STORAGE_UNAVAILABLE", message, { retryable: true });
  }
}
