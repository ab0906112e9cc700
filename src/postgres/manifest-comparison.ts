// The files of a backup, held against its manifest: sizes, checksums, none missing and none besides
// (docs/formats/barman.md#backup_manifest). Says what differs; what follows from it is the caller's.

import type { BackupManifest } from "../barman/backup-manifest.ts";
import { startDigest, type FileDigest } from "./file-digest.ts";

/** What a manifest never lists: itself, and WAL, which has checks of its own. */
const UNLISTED = /^(?:backup_manifest$|pg_wal(?:\/|$))/;

export class ManifestComparison {
  readonly #manifest: BackupManifest | undefined;
  readonly #seen = new Set<string>();

  /** Without a manifest nothing differs from it. */
  constructor(manifest: BackupManifest | undefined) {
    this.#manifest = manifest;
  }

  /** True when there is a manifest, and every file of it has a checksum. */
  get isSummed(): boolean {
    if (this.#manifest === undefined) return false;
    for (const { algorithm } of this.#manifest.files.values())
      if (algorithm === "NONE") return false;
    return true;
  }

  /** The digest for a file, by its path as manifests have it, a byte string. */
  digest(path: string): FileDigest {
    return startDigest(this.#manifest?.files.get(path)?.algorithm ?? "NONE");
  }

  /** A file is complete, with the checksum of its `digest`. What is wrong with it; undefined when nothing is. */
  came(path: string, { size, checksum }: { size: number; checksum: string }): string | undefined {
    // Without a manifest a million paths need not be remembered.
    if (this.#manifest === undefined || UNLISTED.test(path)) return undefined;
    const name = shownPath(path);
    if (this.#seen.has(path)) return `${name} is there twice`;
    this.#seen.add(path);
    const expected = this.#manifest.files.get(path);
    if (expected === undefined) return `${name} is not in the manifest`;
    if (expected.size !== size)
      return `${name} has ${size} bytes, the manifest says ${expected.size}`;
    if (expected.checksum === checksum) return undefined;
    return `${name} has the ${expected.algorithm} checksum ${checksum}, the manifest says ${expected.checksum}`;
  }

  /** All files came: what is wrong with those of the manifest that did not. */
  *missing(): Generator<string, void> {
    for (const path of this.#manifest?.files.keys() ?? [])
      if (!this.#seen.has(path)) yield `${shownPath(path)} is missing`;
  }
}

/** A path of a manifest or a tar, a byte string, as a person may see it. */
export function shownPath(path: string): string {
  return JSON.stringify(Buffer.from(path, "latin1").toString("utf8").slice(0, 300));
}
