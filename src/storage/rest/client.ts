// Requests to one repository on a REST server, over any wire: addresses, the password, and what its statuses mean.
// The address is never shown: a hint or a message must not repeat a password that stands in it.

import type { Clock } from "../../base/clock.ts";
import type { HoldfastError } from "../../base/errors.ts";
import { statusError } from "../http/status.ts";
import type { Transport, WireAnswer } from "../http/transport.ts";
import type { RequestKind } from "../meter.ts";

/** Asks for lists with sizes; a server of version 1 answers with names alone. */
export const VERSION_2 = "application/vnd.x.restic.rest.v2";

export interface RestCredentials {
  readonly user: string;
  readonly password: string;
}

export interface RestClientOptions {
  /** Address of the repository, with a final "/" and without user and password. */
  readonly url: URL;
  readonly socketPath?: string | undefined;
  readonly credentials?: RestCredentials | undefined;
  readonly transport: Transport;
  readonly clock: Clock;
}

export interface RestCall {
  readonly kind: RequestKind;
  readonly method: string;
  /** Below the repository's address. */
  readonly path: string;
  readonly what: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly into?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class RestClient {
  readonly #options: RestClientOptions;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(options: RestClientOptions) {
    this.#options = options;
    const { credentials } = options;
    this.#headers = credentials ? { authorization: basic(credentials) } : {};
  }

  /** The whole answer, whatever its status; errors are those of the transport. */
  request(call: RestCall): Promise<WireAnswer> {
    const { path, headers, body, ...rest } = call;
    const { url, socketPath, transport } = this.#options;
    return transport.request({
      ...rest,
      url: new URL(path, url),
      headers: { ...this.#headers, ...headers },
      ...(socketPath !== undefined && { socketPath }),
      ...(body && { body: [body] }),
    });
  }

  /** The error of an answer that is no success. */
  failure(what: string, answer: WireAnswer, hint?: string): HoldfastError {
    const told = hint ?? this.#hintOf(answer);
    return statusError({ what, answer, hint: told, now: this.#options.clock.now() });
  }

  close(): Promise<void> {
    return this.#options.transport.close();
  }

  #hintOf({ status }: WireAnswer): string | undefined {
    if (status === 401 && this.#options.credentials === undefined) {
      return "The server wants a user and a password: write them into the location, or set RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD.";
    }
    if (status === 401 || status === 403) {
      return "Check user, password and path: where repositories are private it begins with the user's name.";
    }
    if (status >= 300 && status < 400) {
      return "The server leads to another address. Write that one into the location: https:// perhaps.";
    }
    return undefined;
  }
}

function basic({ user, password }: RestCredentials): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

/** True for the statuses with which servers confirm. */
export function isDone({ status }: WireAnswer): boolean {
  return status >= 200 && status < 300;
}

/** What the server calls itself, if it does. */
export function serverName(answer: WireAnswer): string | undefined {
  const name: unknown = answer.headers["server"];
  return typeof name === "string" ? name : undefined;
}

/** True when rclone answered: its answers differ in places. */
export function isRclone(answer: WireAnswer): boolean {
  return serverName(answer)?.startsWith("rclone/") ?? false;
}
