import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { keyReply, keyRequest, type ServiceKey } from "./key-service.ts";

function request(key: ServiceKey): string | undefined {
  const bytes = keyRequest(key, Buffer.from("enc"));
  return bytes && Buffer.from(bytes).toString("latin1");
}

suite("requests to the key service of sops", () => {
  test("name a key of each kind", () => {
    const enc = "\x12\x03enc";
    assert.equal(request({ kind: "age", id: "age1x" }), `\n\t2\x07\n\x05age1x${enc}`);
    assert.equal(request({ kind: "hckms", id: "r:1" }), `\n\x07:\x05\n\x03r:1${enc}`);
    const vault = "https://v/v1/a/b/keys/k";
    const names = "\n\thttps://v\x12\x03a/b\x1a\x01k";
    assert.equal(request({ kind: "hc_vault", id: vault }), `\n\x15*\x13${names}${enc}`);
    const azure = "https://a/keys/k/";
    // A version that is not there is left out.
    assert.equal(
      request({ kind: "azure_kv", id: azure }),
      `\n\x10"\x0e\n\thttps://a\x12\x01k${enc}`,
    );
    assert.equal(request({ kind: "kms", id: "a" }), `\n\x05\n\x03\n\x01a${enc}`);
    const aws = { role: "r", context: [["n", "v"]], profile: "p" } as const;
    assert.equal(
      request({ kind: "kms", id: "a", aws }),
      `\n\x13\n\x11\n\x01a\x12\x01r\x1a\x06\n\x01n\x12\x01v"\x01p${enc}`,
    );
  });

  test("state lengths of several bytes", () => {
    const id = "x".repeat(300);
    assert.equal(request({ kind: "age", id }), `\n\xb2\x022\xaf\x02\n\xac\x02${id}\x12\x03enc`);
  });

  test("are not made for what is no key", () => {
    assert.equal(request({ kind: "pgp", id: "AAAA" }), undefined);
    assert.equal(request({ kind: "hc_vault", id: "https://v/a" }), undefined);
    assert.equal(request({ kind: "azure_kv", id: "https://v" }), undefined);
    assert.equal(request({ kind: "kms", id: "x".repeat(5000) }), undefined);
  });
});

suite("replies of the key service of sops", () => {
  const read = (text: string): string | undefined => {
    const found = keyReply(Buffer.from(text, "latin1"));
    return found && Buffer.from(found).toString("latin1");
  };

  test("hold some bytes, or none", () => {
    assert.equal(read("\n\x03abc"), "abc");
    assert.equal(read(""), "");
    assert.equal(read("\n\x00"), "");
    assert.equal(read(`\n\xac\x02${"x".repeat(300)}`), "x".repeat(300));
  });

  test("that are anything else are none", () => {
    for (const bad of [
      "\n",
      "\n\x04abc",
      "\n\x02abc",
      "\n\x01a\n\x01a",
      "\x12\x01a",
      "\x08\x01",
      "\n\x81",
      "\n\xff\xff\xff\xff\x7f",
      "\n\x80\x80\x80\x80\x80\x00",
    ]) {
      assert.equal(read(bad), undefined, JSON.stringify(bad));
    }
  });

  test("are read from any bytes without a failure", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const found = keyReply(Uint8Array.of(0x0a, bytes.length, ...bytes));
        assert.deepEqual(Buffer.from(found!), Buffer.from(bytes));
        const any = keyReply(bytes);
        assert.ok(any === undefined || any.length <= bytes.length);
      }),
    );
  });
});
