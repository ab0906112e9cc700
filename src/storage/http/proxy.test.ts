import assert from "node:assert/strict";
import { test } from "node:test";
import { proxyFor } from "./proxy.ts";

const host = (url: string, env: Record<string, string>): string | undefined => {
  const proxy = proxyFor(new URL(url), env);
  return proxy && `${proxy.isTls ? "https" : "http"}://${proxy.host}:${proxy.port}`;
};

test("each scheme has its variable, in both spellings", () => {
  const env = { HTTP_PROXY: "http://a:1", HTTPS_PROXY: "https://b" };
  assert.equal(host("http://x/", env), "http://a:1");
  assert.equal(host("https://x/", env), "https://b:443");
  assert.equal(host("https://x/", { https_proxy: "c:3128", ...env }), "http://c:3128");
  assert.equal(host("https://x/", { HTTPS_PROXY: "http://[::1]:8080" }), "http://::1:8080");
  assert.equal(host("https://x/", {}), undefined);
});

test("what is no usable proxy is refused by its variable's name, and not left out", () => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ HTTPS_PROXY: "socks5://u:SECRET@x" }, /HTTPS_PROXY.*http or https/],
    [{ HTTPS_PROXY: "http://u:SECRET@:bad" }, /HTTPS_PROXY.*no address/],
    [{ https_proxy: "u:SECRET@p:99999" }, /https_proxy.*no address/],
  ];
  for (const [env, message] of cases) {
    assert.throws(
      () => host("https://x/", env),
      (error: Error & { code: string }) => {
        assert.equal(error.code, "USAGE");
        assert.match(error.message, message);
        assert.ok(!error.message.includes("SECRET"));
        return true;
      },
    );
    assert.equal(host("https://x/", { NO_PROXY: "x", ...env }), undefined);
    assert.equal(host("http://x/", env), undefined);
  }
});

test("exceptions", () => {
  const env = (NO_PROXY: string) => ({ HTTPS_PROXY: "http://p", NO_PROXY });
  const cases: [string, string, boolean][] = [
    ["https://storage.googleapis.com/", "googleapis.com", true],
    ["https://storage.googleapis.com/", ".googleapis.com", true],
    ["https://storage.googleapis.com/", "*.googleapis.com", true],
    ["https://notgoogleapis.com/", "googleapis.com", false],
    ["https://10.0.0.1/", "localhost, 10.0.0.1", true],
    ["https://10.0.0.1:8443/", "10.0.0.1:443", false],
    ["https://10.0.0.1:8443/", "10.0.0.1:8443", true],
    ["https://[::1]/", "[::1]", true],
    ["https://x/", "*", true],
    ["https://x/", "", false],
    ["https://x/", ",,", false],
  ];
  for (const [url, list, excepted] of cases) {
    assert.equal(host(url, env(list)), excepted ? undefined : "http://p:80", `${url} ${list}`);
  }
});

test("credentials become a header", () => {
  const proxy = proxyFor(new URL("https://x/"), { HTTPS_PROXY: "http://me:p%40ss@p:1" })!;
  assert.equal(proxy.authorization, `Basic ${Buffer.from("me:p@ss").toString("base64")}`);
  const odd = proxyFor(new URL("https://x/"), { HTTPS_PROXY: "http://u:100%@p:1" })!;
  assert.equal(odd.authorization, `Basic ${Buffer.from("u:100%").toString("base64")}`);
});
