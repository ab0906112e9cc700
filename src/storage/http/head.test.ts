import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BadAnswer, parseHead } from "./head.ts";

const head = (...lines: string[]): string => lines.join("\r\n");

test("status, headers and how the body ends", () => {
  const cases: [string, string, object][] = [
    [
      "GET",
      head("HTTP/1.1 200 OK", "Content-Length: 5"),
      { status: 200, body: 5, keepsAlive: true },
    ],
    ["GET", head("HTTP/1.1 200"), { status: 200, body: "until-close", keepsAlive: false }],
    ["GET", head("HTTP/1.1 206 Partial Content", "content-length:0"), { status: 206, body: 0 }],
    ["GET", head("HTTP/1.1 200 OK", "Transfer-Encoding: Chunked"), { body: "chunked" }],
    ["HEAD", head("HTTP/1.1 200 OK", "content-length: 5"), { body: 0, keepsAlive: true }],
    ["GET", head("HTTP/1.1 204 No Content"), { body: 0, keepsAlive: true }],
    ["GET", head("HTTP/1.1 100 Continue"), { status: 100, body: 0 }],
    ["GET", head("HTTP/1.0 200 OK", "content-length: 1"), { keepsAlive: false }],
    [
      "GET",
      head("HTTP/1.0 200 OK", "content-length: 1", "Connection: Keep-Alive"),
      { keepsAlive: true },
    ],
    [
      "GET",
      head("HTTP/1.1 200 OK", "content-length: 1", "connection: close"),
      { keepsAlive: false },
    ],
    ["GET", head("HTTP/1.1 200 OK", "content-length: 7, 7"), { body: 7 }],
    ["GET", head("HTTP/1.1 200 OK", "content-length: 1", "Keep-Alive: timeout=5"), { idle: 5000 }],
  ];
  for (const [method, text, expected] of cases) {
    const found = parseHead(text, method) as unknown as Record<string, unknown>;
    for (const [name, value] of Object.entries(expected)) assert.equal(found[name], value, text);
  }
  const { headers } = parseHead(
    head("HTTP/1.1 200 OK", "X-A:  b c\t", "x-a: d", "__proto__: x"),
    "GET",
  );
  assert.equal(headers["x-a"], "b c, d");
});

test("what could be read in two ways is refused", () => {
  const wrong = [
    "",
    "HTTP/2 200",
    "ICY 200 OK",
    "HTTP/1.1 99 No",
    "HTTP/1.1 2000 No",
    head("HTTP/1.1 200 OK", "content-length: 5", "transfer-encoding: chunked"),
    head("HTTP/1.1 200 OK", "content-length: 5, 6"),
    head("HTTP/1.1 200 OK", "content-length: -1"),
    head("HTTP/1.1 200 OK", "content-length: 5x"),
    head("HTTP/1.1 200 OK", "content-length: 99999999999999999999"),
    head("HTTP/1.1 200 OK", "transfer-encoding: gzip"),
    head("HTTP/1.1 200 OK", "transfer-encoding: gzip, chunked"),
    head("HTTP/1.1 200 OK", "content-length : 5"),
    head("HTTP/1.1 200 OK", " folded: 5"),
    head("HTTP/1.1 200 OK", "no colon"),
  ];
  for (const text of wrong) assert.throws(() => parseHead(text, "GET"), BadAnswer, text);
});

test("any text is a head or a bad answer", () => {
  fc.assert(
    fc.property(fc.string(), fc.array(fc.string()), (first, lines) => {
      for (const text of [first, head("HTTP/1.1 200 OK", ...lines)]) {
        try {
          assert.ok(parseHead(text, "GET").status >= 100);
        } catch (error) {
          assert.ok(error instanceof BadAnswer);
        }
      }
    }),
  );
});

test("no head takes long, however it is made", () => {
  const begun = process.cpuUsage().user;
  for (const text of [
    `x:${" ".repeat(60_000)}\n`,
    `x: a${" ".repeat(60_000)}b`,
    `${" ".repeat(60_000)}:`,
  ]) {
    try {
      parseHead(head("HTTP/1.1 200 OK", text, `content-length: 1${" ".repeat(60_000)}1`), "GET");
    } catch (error) {
      assert.ok(error instanceof BadAnswer);
    }
  }
  assert.ok(process.cpuUsage().user - begun < 500_000);
});
