import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer as createHttp } from "node:http";
import type { RequestListener } from "node:http";
import { createServer as createHttps } from "node:https";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { seededBytes } from "../../../test/seeded-bytes.ts";
import { systemClock } from "../../base/clock.ts";
import { RateLimit } from "../../base/rate-limit.ts";
import { Meter } from "../meter.ts";
import { openSockets } from "./sockets.ts";
import type { SocketOptions } from "./sockets.ts";
import { textOf, TornAnswer } from "./transport.ts";
import type { Transport, WireRequest } from "./transport.ts";

const BODY = seededBytes("sockets", 3_000_000);
const CLOSERS: (() => Promise<void> | void)[] = [];
after(async () => {
  for (const close of CLOSERS) await close();
});

function openWire(options: Partial<SocketOptions> = {}): { wire: Transport; meter: Meter } {
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

async function listen(server: Server): Promise<number> {
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
async function speak(
  answer: (socket: Socket, text: string, count: number) => void,
): Promise<string> {
  let count = 0;
  const server = createServer((socket) => {
    const own = ++count;
    socket.on("data", (data) => answer(socket, data.toString("latin1"), own));
  });
  return `http://127.0.0.1:${await listen(server)}`;
}

async function serve(listener: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listen(createHttp(listener))}`;
}

const get = (url: string, more: Partial<WireRequest> = {}): WireRequest => ({
  kind: "get",
  method: "GET",
  url: new URL(url),
  what: "read it",
  ...more,
});

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

  test("silence, refusal and an unknown host are passing faults with their reason", async () => {
    const silent = await speak(() => {});
    const { wire } = openWire({ silence: 50 });
    await assert.rejects(wire.request(get(silent)), { message: /nothing came/, retryable: true });
    const port = new URL(silent).port;
    await assert.rejects(wire.request(get("http://127.0.0.1:1/")), {
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
    await assert.rejects(openWire().wire.request(get(url, { headers })));
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

suite("TLS and proxies", () => {
  let folder: string;
  let ca: string;
  let secure: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "holdfast-tls-"));
    CLOSERS.push(() => rmSync(folder, { recursive: true }));
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const words =
      "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost " +
      "-addext subjectAltName=DNS:localhost,IP:127.0.0.1";
    const files = ["-keyout", key, "-out", cert];
    execFileSync("openssl", [...words.split(" "), ...files], { stdio: "ignore" });
    ca = readFileSync(cert, "utf8");
    const server = createHttps({ key: readFileSync(key), cert: ca }, (request, response) => {
      request.resume();
      request.on("end", () => response.end(BODY));
    });
    secure = `https://localhost:${await listen(server)}/`;
  });

  test("content comes the same way under TLS, by name and by address", async () => {
    const { wire } = openWire({ ca: [ca] });
    for (const url of [secure, secure.replace("localhost", "127.0.0.1")]) {
      const into = new Uint8Array(new SharedArrayBuffer(BODY.length));
      const body = [BODY];
      const answer = await wire.request(get(url, { into, body, method: "PUT" }));
      assert.ok(BODY.equals(answer.body));
    }
  });

  test("a certificate that nobody vouches for is a permanent error, unless it is trusted blindly", async () => {
    const { wire } = openWire();
    await assert.rejects(wire.request(get(secure)), {
      code: "STORAGE_FAILED",
      retryable: false,
      hint: /--cacert/,
    });
    const blind = openWire({ insecureTls: true }).wire;
    assert.equal((await blind.request(get(secure))).status, 200);
    const plain = await serve((_, response) => response.end());
    await assert.rejects(wire.request(get(plain.replace("http:", "https:"))), {
      code: "STORAGE_FAILED",
      message: /does not speak TLS/,
    });
  });

  test("a proxy is asked for the way, and for plain requests to do them", async () => {
    const asked: string[] = [];
    const proxy = createHttp((request, response) => {
      asked.push(`${request.method} ${request.url} ${request.headers["proxy-authorization"]}`);
      response.end("by proxy");
    });
    proxy.on("connect", (request, socket) => {
      asked.push(`${request.method} ${request.url} ${request.headers["proxy-authorization"]}`);
      const target = connect(Number(request.url!.split(":")[1]), "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        target.pipe(socket).pipe(target);
      });
      socket.on("error", () => target.destroy());
    });
    const address = `http://me:secret@127.0.0.1:${await listen(proxy)}`;
    const env = { HTTPS_PROXY: address, HTTP_PROXY: address, NO_PROXY: "other" };
    const { wire } = openWire({ ca: [ca], env });
    const into = new Uint8Array(BODY.length);
    assert.ok(BODY.equals((await wire.request(get(secure, { into }))).body));
    assert.equal(textOf(await wire.request(get("http://example.invalid/x?y"))), "by proxy");
    const login = `Basic ${Buffer.from("me:secret").toString("base64")}`;
    assert.deepEqual(asked, [
      `CONNECT ${new URL(secure).host} ${login}`,
      `GET http://example.invalid/x?y ${login}`,
    ]);
  });

  test("a proxy that refuses is named", async () => {
    const url = await speak((socket) => socket.write("HTTP/1.1 407 Authenticate\r\n\r\n"));
    const { wire } = openWire({ env: { HTTPS_PROXY: url } });
    await assert.rejects(wire.request(get(secure)), { message: /the proxy answered 407/ });
  });
});
