// The files in the tars of one backup, held against its manifest where there is one, and against what its backup.info says
// in any case: cluster, version, where its WAL begins. Several tars may be read at once; each is a `TarCheck` of its own.

import type { BackupInfo } from "../../barman/backup-info.ts";
import type { BackupManifest } from "../../barman/backup-manifest.ts";
import { parseControlFile } from "../../barman/control-file.ts";
import { formatLsn, readLsn } from "../../barman/lsn.ts";
import { memberParts, TarReader, type TarMember } from "../../barman/tar-reader.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { FileDigest } from "../file-digest.ts";
import { ManifestComparison, shownPath } from "../manifest-comparison.ts";
import type { Findings } from "./findings.ts";

/** Small files whose content is looked at, and how much of it is kept. */
const LOOKED_AT: ReadonlyMap<string, number> = new Map([
  ["PG_VERSION", 64],
  ["global/pg_control", 8192],
  ["backup_label", 65_536],
]);

/** All files of one backup. */
export class ContentCheck {
  /** How many files came, and how many bytes they have. */
  files = 0;
  bytes = 0;
  readonly #manifest: BackupManifest | undefined;
  readonly #info: BackupInfo;
  readonly #findings: Findings;
  readonly #comparison: ManifestComparison;
  readonly #contents = new Map<string, Buffer>();

  constructor(options: {
    readonly info: BackupInfo;
    readonly manifest: BackupManifest | undefined;
    readonly findings: Findings;
  }) {
    this.#info = options.info;
    this.#manifest = options.manifest;
    this.#comparison = new ManifestComparison(options.manifest);
    this.#findings = options.findings;
  }

  /** The check of one tar: of PGDATA (`oid` null) or of a tablespace. */
  startTar(oid: number | null, source: string): TarCheck {
    return new TarCheck(this, { oid, source });
  }

  /** The digest that the manifest has of a file. */
  digest(path: string): FileDigest {
    return this.#comparison.digest(path);
  }

  /** A file has come to its end. `content` is its beginning where that is looked at. */
  came(path: string, file: { size: number; checksum: string; content: Buffer | undefined }): void {
    const { size, checksum, content } = file;
    this.files++;
    this.bytes += size;
    if (content) this.#contents.set(path, content);
    const wrong = this.#comparison.came(path, { size, checksum });
    if (wrong !== undefined) this.#findings.add(wrong);
  }

  /** To be called when all tars were read to their ends: what did not come, and what the small files say. */
  finish(): void {
    for (const wrong of this.#comparison.missing()) this.#findings.add(wrong);
    this.#checkVersion();
    this.#checkControl();
    this.#checkLabel();
    this.#checkManifest();
  }

  #checkVersion(): void {
    const text = this.#contents.get("PG_VERSION")?.toString("latin1").trim();
    const { version } = this.#info;
    if (text === undefined) this.#findings.add("PG_VERSION is missing: this is no data directory");
    else if (version !== null && text !== `${Math.floor(version / 10_000)}`)
      this.#findings.add(
        `its files are of PostgreSQL ${shownPath(text)}, its backup.info says ${version}`,
      );
  }

  #checkControl(): void {
    const content = this.#contents.get("global/pg_control");
    if (content === undefined) {
      this.#findings.add("global/pg_control is missing: no server starts without");
      return;
    }
    try {
      const { systemId } = parseControlFile(content, "global/pg_control");
      const told = this.#info.systemId;
      if (told !== null && told !== systemId)
        this.#findings.add(`its files are of cluster ${systemId}, its backup.info says ${told}`);
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      this.#findings.add(error.message);
    }
  }

  #checkLabel(): void {
    const text = this.#contents.get("backup_label")?.toString("latin1");
    if (text === undefined) {
      this.#findings.add("backup_label is missing: a server would recover from the wrong place");
      return;
    }
    const start = readLsn(/^START WAL LOCATION: (\S+)/.exec(text)?.[1] ?? "");
    const { beginLsn } = this.#info;
    if (start === undefined)
      this.#findings.add("its backup_label does not say where its WAL begins");
    else if (beginLsn !== null && start !== beginLsn)
      this.#findings.add(
        `its backup_label begins at ${formatLsn(start)}, its backup.info at ${formatLsn(beginLsn)}`,
      );
  }

  #checkManifest(): void {
    if (this.#manifest === undefined) return;
    const { systemId, walRanges } = this.#manifest;
    const { beginLsn, endLsn, timeline } = this.#info;
    if (systemId !== undefined && this.#info.systemId !== null && systemId !== this.#info.systemId)
      this.#findings.add(`its manifest is of cluster ${systemId}`);
    const own = walRanges.filter((range) => range.timeline === timeline);
    const fits =
      own.some(({ start }) => start === beginLsn) && own.some(({ end }) => end === endLsn);
    if (!fits) this.#findings.add("its manifest is of other WAL than its backup.info");
  }
}

/** One tar, as its content comes. */
export class TarCheck {
  readonly #all: ContentCheck;
  readonly #source: string;
  readonly #folder: string;
  readonly #reader: TarReader;
  #path = "";
  #digest: FileDigest | undefined;
  #content: Buffer[] | undefined;
  /** How much of the content is still wanted. */
  #wanted = 0;

  constructor(all: ContentCheck, { oid, source }: { oid: number | null; source: string }) {
    this.#all = all;
    this.#source = source;
    this.#folder = oid === null ? "" : `pg_tblspc/${oid}/`;
    this.#reader = new TarReader(source);
  }

  /** Takes the next bytes. Throws BACKUP_DAMAGED for what is no tar. */
  push(bytes: Uint8Array): void {
    for (const event of this.#reader.push(bytes)) {
      if (event.kind === "member") this.#begin(event.member);
      else if (event.kind === "content") this.#add(event.bytes);
      else this.#end(event.member);
    }
  }

  /** Throws BACKUP_DAMAGED when the tar is not whole. */
  finish(): void {
    this.#reader.finish();
  }

  #begin({ path, type }: TarMember): void {
    const parts = memberParts(path, this.#source);
    this.#path = this.#folder + parts.join("/");
    if (type !== "file") return;
    this.#digest = this.#all.digest(this.#path);
    this.#wanted = LOOKED_AT.get(this.#path) ?? 0;
    this.#content = this.#wanted > 0 ? [] : undefined;
  }

  #add(bytes: Buffer): void {
    this.#digest?.update(bytes);
    if (this.#content === undefined || this.#wanted === 0) return;
    const part = Buffer.from(bytes.subarray(0, this.#wanted));
    this.#content.push(part);
    this.#wanted -= part.length;
  }

  #end({ type, size }: TarMember): void {
    if (type !== "file") return;
    if (this.#digest === undefined) {
      throw new HoldfastError("BUG", `${this.#source}: a file ends that never began`);
    }
    const content = this.#content && Buffer.concat(this.#content);
    this.#all.came(this.#path, { size, checksum: this.#digest.finish(), content });
    this.#digest = undefined;
  }
}
