import assert from "node:assert/strict";
import { test } from "node:test";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { openDocument } from "./document.ts";
import { encryptDocument } from "./encrypt.ts";
import { keyParts } from "./key-names.ts";
import type { WrappedKey } from "./key-source.ts";

test("keys are read from metadata as they were written", () => {
  const key = (kind: WrappedKey["kind"], id: string): WrappedKey => ({
    kind,
    id,
    enc: "e",
    createdAt: "2026-11-25T12:00:00Z",
  });
  const aws = { role: "arn:aws:iam::1:role/r", context: [["Env", "a b"]], profile: "p" } as const;
  const none = { role: "", context: [], profile: "" };
  // In the order in which SOPS reads them.
  const keys: WrappedKey[] = [
    { ...key("kms", "arn:aws:kms:x:1:key/a"), aws },
    { ...key("kms", "arn:aws:kms:x:1:key/b"), aws: none },
    key("hckms", "r:1"),
    key("azure_kv", "https://a.vault//keys/k/1"),
    key("azure_kv", "https://a.vault/keys/k/"),
    key("hc_vault", "https://v:8200/v1/a/v1/b/keys/k"),
  ];
  for (const name of ["x.yaml", "x.json", "x.env"]) {
    const content = name === "x.json" ? '{"A": "b"}' : name === "x.env" ? "A=b\n" : "A: b\n";
    const document = encryptDocument(content, {
      name,
      groups: [keys],
      lastModified: "2026-11-25T12:00:00Z",
      dataKey: seededBytes("key", 32),
      random: (length) => seededBytes("random", length),
    });
    assert.deepEqual(openDocument(document, { name }).recipients, [keys], name);
  }
});

test("a long name is none of a key, however it is made", () => {
  assert.equal(keyParts("hc_vault", "/v1/keys/".repeat(100_000)), undefined);
  assert.deepEqual(keyParts("hc_vault", "https://v/v1/a/keys/k"), ["https://v", "a", "k"]);
});
