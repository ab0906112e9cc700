// One tar of a base backup, unpacked as it comes. Only regular files and directories are made, below the folder that was
// claimed, and none twice; nothing is written through a link. Other members are left out and told. Files are written by calls
// that wait: most of them are small, and handing each call to another thread costs more than the call.

import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  mkdirSync,
  openSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { memberParts, TarReader, type TarMember } from "../../barman/tar-reader.ts";
import { damagedTar } from "../../barman/tar-header.ts";
import { errnoOf, messageOf, HoldfastError } from "../../base/errors.ts";
import type { FileDigest } from "../file-digest.ts";
import type { ServerAccount } from "../server-process.ts";
import type { ManifestComparison } from "../manifest-comparison.ts";
import { CONTROL_FILE, MARK, unwritable } from "./target-folders.ts";

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** What a running server or an earlier recovery leaves, and must not come back with its data. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  "postmaster.pid",
  "postmaster.opts",
  "recovery.signal",
  "standby.signal",
  "backup_manifest",
  // The places of tablespaces are those of the plan.
  "tablespace_map",
  MARK,
]);

const CONTROL_BYTES_MAX = 64 * 1024;

/**
 * What a server has in the place of a tablespace: a folder for each version. A place outside the data directory may be any that the
 * archive names, such as one in which another program looks for its settings, so nothing else is made there.
 */
const OF_TABLESPACE = /^PG_\d+(?:\.\d+)?_\d+(?:\/|$)/;

export interface UnpackOptions {
  /** What errors call the tar. */
  readonly source: string;
  /** Absolute path of the folder that it is unpacked into. */
  readonly folder: string;
  /** How paths of manifests begin for what lies there: "" or "pg_tblspc/<oid>/". */
  readonly prefix: string;
  readonly account: ServerAccount | undefined;
  readonly comparison: ManifestComparison;
  readonly content: AsyncIterable<Uint8Array>;
  readonly report: UnpackReport;
}

/** What came of all tars together. */
export interface UnpackReport {
  files: number;
  bytes: number;
  /** The content of global/pg_control, which is not written yet. */
  control: Buffer | undefined;
  /** Mode of the data directory. */
  mode: number | undefined;
  /** Members that were left out and are not usually there: links, special files, what is no part of a tablespace. */
  readonly leftOut: string[];
}

/** Unpacks a tar to its end. Throws BACKUP_DAMAGED, TARGET_UNWRITABLE, or what `content` throws. */
export async function unpackTar(options: UnpackOptions): Promise<void> {
  const reader = new TarReader(options.source);
  const unpacking = new Unpacking(options);
  try {
    for await (const bytes of options.content) {
      for (const event of reader.push(bytes)) {
        if (event.kind === "member") unpacking.begin(event.member);
        else if (event.kind === "content") unpacking.write(event.bytes);
        else unpacking.end(event.member);
      }
    }
    reader.finish();
  } finally {
    unpacking.close();
  }
}

class Unpacking {
  readonly #options: UnpackOptions;
  readonly #folders = new Set<string>([""]);
  #path = "";
  #digest: FileDigest | undefined;
  #file: number | undefined;
  #control: Buffer[] | undefined;

  constructor(options: UnpackOptions) {
    this.#options = options;
  }

