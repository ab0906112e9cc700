import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp } from "node:http";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { after, suite, test } from "node:test";
import { seededBytes } from "../../../test/seeded-bytes.ts";
import { closeWires, get, listen, openWire, serve, speak } from "../../../test/wire.ts";
import { systemClock } from "../../base/clock.ts";
import { RateLimit } from "../../base/rate-limit.ts";
import { textOf, TornAnswer } from "./transport.ts";
import type { WireRequest } from "./transport.ts";

const BODY = seededBytes("sockets", 3_000_000);
after(closeWires);

suite("answers", () => {
  test("bodies go into the memory given, of every kind, and only there", async () => {
    const url = await serve((_, response) => response.end(BODY));
    const { wire, meter } = openWire();
    for (const buffer of [
      new ArrayBuffer(BODY.length + 20),
      new SharedArrayBuffer(BODY.length + 20),
    ]) {
      const memory = new Uint8Array(buffer).fill(7);
      const into = memory.subarray(10, 10 + BODY.length);
      const answer = await wire.request(get(url, { into }));
      assert.equal(answer.body.buffer, buffer);
      assert.ok(BODY.equals(answer.body));
      assert.ok([...memory.subarray(0, 10), ...memory.subarray(-10)].every((byte) => byte === 7));
    }
    const alone = await wire.request(get(url));
    assert.ok(BODY.equals(alone.body));
    assert.deepEqual(meter.read(), {
      requests: { get: 3 },
      failed: 0,
      sent: 0,
      received: 3 * BODY.length,
    });
  });

  test("more than the memory takes is an error, before it is written", async () => {
    const url = await serve((_, response) => response.end(BODY));
    const { wire } = openWire();
    const into = new Uint8Array(100);
    await assert.rejects(wire.request(get(url, { into })), { code: "STORAGE_FAILED" });
    assert.ok(into.every((byte) => byte === 0));
  });

  test("an error's body is kept apart from the memory", async () => {
    const url = await serve((_, response) => response.writeHead(404).end("nothing"));
    const into = new Uint8Array(100);
    const answer = await openWire().wire.request(get(url, { into }));
    assert.deepEqual([answer.status, textOf(answer)], [404, "nothing"]);
    assert.ok(into.every((byte) => byte === 0));
  });

  test("chunked, until the end, interim, and cut at every byte", async () => {
    const texts = [
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.0 200 OK\r\n\r\nhello",
    ];
    for (const text of texts) {
      for (const into of [undefined, new Uint8Array(5)]) {
        const url = await speak((socket) => {
          const send = (at: number): void => {
            if (at === text.length) return void (text.includes("1.0") && socket.end());
            socket.write(text[at]!, () => setImmediate(send, at + 1));
          };
          send(0);
        });
        const answer = await openWire().wire.request(get(url, { into }));
        assert.equal(textOf(answer), "hello", text);
      }
    }
  });

  test("what is not HTTP, or more than was asked for, is a passing fault", async () => {
    const texts = [
      "SSH-2.0-OpenSSH\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more",
      "HTTP/1.1 101 Switching\r\n\r\n",
      `HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(20_000)}`,
    ];
    for (const text of texts) {
      const url = await speak((socket) => socket.write(text));
      const asked = openWire().wire.request(get(url));
      await assert.rejects(asked, { code: "STORAGE_UNAVAILABLE", retryable: true });
    }
  });

  test("an answer that breaks off gives what came", async () => {
    const url = await speak((socket) => {
      socket.end("HTTP/1.1 206 Partial\r\nContent-Length: 10\r\nX-Version: 3\r\n\r\nhell");
    });
    for (const into of [undefined, new Uint8Array(10)]) {
      await assert.rejects(openWire().wire.request(get(url, { into })), (error) => {
        assert.ok(error instanceof TornAnswer);
        assert.deepEqual([textOf(error.answer), error.answer.headers["x-version"]], ["hell", "3"]);
        return error.retryable;
      });
    }
  });
});

