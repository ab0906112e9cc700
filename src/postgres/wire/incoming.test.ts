import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { seededBytes } from "../../../test/seeded-bytes.ts";
import { Incoming } from "./incoming.ts";
import { message } from "./messages.ts";
import { ReadMemory } from "./read-memory.ts";

let port = 0;
let said: Socket[] = [];
const listener = createServer((socket) => said.push(socket.on("error", () => {})));
before(async () => {
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  ({ port } = listener.address() as AddressInfo);
});
after(() => listener.close());

/** A connection: what the other end writes to, and what reads from it. */
async function pair(): Promise<{ server: Socket; memory: ReadMemory; incoming: Incoming }> {
  said = [];
  const memory = new ReadMemory();
  memory.socket.connect(port, "127.0.0.1");
  await once(memory.socket, "connect");
  while (said.length === 0) await new Promise((resolve) => setImmediate(resolve));
  memory.socket.pause();
  return { server: said[0]!, memory, incoming: new Incoming(memory.socket, memory) };
}

/** Writes everything, in pieces of those sizes. */
function write(server: Socket, bytes: Buffer, sizes: readonly number[]): void {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    server.write(bytes.subarray(at, at + size));
    at += size;
  }
}

describe("messages of a server", () => {
  for (const isLent of [false, true]) {
    test(`come whole and in order, however they are cut, with memory that ${isLent ? "is lent" : "stays"}`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.nat(200_000), { minLength: 1, maxLength: 12 }),
          fc.array(fc.integer({ min: 1, max: 150_000 }), { minLength: 1, maxLength: 6 }),
          async (lengths, sizes) => {
            const bodies = lengths.map((length, i) => seededBytes(`${i} ${length}`, length));
            const { server, memory, incoming } = await pair();
            memory.isLent = isLent;
            write(server, Buffer.concat(bodies.map((body) => message("d", body))), sizes);
            const kept: Buffer[] = [];
            for (const body of bodies) {
              const found = await incoming.next();
              assert.equal(found.type, 0x64);
              assert.ok(found.body.equals(body));
              kept.push(found.body);
            }
            if (!isLent) assert.ok(kept.every((body, i) => body.equals(bodies[i]!)));
            memory.socket.destroy();
            server.destroy();
          },
        ),
        { numRuns: 30 },
      );
    });
  }

  test("what was read while memory was lent stays as it is once it is not", async () => {
    const { server, memory, incoming } = await pair();
    const bodies = Array.from({ length: 40 }, (_, i) => seededBytes(`stay ${i}`, 30_000));
    memory.isLent = true;
    write(server, Buffer.concat(bodies.map((body) => message("d", body))), [70_000]);
    assert.ok((await incoming.next()).body.equals(bodies[0]!));
    memory.isLent = false;
    const kept: Buffer[] = [];
    for (let i = 1; i < bodies.length; i++) kept.push((await incoming.next()).body);
    assert.ok(kept.every((body, i) => body.equals(bodies[i + 1]!)));
    memory.socket.destroy();
    server.destroy();
  });

  test("a reader that does not take leaves the rest to the server", async () => {
    const { server, memory, incoming } = await pair();
    memory.isLent = true;
    const piece = message("d", Buffer.alloc(60_000));
    let accepted = 0;
    for (let i = 0; i < 2000; i++) server.write(piece, () => (accepted += piece.length));
    await incoming.next();
    for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
    // A hundred megabytes are on offer: what was taken over is in the buffers of two sockets, and a little of ours.
    assert.ok(accepted < 60e6, `${accepted} bytes`);
    for (let i = 1; i < 2000; i++) await incoming.next();
    memory.socket.destroy();
    server.destroy();
  });

  test("an end in the middle of a message, and what is no message, are errors", async () => {
    const cut = await pair();
    cut.server.end(message("d", Buffer.alloc(100)).subarray(0, 50));
    await assert.rejects(cut.incoming.next(), { code: "POSTGRES_UNREACHABLE", retryable: true });
    const foreign = await pair();
    foreign.server.write("HTTP/1.1 400 Bad Request\r\n\r\n");
    await assert.rejects(foreign.incoming.next(), { code: "POSTGRES_FAILED" });
    for (const { memory, server } of [cut, foreign]) {
      memory.socket.destroy();
      server.destroy();
    }
  });
});