  begin(member: TarMember): void {
    const { source, report, comparison, prefix } = this.#options;
    const parts = memberParts(member.path, source);
    const path = parts.join("/");
    this.#path = prefix + path;
    if (member.type === "hardlink")
      throw damagedTar(source, `${shown(path)} is a second name of another file`);
    const isPlaced = prefix === "" || path === "" || OF_TABLESPACE.test(path);
    if (member.type === "directory") {
      if (isPlaced) this.#makeFolder(parts, member.mode);
      return;
    }
    if (path === "") throw damagedTar(source, "a file has no name");
    if (member.type !== "file") {
      // Servers that keep their WAL or log elsewhere have links in these places.
      if (/^(?:pg_wal|log|pg_log|pg_stat_tmp)$/.test(path)) this.#makeFolder(parts, 0o700);
      else if (!/^pg_tblspc\/\d+$/.test(path)) report.leftOut.push(shown(path));
      return;
    }
    this.#digest = comparison.digest(this.#path);
    if (this.#path === CONTROL_FILE) {
      if (report.control !== undefined) throw this.#twice();
      if (member.size > CONTROL_BYTES_MAX) throw damagedTar(source, `${path} is too large`);
      this.#control = [];
    } else if (!isPlaced) report.leftOut.push(shown(this.#path));
    else if (!isLeftOut(this.#path)) {
      this.#makeFolder(parts.slice(0, -1), undefined);
      this.#create(path, member.mode);
    }
  }

  write(bytes: Buffer): void {
    this.#digest?.update(bytes);
    this.#control?.push(Buffer.from(bytes));
    if (this.#file === undefined) return;
    try {
      for (let at = 0; at < bytes.length;)
        at += writeSync(this.#file, bytes, at, bytes.length - at);
    } catch (error) {
      throw unwritable(join(this.#options.folder, this.#path), messageOf(error), error);
    }
  }

  end({ type, size }: TarMember): void {
    if (type !== "file") return;
    const { comparison, report } = this.#options;
    if (this.#control) {
      report.control = Buffer.concat(this.#control);
      this.#control = undefined;
    }
    const wrong = comparison.came(this.#path, { size, checksum: this.#digest!.finish() });
    if (wrong !== undefined) throw differs(wrong);
    report.files++;
    report.bytes += size;
    this.close();
  }

  close(): void {
    const file = this.#file;
    this.#file = undefined;
    if (file !== undefined) closeSync(file);
  }

  #create(path: string, mode: number): void {
    const { folder, account } = this.#options;
    // No more than a server gives: nothing runs from a data directory.
    const permissions = (mode & 0o666) | 0o600;
    try {
      this.#file = openSync(nativePath(folder, path), CREATE, permissions);
      if (account) fchownSync(this.#file, account.uid, account.gid);
      // What our umask may have taken.
      if ((permissions & 0o077) !== 0) fchmodSync(this.#file, permissions);
    } catch (error) {
      const isThere = ["EEXIST", "ELOOP", "EISDIR", "ENOTDIR"].includes(errnoOf(error) ?? "");
      if (isThere) throw this.#twice();
      throw unwritable(join(folder, path), messageOf(error), error);
    }
  }

  /** Makes a folder and those above it. `mode` undefined: it is there only for what lies in it. */
  #makeFolder(parts: readonly string[], mode: number | undefined): void {
    const { folder, account, prefix, report } = this.#options;
    if (parts.length === 0) {
      if (mode !== undefined && prefix === "") report.mode ??= mode;
      return;
    }
    for (let depth = 1; depth <= parts.length; depth++) {
      const path = parts.slice(0, depth).join("/");
      if (this.#folders.has(path)) continue;
      const native = nativePath(folder, path);
      try {
        mkdirSync(native, { mode: 0o700 });
        if (account) chownSync(native, account.uid, account.gid);
      } catch (error) {
        // Every part of a backup has the folders; another one may have been quicker.
        if (errnoOf(error) === "ENOTDIR") throw this.#twice();
        if (errnoOf(error) !== "EEXIST")
          throw unwritable(join(folder, path), messageOf(error), error);
        this.#requireFolder(native);
      }
      this.#folders.add(path);
    }
    if (mode !== undefined && (mode & 0o050) !== 0)
      chmodSync(nativePath(folder, parts.join("/")), 0o700 | (mode & 0o050));
  }

  #requireFolder(native: Buffer): void {
    try {
      closeSync(
        openSync(native, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW),
      );
    } catch {
      throw this.#twice();
    }
  }

  #twice(): HoldfastError {
    return damagedTar(this.#options.source, `${shown(this.#path)} is there twice`);
  }
}

/** WAL comes from the archive alone: what stood in the data directory may be of any age. */
function isLeftOut(path: string): boolean {
  return LEFT_OUT.has(path) || path.startsWith("pg_wal/");
}

function nativePath(folder: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(path, "latin1")]);
}

function shown(path: string): string {
  return JSON.stringify(Buffer.from(path, "latin1").toString());
}

/** The error about a file that is not as the manifest has it. */
export function differs(what: string): HoldfastError {
  return new HoldfastError("BACKUP_DAMAGED", `the backup is not what its manifest says: ${what}`, {
    hint: "Recover with another base backup: choose one with --backup; `holdfast pg verify` tells which are whole.",
  });
}
