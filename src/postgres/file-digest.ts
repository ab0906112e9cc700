// The checksums of a backup manifest, made over a file as its pieces come (docs/formats/barman.md#backup_manifest).

import { createHash, type Hash } from "node:crypto";
import type { ManifestAlgorithm } from "../barman/backup-manifest.ts";
import { crc32c } from "../base/crc32c.ts";

/** The checksum of one file on its way. */
export interface FileDigest {
  update(bytes: Uint8Array): void;
  /** The checksum as a manifest writes it; once, at the end. "" when there is to be none. */
  finish(): string;
}

/** A digest of that algorithm over nothing as yet. */
export function startDigest(algorithm: ManifestAlgorithm): FileDigest {
  if (algorithm === "NONE") return { update: () => {}, finish: () => "" };
  if (algorithm === "CRC32C") return crcDigest();
  const hash: Hash = createHash(algorithm.toLowerCase());
  return { update: (bytes) => void hash.update(bytes), finish: () => hash.digest("hex") };
}

function crcDigest(): FileDigest {
  let crc = 0;
  return {
    update: (bytes) => {
      crc = crc32c(bytes, crc);
    },
    finish: () => crcText(crc),
  };
}

/** A CRC-32C as manifests write it: as it lies in the memory of every machine that PostgreSQL is packaged for today. */
export function crcText(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(crc);
  return bytes.toString("hex");
}
