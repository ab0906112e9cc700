import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { seededBytes } from "../../../test/seeded-bytes.ts";
import { atEnd, closeWires, get, listen, openWire, serve, speak } from "../../../test/wire.ts";
import { systemClock } from "../../base/clock.ts";
import { RateLimit } from "../../base/rate-limit.ts";
import { textOf } from "./transport.ts";

const BODY = seededBytes("sockets", 3_000_000);
after(closeWires);

suite("TLS and proxies", () => {
  let folder: string;
  let ca: string;
  let secure: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "holdfast-tls-"));
    atEnd(() => rmSync(folder, { recursive: true }));
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
    await assert.rejects(wire.request(get(secure)), {
      code: "STORAGE_DENIED",
      retryable: false,
      message: /the proxy 127\.0\.0\.1:\d+ answered 407/,
      hint: /HTTPS_PROXY/,
    });
  });

  test("a slow line under TLS makes progress that the deadline sees, and rates hold there", async () => {
    // The server takes 24 MB at 8 MB/s. What lies in the kernel's buffers takes half a second of it.
    const slow = createServer((socket) => {
      socket.on("error", () => {});
      const onward = connect(Number(new URL(secure).port), "127.0.0.1");
      onward.on("error", () => socket.destroy());
      onward.pipe(socket);
      socket.on("data", (data) => {
        socket.pause();
        onward.write(data);
        setTimeout(() => socket.resume(), data.length / 8_000);
      });
    });
    const port = await listen(slow);
    const url = `https://localhost:${port}/`;
    const { wire } = openWire({ ca: [ca], silence: 2_000 });
    const body = [Buffer.alloc(24_000_000, 1)];
    assert.equal((await wire.request(get(url, { body, method: "PUT" }))).status, 200);
    const download = new RateLimit(2_000_000, systemClock);
    const limited = openWire({ ca: [ca], silence: 800, download }).wire;
    const begun = performance.now();
    assert.ok(BODY.equals((await limited.request(get(secure))).body));
    // Three million bytes at two a second, but for the quarter of a second that may pass at once.
    assert.ok(performance.now() - begun > 900);
  });
});
