// A repository that opens in a millisecond, for tests that run restic hundreds of times: its key file asks for almost
// no work. Real restic and this program read it like any other. Never make one outside of tests.

import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256Hex, toHex } from "../../src/base/bytes.ts";
import { encodeConfig } from "../../src/restic/config.ts";
import { NONCE_BYTES, deriveKey, seal, splitKey } from "../../src/restic/crypto.ts";
import { encodeKeyFile } from "../../src/restic/key-file.ts";
import { derivePolynomial } from "../../src/restic/polynomial.ts";

/** Makes a repository in the new folder `path`, by default of format 2. */
export async function createQuickRepository(
  path: string,
  password: string,
  version: 1 | 2 = 2,
): Promise<void> {
  for (const folder of ["data", "index", "keys", "locks", "snapshots"]) {
    mkdirSync(join(path, folder), { recursive: true });
  }
  const master = splitKey(randomBytes(64));
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  const plain = JSON.stringify({
    mac: { k: base64(master.macK), r: base64(master.macR) },
    encrypt: base64(master.encrypt),
  });
  const parameters = { N: 2, r: 1, p: 1, salt: randomBytes(64) };
  const derived = await deriveKey(password, parameters);
  const key = encodeKeyFile({
    created: "2026-01-01T00:00:00Z",
    username: "test",
    hostname: "test",
    ...parameters,
    data: seal(derived, Buffer.from(plain), randomBytes(NONCE_BYTES)),
  });
  writeFileSync(join(path, "keys", sha256Hex(key)), key);
  const config = encodeConfig({
    version,
    id: toHex(randomBytes(32)),
    chunkerPolynomial: derivePolynomial(randomBytes),
    extra: {},
  });
  writeFileSync(join(path, "config"), seal(master, config, randomBytes(NONCE_BYTES)));
}