suite("connections", () => {
  test("are used again, and no more of them than allowed", async () => {
    let connections = 0;
    let running = 0;
    let most = 0;
    const server = createHttp((_, response) => {
      most = Math.max(most, ++running);
      setImmediate(() => {
        running--;
        response.end("x");
      });
    });
    server.on("connection", () => connections++);
    const url = `http://127.0.0.1:${await listen(server)}`;
    const { wire } = openWire({ connections: 3 });
    await Promise.all(Array.from({ length: 30 }, () => wire.request(get(url))));
    assert.ok(most <= 3 && connections <= 3, `${most} at once, ${connections} connections`);
  });

  test("a kept one that was closed meanwhile is replaced, once and without a word", async () => {
    let requests = 0;
    const url = await speak((socket, _, count) => {
      // The first answers once and dies at the second request, as a server does whose patience ended.
      if (++requests === 2) socket.destroy();
      else socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${count}`);
    });
    const { wire } = openWire();
    assert.equal(textOf(await wire.request(get(url))), "1");
    assert.equal(textOf(await wire.request(get(url))), "2");
    assert.equal(requests, 3);
  });

  test("a fresh one that dies is an error for whoever retries", async () => {
    const url = await speak((socket) => socket.destroy());
    const { wire, meter } = openWire();
    await assert.rejects(wire.request(get(url)), { code: "STORAGE_UNAVAILABLE", retryable: true });
    assert.equal(meter.read().failed, 1);
  });

  test("words that nobody asked for end a kept one", async () => {
    const sockets: Socket[] = [];
    const url = await speak((socket, _, count) => {
      sockets.push(socket);
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${count}`);
    });
    const { wire } = openWire();
    assert.equal(textOf(await wire.request(get(url))), "1");
    const [first] = sockets;
    first!.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    await once(first!, "close");
    assert.equal(textOf(await wire.request(get(url))), "2");
  });

  test("those that a dead way has left behind are given up together", async () => {
    let isDead = false;
    const url = await speak((socket) => {
      if (!isDead) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    });
    const { wire, meter } = openWire({ connections: 8, silence: 1_000 });
    await Promise.all(Array.from({ length: 8 }, () => wire.request(get(url))));
    isDead = true;
    await assert.rejects(wire.request(get(url)), { message: /nothing came/ });
    isDead = false;
    assert.equal(textOf(await wire.request(get(url))), "1");
    assert.equal(meter.read().failed, 1);
  });

  test("what never ends is ended", async () => {
    const endless = async (first: string, then: string): Promise<string> =>
      speak((socket) => {
        socket.write(first);
        const more = (): void => void (socket.writable && socket.write(then.repeat(500), more));
        more();
      });
    const chunked = "Transfer-Encoding: chunked\r\n\r\n";
    const interim = await endless("", "HTTP/1.1 102 Processing\r\n\r\n");
    const trailers = await endless(`HTTP/1.1 200 OK\r\n${chunked}0\r\n`, "x: y\r\n");
    for (const url of [interim, trailers]) {
      await assert.rejects(openWire().wire.request(get(url)), { code: "STORAGE_UNAVAILABLE" });
    }
    const error = await endless(`HTTP/1.1 500 No\r\n${chunked}`, "1\r\nx\r\n");
    const answer = await openWire().wire.request(get(error));
    assert.deepEqual([answer.status, answer.body.length], [500, 65_536]);
  });

  test("a wire that is closed ends its requests, and begins no others", async () => {
    let requests = 0;
    const { wire } = openWire();
    const url = await speak((socket) => {
      if (++requests === 1) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
      else void wire.close();
    });
    await wire.request(get(url));
    const asked = wire.request(get(url));
    await assert.rejects(asked, { code: "STORAGE_UNAVAILABLE" });
    assert.equal(requests, 2);
    await assert.rejects(wire.request(get(url)), { code: "BUG" });
  });

  test("silence, refusal and an unknown host are passing faults with their reason", async () => {
    const silent = await speak(() => {});
    const { wire } = openWire({ silence: 50 });
    await assert.rejects(wire.request(get(silent)), { message: /nothing came/, retryable: true });
    const port = new URL(silent).port;
    await assert.rejects(openWire().wire.request(get("http://127.0.0.1:1/")), {
      message: /refused/,
      retryable: true,
    });
    await assert.rejects(wire.request(get(`http://no-such-host.invalid:${port}/`)), {
      retryable: true,
    });
  });

  test("an abort ends a request wherever it is", async () => {
    const url = await serve((request, response) => {
      if (request.url === "/body") response.write(BODY.subarray(0, 1000));
    });
    const { wire } = openWire();
    for (const path of ["/silent", "/body"]) {
      const controller = new AbortController();
      const asked = wire.request(get(url + path, { signal: controller.signal }));
      setTimeout(() => controller.abort(), 20);
      await assert.rejects(asked, { code: "CANCELLED" });
    }
    const signal = AbortSignal.abort();
    await assert.rejects(wire.request(get(url, { signal })), { code: "CANCELLED" });
  });
});

