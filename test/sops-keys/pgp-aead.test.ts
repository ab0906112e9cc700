// A message in the AEAD form that GnuPG 2.3 and later write for keys that ask for it, which gpg before that does not read. Key and
// message were made by GnuPG 2.4.9 with --force-ocb; the key is nobody's.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openKey } from "../../src/sops/keys.ts";
import { keyContext, wrapped } from "./context.ts";

const FIXTURES = join(import.meta.dirname, "..", "fixtures", "pgp");

test("an AEAD message of a newer gpg opens with the exported key", async () => {
  const enc = readFileSync(join(FIXTURES, "aead-message.asc"), "utf8");
  // Tag 20: what makes it one.
  const body = Buffer.from(enc.split("\n\n")[1]!.split("\n=")[0]!, "base64");
  assert.equal(body[96], 0xc0 | 20);
  const key = wrapped("pgp", "F3B34684AB30683B7C42EDDD8DA2A7AF7754D386", enc);
  const file = join(FIXTURES, "aead-key.asc");
  const env = { HOLDFAST_PGP_KEY_FILE: file, SOPS_GPG_EXEC: "no-gpg" };
  const attempt = await openKey(key, keyContext(env));
  assert.ok(attempt.opened, JSON.stringify(attempt));
  assert.deepEqual(Buffer.from(attempt.dataKey), Buffer.alloc(32, "k"));
  const last = enc.lastIndexOf("\n=") - 4;
  const damaged = `${enc.slice(0, last)}AAAA${enc.slice(last + 4)}`;
  assert.equal((await openKey({ ...key, enc: damaged }, keyContext(env))).opened, false);
});
