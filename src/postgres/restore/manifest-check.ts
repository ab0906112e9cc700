// The files of a restore, held against the backup's manifest while they are written: sizes, checksums, none missing and
// none besides (docs/formats/barman.md#backup_manifest). A file that differs ends the restore.

import type { BackupManifest } from "../../barman/backup-manifest.ts";
import { HoldfastError } from "../../base/errors.ts";
import { startDigest, type FileDigest } from "../file-digest.ts";

/** What a manifest never lists. */
const UNLISTED = /^(?:backup_manifest$|pg_wal(?:\/|$))/;

export class ManifestCheck {
  readonly #manifest: BackupManifest | undefined;
  readonly #seen = new Set<string>();

  constructor(manifest: BackupManifest | undefined) {
    this.#manifest = manifest;
  }

  /** True when there is a manifest, and every file of it has a checksum. */
  get isComplete(): boolean {
    if (this.#manifest === undefined) return false;
    for (const { algorithm } of this.#manifest.files.values())
      if (algorithm === "NONE") return false;
    return true;
  }

  /** The digest for a file, by its path as manifests have it. */
  digest(path: string): FileDigest {
    return startDigest(this.#manifest?.files.get(path)?.algorithm ?? "NONE");
  }

  /** A file is complete. Throws BACKUP_DAMAGED when the manifest says otherwise. */
  check(path: string, size: number, digest: FileDigest): void {
    if (this.#manifest === undefined || UNLISTED.test(path)) return;
    const expected = this.#manifest.files.get(path);
    if (expected === undefined) throw differs(path, "is not in the manifest");
    if (expected.size !== size)
      throw differs(path, `has ${size} bytes, the manifest says ${expected.size}`);
    const checksum = digest.finish();
    if (checksum !== expected.checksum)
      throw differs(
        path,
        `has the ${expected.algorithm} checksum ${checksum}, the manifest says ${expected.checksum}`,
      );
    this.#seen.add(path);
  }

  /** All tars are read. Throws BACKUP_DAMAGED when a file of the manifest did not come. */
  finish(): void {
    for (const path of this.#manifest?.files.keys() ?? [])
      if (!this.#seen.has(path)) throw differs(path, "is missing");
  }
}

function differs(path: string, what: string): HoldfastError {
  const shown = JSON.stringify(Buffer.from(path, "latin1").toString());
  return new HoldfastError("BACKUP_DAMAGED", `the file ${shown} of the backup ${what}`, {
    hint: "Recover with another base backup: choose one with --backup; `holdfast pg verify` tells which are whole.",
  });
}
