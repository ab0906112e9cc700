// A way through a proxy to a server under TLS: CONNECT, and then whatever is written passes in both directions.

import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { BadAnswer, parseHead } from "./head.ts";
import type { Proxy } from "./proxy.ts";

const HEAD_BYTES_MAX = 16 * 1024;

/** The proxy does not open the way; `status` is what it answered. */
export class ProxyError extends Error {
  readonly status: number | undefined;

  constructor(message: string, status: number | undefined) {
    super(message);
    this.status = status;
  }
}

/** The stream behind a proxy's socket; it fails when the proxy refuses. */
export class Tunnel extends Duplex {
  readonly #socket: Socket;
  readonly #name: string;
  #text = "";
  #isOpen = false;
  /** The other side has said all it had to say. */
  #isEnded = false;
  /** What waits until the proxy has agreed. */
  #waiting: (() => void)[] = [];

  constructor(socket: Socket, target: string, proxy: Proxy) {
    super();
    this.#name = `${proxy.host}:${proxy.port}`;
    const { authorization } = proxy;
    this.#socket = socket;
    const lines = [`CONNECT ${target} HTTP/1.1`, `host: ${target}`];
    if (authorization !== undefined) lines.push(`proxy-authorization: ${authorization}`);
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("end", () => {
      this.#isEnded = true;
      if (this.#isOpen) this.push(null);
      else this.#refuse("closed the connection");
    });
    socket.on("error", (error) => this.destroy(error));
    // After an end, what came is still to be read.
    socket.on("close", () => {
      if (!this.#isEnded) this.#refuse("closed the connection");
    });
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
      if (this.#text.length > HEAD_BYTES_MAX) this.#refuse("speaks no HTTP");
      return;
    }
    try {
      const { status } = parseHead(this.#text.slice(0, end), "CONNECT");
      if (status !== 200) return this.#refuse(`answered ${status}`, status);
    } catch (error) {
      if (error instanceof BadAnswer) return this.#refuse("speaks no HTTP");
      return void this.destroy(error as Error);
    }
    const rest = Buffer.from(this.#text.slice(end + 4), "latin1");
    this.#text = "";
    this.#isOpen = true;
    for (const write of this.#waiting.splice(0)) write();
    if (rest.length > 0) this.push(rest);
  }

  #refuse(what: string, status?: number): void {
    this.destroy(new ProxyError(`the proxy ${this.#name} ${what}`, status));
  }
}