suite("bodies that are sent", () => {
  const put = (url: string, body: Uint8Array[]): WireRequest =>
    get(url, { kind: "put", method: "PUT", body });

  test("arrive whole, in parts, from shared memory, and through a rate", async () => {
    const received: Buffer[] = [];
    const url = await serve((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        received.push(Buffer.concat(chunks));
        response.end();
      });
    });
    const shared = new Uint8Array(new SharedArrayBuffer(BODY.length));
    shared.set(BODY);
    const { wire, meter } = openWire();
    await wire.request(put(url, [Buffer.from("a"), shared, Buffer.from("z")]));
    await wire.request(put(url, []));
    const upload = new RateLimit(40_000_000, systemClock);
    await openWire({ upload }).wire.request(put(url, [shared]));
    assert.ok(received[0]!.equals(Buffer.concat([Buffer.from("a"), BODY, Buffer.from("z")])));
    assert.equal(received[1]!.length, 0);
    assert.ok(received[2]!.equals(BODY));
    assert.equal(meter.read().sent, BODY.length + 2);
  });

  test("an early answer is taken, and the connection not used again", async () => {
    let connections = 0;
    const server = createServer((socket) => {
      connections++;
      socket.once("data", () => {
        socket.pause();
        socket.write("HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n");
      });
    });
    const url = `http://127.0.0.1:${await listen(server)}`;
    const { wire } = openWire();
    const large = new Uint8Array(30_000_000);
    assert.equal((await wire.request(put(url, [large]))).status, 412);
    assert.equal((await wire.request(put(url, [large]))).status, 412);
    assert.equal(connections, 2);
  });

  test("a header stands once, and a HEAD with a body spoils nothing", async () => {
    const heads: string[] = [];
    const url = await speak((socket, text) => {
      heads.push(text);
      const body = text.startsWith("HEAD") ? "a body all the same" : "x";
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    });
    const { wire } = openWire();
    const headers = { Host: "other:1", "Content-Length": 7, "User-Agent": "me" };
    assert.equal((await wire.request(get(url, { method: "HEAD", headers }))).body.length, 0);
    assert.equal(textOf(await wire.request(get(url))), "x");
    assert.equal(heads[0], "HEAD / HTTP/1.1\r\nhost: other:1\r\nuser-agent: me\r\n\r\n");
  });

  test("a header that would end the head is refused before anything is sent", async () => {
    const url = await serve((_, response) => response.end());
    const headers = { authorization: "Bearer a\r\nx: y" };
    const asked = openWire().wire.request(get(url, { headers }));
    await assert.rejects(asked, (error: Error & { code: string }) => {
      assert.equal(error.code, "BUG");
      return !error.message.includes("Bearer");
    });
  });

  test("a download keeps its rate", async () => {
    const url = await serve((_, response) => response.end(BODY.subarray(0, 400_000)));
    const download = new RateLimit(1_000_000, systemClock);
    const begun = performance.now();
    const answer = await openWire({ download }).wire.request(get(url));
    assert.equal(answer.body.length, 400_000);
    // A quarter of a second may pass at once.
    assert.ok(performance.now() - begun > 100);
  });
});
