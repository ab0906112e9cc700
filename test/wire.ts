// Wires under test and the servers at their other end: proper ones, and some that say whatever a test wants said.

import { createServer as createHttp } from "node:http";
import type { RequestListener } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { systemClock } from "../src/base/clock.ts";
import { openSockets } from "../src/storage/http/sockets.ts";
import type { SocketOptions } from "../src/storage/http/sockets.ts";
import type { Transport, WireRequest } from "../src/storage/http/transport.ts";
import { Meter } from "../src/storage/meter.ts";

const CLOSERS: (() => Promise<void> | void)[] = [];
/** Ends all that was opened here. */
export async function closeWires(): Promise<void> {
  for (const close of CLOSERS.splice(0)) await close();
}

/** Has `close` called at the end. */
export function atEnd(close: () => Promise<void> | void): void {
  CLOSERS.push(close);
}

/** A wire with a meter, and a short patience. */
export function openWire(options: Partial<SocketOptions> = {}): { wire: Transport; meter: Meter } {
  const meter = new Meter();
  const wire = openSockets({
    connections: 4,
    clock: systemClock,
    meter,
    silence: 5_000,
    userAgent: "holdfast/test",
    ...options,
  });
  CLOSERS.push(() => wire.close());
  return { wire, meter };
}

/** The port that the server listens at from now on. */
export async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  CLOSERS.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/** A server that speaks HTTP by itself, whatever it likes; told of each connection and the text that came. */
export async function speak(
  answer: (socket: Socket, text: string, count: number) => void,
): Promise<string> {
  let count = 0;
  const server = createServer((socket) => {
    const own = ++count;
    socket.on("data", (data) => answer(socket, data.toString("latin1"), own));
  });
  return `http://127.0.0.1:${await listen(server)}`;
}

/** A server of Node; its address. */
export async function serve(listener: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listen(createHttp(listener))}`;
}

/** A request of `url`. */
export function get(url: string, more: Partial<WireRequest> = {}): WireRequest {
  return { kind: "get", method: "GET", url: new URL(url), what: "read it", ...more };
}
