// One request over HTTP/2, as src/storage/http/transport.ts wants it. Bodies are copied piece by piece on their way out: a
// connection that others share cannot be cut when a request is given up, so what it still holds must not be the caller's.

import { constants } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { cancelled, throwIfCancelled } from "../../base/cancellation.ts";
import { HoldfastError, isHoldfastError, messageOf } from "../../base/errors.ts";
import type { RateLimit } from "../../base/rate-limit.ts";
import { AnswerBody } from "../http/answer-body.ts";
import { TornAnswer } from "../http/transport.ts";
import type { WireAnswer, WireRequest } from "../http/transport.ts";
import type { Meter } from "../meter.ts";

export interface ExchangeOptions {
  readonly meter: Meter;
  /** Milliseconds without a byte in either direction after which the request fails. */
  readonly silence: number;
  readonly upload: RateLimit | undefined;
  readonly download: RateLimit | undefined;
}

const PIECE_BYTES = 256 * 1024;

/** Sends `request` on `session`; resolves with the whole answer, whatever its status. */
export async function exchange(
  session: ClientHttp2Session,
  request: WireRequest,
  options: ExchangeOptions,
): Promise<WireAnswer> {
  return await new Exchange(request, options).run(session);
}

class Exchange {
  readonly #request: WireRequest;
  readonly #options: ExchangeOptions;
  #sent = 0;
  #headers: IncomingHttpHeaders | undefined;
  #body: AnswerBody | undefined;
  #isSettled = false;

  constructor(request: WireRequest, options: ExchangeOptions) {
    this.#request = request;
    this.#options = options;
  }

  async run(session: ClientHttp2Session): Promise<WireAnswer> {
    const { method, url, headers, body = [], signal, kind } = this.#request;
    throwIfCancelled(signal);
    const length = body.reduce((sum, { length: bytes }) => sum + bytes, 0);
    const mayHaveBody = method === "POST" || method === "PUT";
    let failed = true;
    let isAnswered = false;
    let stream: ClientHttp2Stream | undefined;
    let onAbort = (): void => {};
    try {
      stream = session.request(
        {
          ...headers,
          ":method": method,
          ":path": `${url.pathname}${url.search}`,
          ":scheme": "http",
          ":authority": url.host,
          ...(mayHaveBody && { "content-length": length }),
        },
        { endStream: length === 0 },
      );
      const answered = this.#answer(stream);
      const aborted = new Promise<never>((_, reject) => {
        onAbort = () => reject(cancelled(signal!));
        signal?.addEventListener("abort", onAbort, { once: true });
      });
      const sending = length === 0 ? answered : this.#send(stream, body).then(() => answered);
      const answer = await Promise.race([answered, sending, aborted]);
      failed = answer.status >= 400;
      isAnswered = true;
      return answer;
    } catch (error) {
      throwIfCancelled(signal);
      throw this.#failure(error);
    } finally {
      this.#isSettled = true;
      signal?.removeEventListener("abort", onAbort);
      // One that was answered while it was sent would wait for the rest of its body.
      const isOver = isAnswered && stream?.writableEnded;
      if (stream && !isOver && !stream.closed) stream.close(constants.NGHTTP2_CANCEL);
      const received = this.#body?.received ?? 0;
      this.#options.meter.count(kind, { sent: this.#sent, received, failed });
    }
  }

  async #send(stream: ClientHttp2Stream, body: readonly Uint8Array[]): Promise<void> {
    const { upload } = this.#options;
    const step = upload?.pieceBytes ?? PIECE_BYTES;
    for (const part of body) {
      for (let at = 0; at < part.length; at += step) {
        const length = Math.min(step, part.length - at);
        await upload?.take(length, this.#request.signal);
        if (this.#isSettled || stream.destroyed || stream.writableEnded) return;
        this.#sent += length;
        const piece = Buffer.from(part.subarray(at, at + length));
        if (!stream.write(piece)) await drained(stream);
      }
    }
    if (!this.#isSettled && !stream.destroyed) stream.end();
  }

  #answer(stream: ClientHttp2Stream): Promise<WireAnswer> {
    const { silence } = this.#options;
    return new Promise((resolve, reject) => {
      const torn = (error: unknown): void => reject(this.#torn(error));
      stream.setTimeout(silence, () => {
        torn(new Error(`nothing came for ${Math.round(silence / 1000)} seconds`));
      });
      stream.on("response", (headers) => {
        try {
          this.#begin(headers);
        } catch (error) {
          reject(error);
        }
        // Not earlier: a body in the same packet would come before its headers.
        stream.on("data", (chunk: Buffer) => this.#take(stream, chunk, reject));
      });
      stream.on("error", torn);
      stream.on("end", () => {
        const isWhole = (this.#announced ?? this.#body?.received) === this.#body?.received;
        // An end that was forced looks like any other but for its code.
        if (isWhole && stream.rstCode === constants.NGHTTP2_NO_ERROR) resolve(this.#made());
        else torn(new Error("the answer broke off"));
      });
      stream.on("close", () => torn(new Error("the connection was closed")));
    });
  }

  #begin(headers: IncomingHttpHeaders): void {
    const { into, what } = this.#request;
    const status = Number(headers[":status"]);
    this.#headers = headers;
    const isSuccess = status === 200 || status === 206;
    this.#body = new AnswerBody({ into, isSuccess, announced: this.#announced, what });
  }

  get #announced(): number | undefined {
    const length = this.#headers?.["content-length"];
    return length === undefined || this.#request.method === "HEAD" ? undefined : Number(length);
  }

  #take(stream: ClientHttp2Stream, chunk: Buffer, reject: (error: unknown) => void): void {
    if (this.#isSettled) return;
    try {
      this.#body?.add(chunk);
    } catch (error) {
      reject(error);
      return;
    }
    const { download } = this.#options;
    if (download === undefined) return;
    stream.pause();
    download.take(chunk.length, this.#request.signal).then(() => stream.resume(), reject);
  }

  #made(): WireAnswer {
    const { ":status": status, ...headers } = this.#headers ?? {};
    return { status: Number(status), headers, body: this.#body?.bytes() ?? new Uint8Array(0) };
  }

  /** What came of a success may be used; otherwise nothing came. */
  #torn(error: unknown): unknown {
    const told = this.#failure(error);
    const answer = this.#headers === undefined ? undefined : this.#made();
    if (answer === undefined || (answer.status !== 200 && answer.status !== 206)) return told;
    return isHoldfastError(told) ? new TornAnswer(told.message, answer, error) : told;
  }

  #failure(error: unknown): unknown {
    if (isHoldfastError(error)) return error;
    const { what } = this.#request;
    const message = `cannot ${what} through rclone: ${messageOf(error)}`;
    return new HoldfastError("STORAGE_UNAVAILABLE", message, { retryable: true, cause: error });
  }
}

/** Resolves when more may be written, or when nothing more can be. */
function drained(stream: ClientHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
  });
}
