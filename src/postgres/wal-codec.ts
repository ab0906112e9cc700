// Compressed objects of an archive, as far as Barman and we write them. Output is bounded: what lies in a bucket may be a
// bomb.

import { promisify } from "node:util";
import { gunzip, zstdDecompress } from "node:zlib";
import { HoldfastError, messageOf } from "../base/errors.ts";
import type { Compression } from "../barman/wal-name.ts";

const gunzipAsync = promisify(gunzip);
const zstdAsync = promisify(zstdDecompress);

/** The content of a compressed object, which may have at most `limit` bytes. Throws WAL_INVALID for what is none. */
export async function decompressWhole(
  content: Uint8Array,
  { compression, limit }: { readonly compression: Compression; readonly limit: number },
): Promise<Uint8Array> {
  try {
    if (compression === "gzip") return await gunzipAsync(content, { maxOutputLength: limit });
    if (compression === "zstd") return await zstdAsync(content, { maxOutputLength: limit });
  } catch (error) {
    throw new HoldfastError("WAL_INVALID", `not ${compression}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  throw new HoldfastError("WAL_INVALID", `${compression} is not read here`);
}
