// Key files: how a password opens the master key (docs/formats/restic.md#keys). They are plain JSON that anybody with
// access to the storage can change, so every cost parameter is bounded before it is used.

import type { ScryptParameters } from "./crypto.ts";
import { goJson, JsonFields, jsonBytes } from "./json-fields.ts";

export interface KeyFile extends ScryptParameters {
  /** RFC 3339, "" when the writer did not say. */
  readonly created: string;
  readonly username: string;
  readonly hostname: string;
  /** The sealed JSON of the master key. */
  readonly data: Uint8Array;
}

const SALT_BYTES = 64;
const SEAL_BYTES = 32;
/** restic stays below 64 MiB, rustic uses 128 MiB. */
const MEMORY_BYTES_MAX: number = 1024 * 1024 * 1024;
/** N·r·p of the usual keys is about 2^20, half a second; this is about a minute. */
const WORK_MAX: number = 2 ** 27;

/** The bytes of a key file. */
export function encodeKeyFile(key: KeyFile): Buffer {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  const members = {
    ...(key.created === "" ? {} : { created: key.created }),
    username: key.username,
    hostname: key.hostname,
    kdf: "scrypt",
    N: key.N,
    r: key.r,
    p: key.p,
    salt: base64(key.salt),
    data: base64(key.data),
  };
  return jsonBytes(goJson(members));
}

/** Reads a key file. Throws KEY_DAMAGED, also for parameters that would exhaust the machine. */
export function decodeKeyFile(bytes: Uint8Array): KeyFile {
  const fields = JsonFields.parse(bytes, "KEY_DAMAGED", "a key file");
  const kdf = fields.text("kdf");
  if (kdf !== "scrypt") throw fields.damaged(`its key derivation is ${JSON.stringify(kdf)}`);
  const [N, r, p] = [fields.uint32("N"), fields.uint32("r"), fields.uint32("p")];
  if (N < 2 || (N & (N - 1)) !== 0) throw fields.damaged("its N is not a power of two");
  if (r < 1 || p < 1) throw fields.damaged("its r or p is zero");
  // RFC 7914 §2 bounds N by r; OpenSSL refuses what is beyond.
  if (
    N >= 2 ** (16 * r) ||
    128 * N * r > MEMORY_BYTES_MAX ||
    N * r * p > WORK_MAX ||
    128 * r * p > MEMORY_BYTES_MAX
  ) {
    throw fields.damaged(`its scrypt parameters N=${N} r=${r} p=${p} are out of bounds`);
  }
  const salt = fields.base64("salt");
  if (salt.length !== SALT_BYTES) throw fields.damaged(`its salt has ${salt.length} bytes`);
  const data = fields.base64("data");
  if (data.length <= SEAL_BYTES) throw fields.damaged("it holds no sealed key");
  const created = fields.has("created") ? fields.time("created") : "";
  const [username, hostname] = [fields.text("username"), fields.text("hostname")];
  return { created, username, hostname, N, r, p, salt, data };
}
