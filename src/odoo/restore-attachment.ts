// Brings the content of one attachment out of a pool into a file: verified before the file has its name, and never over
// another file. Names of attachments are hostile, so what they become in a folder is told here.

import { createHash } from "node:crypto";
import { lstat, link, mkdir, open, readFile, rename, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { toHex } from "../base/bytes.ts";
import type { Random } from "../base/clock.ts";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import { quoteLiteral } from "../postgres/connection.ts";
import type { AttachmentVersion } from "./catalogue-lines.ts";
import type { Pool, VerifiedFile } from "./pool.ts";
import { EMPTY_SHA1, storePath } from "./store-name.ts";

export interface RestoreAttachmentOptions {
  readonly pool: Pick<Pool, "read">;
  readonly sha1: string;
  /** A file that is absent, or a folder that is there. */
  readonly to: string;
  /** What it is called in a folder. */
  readonly name: string;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
}

export interface RestoredAttachment {
  /** Where it is. */
  readonly path: string;
  readonly size: number;
  /** The file was there already, with this very content. */
  readonly wasThere: boolean;
  /** Where the content comes from; undefined for one of no bytes. */
  readonly copy: VerifiedFile["copy"] | undefined;
}

/** Restores it. Throws ATTACHMENT_NOT_FOUND, TARGET_UNWRITABLE, what storages throw, CANCELLED. */
export async function restoreAttachment(
  options: RestoreAttachmentOptions,
): Promise<RestoredAttachment> {
  const { pool, sha1, signal } = options;
  const path = await targetPath(options);
  const existing = await contentOf(path);
  if (existing !== undefined) {
    if (existing.sha1 === sha1)
      return { path, size: existing.size, wasThere: true, copy: undefined };
    throw unwritable(path, "another file is there");
  }
  if (sha1 === EMPTY_SHA1) {
    await writeNew(path, [], options);
    return { path, size: 0, wasThere: false, copy: undefined };
  }
  const answer = await pool.read(sha1, { signal });
  if (answer.status === "missing") {
    throw new HoldfastError("ATTACHMENT_NOT_FOUND", `no snapshot and no capture has ${sha1}`, {
      hint: "It was never captured, or its snapshots were forgotten. `holdfast attachment versions` shows other versions.",
    });
  }
  if (answer.status === "corrupt") {
    throw new HoldfastError(
      "ATTACHMENT_NOT_FOUND",
      `every copy of ${sha1} is damaged or of another content: ${answer.reason}`,
      { hint: "`holdfast check --read-data` tells what is damaged; nothing was written." },
    );
  }
  await writeNew(path, answer.content({ signal }), options);
  return { path, size: answer.size, wasThere: false, copy: answer.copy };
}

async function targetPath({ to, name }: RestoreAttachmentOptions): Promise<string> {
  try {
    if ((await stat(to)).isDirectory()) return join(to, fileNameOf(name));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw unwritable(to, messageOf(error));
    if (to.endsWith("/")) {
      await mkdir(to, { recursive: true });
      return join(to, fileNameOf(name));
    }
  }
  return to;
}

/** Longest name that every file system takes. */
const NAME_BYTES = 200;

/** What an attachment of that name is called in a folder: no separators, nothing hidden, nothing that a terminal obeys. */
export function fileNameOf(name: string): string {
  const plain = name
    .normalize("NFC")
    .replaceAll(/[\p{C}/\\:*?"<>|\u2028\u2029]/gu, "_")
    .replace(/^[.\s]+/, "")
    .trim();
  const cut = Buffer.from(plain, "utf8");
  if (cut.length === 0) return "attachment";
  if (cut.length <= NAME_BYTES) return plain;
  // The ending says what opens it.
  const [ending = ""] = /\.[^.]{1,10}$/.exec(plain) ?? [];
  const room = NAME_BYTES - Buffer.byteLength(ending);
  const start = cut
    .subarray(0, room)
    .toString("utf8")
    .replace(/\ufffd+$/, "");
  return `${start}${ending}`;
}

async function contentOf(path: string): Promise<{ sha1: string; size: number } | undefined> {
  try {
    const found = await lstat(path);
    if (!found.isFile()) throw unwritable(path, "it is no regular file");
    const bytes = await readFile(path);
    return { sha1: createHash("sha1").update(bytes).digest("hex"), size: bytes.length };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    if (error instanceof HoldfastError) throw error;
    throw unwritable(path, messageOf(error));
  }
}

/** Writes beside, syncs, and gives it its name; nothing stays behind when that fails. */
async function writeNew(
  path: string,
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  { random, sha1 }: RestoreAttachmentOptions,
): Promise<void> {
  const temporary = join(dirname(path), `.holdfast-${toHex(random(8))}`);
  let isOurs = false;
  try {
    const file = await open(temporary, "wx", 0o600);
    isOurs = true;
    try {
      const sum = createHash("sha1");
      for await (const piece of content) {
        sum.update(piece);
        await file.writeFile(piece);
      }
      if (sum.digest("hex") !== sha1) {
        throw new HoldfastError("BUG", `what was written is not ${sha1}`);
      }
      await file.chmod(0o644);
      await file.sync();
    } finally {
      await file.close();
    }
    await nameNew(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    throw unwritable(path, messageOf(error));
  } finally {
    if (isOurs) await unlink(temporary).catch(() => {});
  }
}

/** Gives the file its name unless somebody else has taken that. */
async function nameNew(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "EEXIST") throw unwritable(path, "another file is there");
    if (code !== "EPERM" && code !== "ENOTSUP" && code !== "EOPNOTSUPP") throw error;
    // A file system without links.
    if ((await lstat(path).catch(() => undefined)) !== undefined) {
      throw unwritable(path, "another file is there");
    }
    await rename(temporary, path);
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function unwritable(path: string, why: string): HoldfastError {
  return new HoldfastError("TARGET_UNWRITABLE", `${path} cannot be written: ${why}`, {
    hint: "Name a file that is absent, or a folder, with --to.",
  });
}

/**
 * The statement that makes the row again, under a new number. The file itself has to be in the filestore before Odoo asks
 * for it.
 */
export function insertStatement(version: AttachmentVersion): string {
  const { name, res_model, res_field, res_id, mimetype, size, sha1 } = version;
  const text = (value: string | null): string => (value === null ? "NULL" : quoteLiteral(value));
  const values: [string, string][] = [
    ["name", text(name)],
    ["type", "'binary'"],
    ["res_model", text(res_model)],
    ["res_field", text(res_field)],
    ["res_id", res_id === null ? "NULL" : String(res_id)],
    ["mimetype", text(mimetype)],
    ["file_size", size === null ? "NULL" : String(size)],
    ["checksum", text(sha1)],
    ["store_fname", sha1 === null || sha1 === EMPTY_SHA1 ? "NULL" : text(storePath(sha1))],
    ["create_date", "now() AT TIME ZONE 'UTC'"],
    ["write_date", "now() AT TIME ZONE 'UTC'"],
  ];
  const [columns, list] = [values.map(([column]) => column), values.map(([, value]) => value)];
  return `INSERT INTO ir_attachment (${columns.join(", ")}) VALUES (${list.join(", ")}) RETURNING id;`;
}
