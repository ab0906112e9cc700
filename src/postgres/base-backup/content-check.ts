// What came against what the server says that it sent: every file's size and checksum, and no file that only one of the two
// knows. The checksums are made from the bytes on their way into the archive.

import type { BackupManifest } from "../../barman/backup-manifest.ts";
import type { TarMember } from "../../barman/tar-header.ts";
import { crc32c } from "../../base/crc32c.ts";
import { HoldfastError } from "../../base/errors.ts";
import { crcText } from "../file-digest.ts";
import { ManifestComparison } from "../manifest-comparison.ts";

interface Received {
  readonly size: number;
  readonly crc: number;
}

const NAMED_MAX = 5;

/** The files that came, by their paths in a manifest. */
export class ContentCheck {
  readonly #files = new Map<string, Received>();
  #crc = 0;

  /** Files, without folders and links. */
  get count(): number {
    return this.#files.size;
  }

  begin(): void {
    this.#crc = 0;
  }

  content(bytes: Uint8Array): void {
    this.#crc = crc32c(bytes, this.#crc);
  }

  /** `oid` is that of the tablespace whose tar the member is in. */
  end(member: TarMember, oid: number | null): void {
    if (member.type !== "file") return;
    const folder = oid === null ? "" : `pg_tblspc/${oid}/`;
    this.#files.set(folder + member.path.replace(/^(?:\.\/)+/, ""), {
      size: member.size,
      crc: this.#crc,
    });
  }

  /** Throws BACKUP_DAMAGED, naming the first files that differ. */
  compare(manifest: BackupManifest): void {
    const comparison = new ManifestComparison(manifest);
    const wrong: string[] = [];
    for (const [path, { size, crc }] of this.#files) {
      const what = comparison.came(path, { size, checksum: crcText(crc) });
      if (what !== undefined) wrong.push(what);
    }
    wrong.push(...comparison.missing());
    if (wrong.length === 0) return;
    const more = wrong.length > NAMED_MAX ? `, and ${wrong.length - NAMED_MAX} more` : "";
    throw new HoldfastError(
      "BACKUP_DAMAGED",
      `what came is not what the server's manifest says: ${wrong.slice(0, NAMED_MAX).join(", ")}${more}`,
      {
        hint: "Make the backup again; if it happens again, check memory and network of both machines.",
      },
    );
  }
}
