// Reading no faster than a rate allows: what came is paid for before more is taken. Under TLS some more comes after a socket
// was told to pause; it is paid for as well. Our own pauses are no silence of the server's.

import type { Socket } from "node:net";
import type { RateLimit } from "../../base/rate-limit.ts";

export class Pace {
  readonly #socket: Socket;
  readonly #limit: RateLimit;
  readonly #end = new AbortController();
  #owed = 0;
  #isPaying = false;
  #silence = 0;

  constructor(socket: Socket, limit: RateLimit) {
    this.#socket = socket;
    this.#limit = limit;
  }

  /** Bytes to read at once. */
  get pieceBytes(): number {
    return this.#limit.pieceBytes;
  }

  /** Milliseconds of silence after which the socket times out while it is read; 0 for never. */
  watch(silence: number): void {
    this.#silence = silence;
    if (!this.#isPaying) this.#socket.setTimeout(silence);
  }

  /** So many bytes came: stops the reading until they are paid for. */
  took(bytes: number): void {
    this.#owed += bytes;
    if (!this.#isPaying) void this.#pay();
  }

  /** Nothing more will be read. */
  stop(): void {
    this.#end.abort();
  }

  async #pay(): Promise<void> {
    const { signal } = this.#end;
    this.#isPaying = true;
    this.#socket.setTimeout(0);
    this.#socket.pause();
    try {
      while (this.#owed > 0) {
        const bytes = this.#owed;
        this.#owed = 0;
        await this.#limit.take(bytes, signal);
      }
    } catch {
      // The connection is gone.
      return;
    }
    this.#isPaying = false;
    this.#socket.setTimeout(this.#silence);
    this.#socket.resume();
  }
}
