// Requests over a wire, whatever the wire is: HTTP/1.1 sockets (src/storage/http/sockets.ts) or the pipes of a child.
// A transport knows nothing of any service. It resolves with every whole answer, also with that of an error, and rejects
// with CANCELLED, with STORAGE_UNAVAILABLE when the wire failed in passing, or with TornAnswer.

import type { IncomingHttpHeaders } from "node:http";
import { HoldfastError } from "../../base/errors.ts";
import type { RequestKind } from "../meter.ts";

export interface WireRequest {
  readonly kind: RequestKind;
  readonly method: string;
  readonly url: URL;
  /** Path of a socket of this machine to use in place of the URL's host. */
  readonly socketPath?: string | undefined;
  readonly headers?: Readonly<Record<string, string | number>> | undefined;
  /** The body in parts that follow each other; its length is told in the headers. Not read after the call settled. */
  readonly body?: readonly Uint8Array[] | undefined;
  /** Where the body of a 200 or 206 goes; more than fits is an error. Not touched after the call settled. */
  readonly into?: Uint8Array | undefined;
  /** What is being done, for messages: "read data/ab/ab12…". */
  readonly what: string;
  readonly signal?: AbortSignal | undefined;
}

export interface WireAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** A view of `into` for a success that was read into it. */
  readonly body: Uint8Array;
}

export interface Transport {
  request(request: WireRequest): Promise<WireAnswer>;
  close(): Promise<void>;
}

/** An answer that began and broke off: what came of it may be used, and the rest asked for. */
export class TornAnswer extends HoldfastError {
  readonly answer: WireAnswer;

  constructor(message: string, answer: WireAnswer, cause: unknown) {
    super("STORAGE_UNAVAILABLE", message, { retryable: true, cause });
    this.answer = answer;
  }
}

/** Most bytes of an answer that was not given memory to go to: a page of a list, a key file, an index. */
export const ANSWER_BYTES_MAX: number = 1 << 30;
/** Bytes of an error's answer that are kept. */
export const ERROR_BYTES_MAX: number = 64 * 1024;

/** The text of an answer, for JSON and for messages. */
export function textOf(answer: WireAnswer): string {
  const { buffer, byteOffset, length } = answer.body;
  return Buffer.from(buffer, byteOffset, length).toString("utf8");
}
