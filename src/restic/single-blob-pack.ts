// A pack that holds one blob, made without kernel memory: for blobs too large for a pack buffer, such as the tree of
// a directory with millions of entries (docs/formats/restic.md#packs).

import { HoldfastError } from "../base/errors.ts";
import { concatBytes, equalBytes, sha256 } from "../base/bytes.ts";
import type { Random } from "../base/clock.ts";
import { compressZstd, decompressZstd } from "./compression.ts";
import { NONCE_BYTES, seal, unseal } from "./crypto.ts";
import type { MasterKey } from "./crypto.ts";
import { encodePackHeader } from "./pack-header.ts";
import { toHex } from "../base/bytes.ts";

export interface SingleBlobPack {
  id: Uint8Array;
  bytes: Uint8Array;
  header: Uint8Array;
  blobLength: number;
}

/** Seals and checks one blob as a whole pack. */
export function sealSingleBlobPack(options: {
  key: MasterKey;
  random: Random;
  version: 1 | 2;
  type: "data" | "tree";
  id: Uint8Array;
  plain: Uint8Array;
}): SingleBlobPack {
  const { key, random, version, type, id, plain } = options;
  const compressed = version === 2 && plain.length > 0 ? compressZstd(plain) : undefined;
  const content = compressed ?? plain;
  const sealed = seal(key, content, random(NONCE_BYTES));
  const header = encodePackHeader([
    {
      type,
      id: toHex(id),
      length: sealed.length,
      uncompressedLength: compressed === undefined ? 0 : plain.length,
    },
  ]);
  const sealedHeader = seal(key, header, random(NONCE_BYTES));
  const size = Buffer.alloc(4);
  size.writeUInt32LE(sealedHeader.length);
  const bytes = concatBytes([sealed, sealedHeader, size]);

  const opened = unseal(key, bytes.subarray(0, sealed.length));
  const back =
    compressed === undefined || opened === undefined
      ? opened
      : decompressZstd(opened, plain.length);
  if (back === undefined || !equalBytes(sha256(back), id)) {
    throw new HoldfastError("BUG", "a blob just sealed does not open again", {
      hint: "Nothing damaged was stored. Check this machine's memory, then report this.",
    });
  }
  return { id: sha256(bytes), bytes, header, blobLength: sealed.length };
}
