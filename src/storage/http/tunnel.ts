// A way through a proxy to a server under TLS: CONNECT, and then whatever is written passes in both directions.

import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { BadAnswer, parseHead } from "./head.ts";

const HEAD_BYTES_MAX = 16 * 1024;

/** The stream behind a proxy's socket; it fails when the proxy refuses. */
export class Tunnel extends Duplex {
  readonly #socket: Socket;
  #text = "";
  #isOpen = false;
  /** What waits until the proxy has agreed. */
  #waiting: (() => void)[] = [];

  constructor(socket: Socket, target: string, authorization: string | undefined) {
    super();
    this.#socket = socket;
    const lines = [`CONNECT ${target} HTTP/1.1`, `host: ${target}`];
    if (authorization !== undefined) lines.push(`proxy-authorization: ${authorization}`);
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("end", () => (this.#isOpen ? this.push(null) : this.destroy(refusal("closed it"))));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const write = (): void => void this.#socket.write(chunk, done);
    if (this.#isOpen) write();
    else this.#waiting.push(write);
  }

  override _final(done: () => void): void {
    const end = (): void => void this.#socket.end(done);
    if (this.#isOpen) end();
    else this.#waiting.push(end);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #take(chunk: Buffer): void {
    if (this.#isOpen) {
      if (!this.push(chunk)) this.#socket.pause();
      return;
    }
    this.#text += chunk.toString("latin1");
    const end = this.#text.indexOf("\r\n\r\n");
    if (end < 0) {
      if (this.#text.length > HEAD_BYTES_MAX) this.destroy(refusal("speaks no HTTP"));
      return;
    }
    try {
      const { status } = parseHead(this.#text.slice(0, end), "CONNECT");
      if (status !== 200) return void this.destroy(refusal(`answered ${status}`));
    } catch (error) {
      const isBad = error instanceof BadAnswer;
      return void this.destroy(isBad ? refusal("speaks no HTTP") : (error as Error));
    }
    const rest = Buffer.from(this.#text.slice(end + 4), "latin1");
    this.#text = "";
    this.#isOpen = true;
    for (const write of this.#waiting.splice(0)) write();
    if (rest.length > 0) this.push(rest);
  }
}

function refusal(what: string): Error {
  return new Error(`the proxy ${what}`);
}
