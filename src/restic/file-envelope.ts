// How snapshots, index and lock files wrap their JSON before it is sealed (docs/formats/restic.md#files): format 1 stores
// it as it is, format 2 as the byte 2 and one zstd frame. Readers of format 2 accept plain JSON too. The config and
// key files are never wrapped.

import { HoldfastError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { compressZstd, decompressZstd } from "./compression.ts";

const COMPRESSED = 2;
const LEVEL = 3;
const JSON_STARTS: ReadonlySet<number | undefined> = new Set([0x7b, 0x5b]);

/** The plaintext of a file that holds `json`, in a repository of format `version`. */
export function wrapFile(json: Uint8Array, version: 1 | 2): Uint8Array {
  if (version === 1) return json;
  return Buffer.concat([Uint8Array.of(COMPRESSED), compressZstd(json, LEVEL)]);
}

/**
 * The JSON inside the plaintext of a file. Throws `code` (that of the kind of file) when the wrapping is unknown or
 * damaged, or when the JSON would be larger than `maxBytes`.
 */
export function unwrapFile(
  plaintext: Uint8Array,
  options: { version: 1 | 2; code: ErrorCode; maxBytes?: number },
): Uint8Array {
  const first = plaintext[0];
  if (options.version === 1 || first === undefined || JSON_STARTS.has(first)) return plaintext;
  if (first !== COMPRESSED) {
    throw new HoldfastError(options.code, `unknown encoding ${first} of a repository file`);
  }
  try {
    return decompressZstd(plaintext.subarray(1), options.maxBytes);
  } catch (error) {
    throw new HoldfastError(options.code, "a repository file cannot be decompressed", {
      cause: error,
    });
  }
}
