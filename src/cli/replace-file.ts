// A file is made or replaced as a whole, or not at all.

import { constants } from "node:fs";
import { access, lstat, open, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Random } from "../base/clock.ts";
import { errnoOf, HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";

const HINTS: Readonly<Record<string, string>> = {
  EBUSY: "It is mounted by itself, as files of a container are: change it where it comes from.",
  ENOSPC: "Make space; a new file is written beside the old one before it takes its place.",
  EDQUOT: "Make space; a new file is written beside the old one before it takes its place.",
};

/**
 * What can be known before there is anything to write: USAGE unless `path` leads to a file of ours, or to none, in a folder
 * where files can be made.
 */
export async function requireReplaceable(path: string): Promise<void> {
  try {
    const real = await realpath(path);
    requireOurs(path, await stat(real));
    await requireFolder(path, dirname(real));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw failure(error, (why) => notPlaced(path, why));
    if (await isLink(path)) throw notPlaced(path, "it is a link that leads nowhere");
    await requireFolder(path, dirname(path));
  }
}

async function requireFolder(path: string, folder: string): Promise<void> {
  try {
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw failure(error, (why) => notPlaced(path, `${folder}: ${why}`));
  }
}

async function isLink(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}

interface Stats {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  isFile(): boolean;
}

function requireOurs(path: string, stats: Stats): void {
  if (!stats.isFile()) throw notPlaced(path, "it is no regular file");
  const us = process.geteuid?.();
  if (us === undefined || us === 0 || us === stats.uid) return;
  throw new HoldfastError("USAGE", `${path} cannot be replaced: it belongs to somebody else`, {
    hint: "It would become yours, and be lost to them. Do it as its owner, or as root.",
  });
}

function notPlaced(path: string, why: string): HoldfastError {
  return new HoldfastError("USAGE", `${path} cannot be written: ${why}`);
}

/** Makes a file that only its owner can read. USAGE when there is one already. */
export async function createFile(path: string, content: Uint8Array): Promise<void> {
  if (await createIfAbsent(path, content)) return;
  throw new HoldfastError("USAGE", `${path} exists; it is as it was`);
}

/** Keeps `content` beside the file at `path`, under a name that tells the same format; the name. */
export async function createBeside(path: string, content: Uint8Array): Promise<string> {
  for (let count = 1; ; count++) {
    const beside = besideName(path, count === 1 ? "edited" : `edited-${count}`);
    if (await createIfAbsent(beside, content)) return beside;
  }
}

/** `mark` goes before what tells the format: x.edited.enc.yaml, .edited.env, key.edited.pem, name.edited. */
export function besideName(path: string, mark: string): string {
  const name = basename(path);
  const [, stem, end] =
    /^(.*?)((?:\.(?:enc|sops))?\.(?:ya?ml|json|env|ini))$/s.exec(name) ??
    /^(.+)(\.[^.]+)$/s.exec(name) ??
    [];
  return join(dirname(path), `${stem ?? name}.${mark}${end ?? ""}`);
}

/** Makes a file that only its owner can read; false when there is one already. What could not be written is not left behind. */
export async function createIfAbsent(path: string, content: Uint8Array): Promise<boolean> {
  const failed = (why: string): HoldfastError =>
    new HoldfastError("USAGE", `${path} cannot be made: ${why}`);
  let file: FileHandle;
  try {
    file = await open(path, "wx", 0o600);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw failure(error, failed);
  }
  try {
    await fill(file, content);
  } catch (error) {
    await removed(path);
    throw failure(error, failed);
  }
  return true;
}

/** Writes all of a new file, and closes it whatever happens. */
async function fill(
  file: FileHandle,
  content: Uint8Array,
  prepare?: () => Promise<void>,
): Promise<void> {
  try {
    await prepare?.();
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

export interface ReplaceOptions {
  readonly random: Random;
  /** What the file held when it was read. */
  readonly expected: Uint8Array;
}

/**
 * Puts `content` in the place of an existing file, whose owner and permissions stay; a symbolic link goes on leading to it. False
 * when it no longer holds what was expected: somebody else changed it, and so it stays. USAGE when it cannot be replaced.
 *
 * Another hard link keeps the old content, as when git writes a file: writing in place would keep the two one, but whoever
 * is stopped halfway would have lost the only copy of a secret.
 */
export async function replaceFile(
  path: string,
  content: Uint8Array,
  { random, expected }: ReplaceOptions,
): Promise<boolean> {
  let temporary: string | undefined;
  try {
    const real = await realpath(path);
    const stats = await stat(real);
    requireOurs(path, stats);
    const name = join(dirname(real), `.${Buffer.from(random(8)).toString("hex")}.tmp`);
    const file = await open(name, "wx", 0o600);
    temporary = name;
    await fill(file, content, () => likeBefore(file, stats));
    // As late as can be: no lock keeps others away.
    if (Buffer.compare(await readFile(real), expected) !== 0) return false;
    await rename(name, real);
    temporary = undefined;
    await syncFolder(dirname(real));
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw failure(error, (why, hint) => {
      const what = `${path} cannot be replaced: ${why}; it is as it was`;
      return new HoldfastError("USAGE", what, hint === undefined ? {} : { hint });
    });
  } finally {
    if (temporary !== undefined) await removed(temporary);
  }
}

/** Gives a new file the owner and the permissions of the one that it replaces. */
async function likeBefore(file: FileHandle, { uid, gid, mode }: Stats): Promise<void> {
  const own = await file.stat();
  try {
    if (own.uid !== uid || own.gid !== gid) await file.chown(uid, gid);
  } catch (error) {
    // Who is in no such group may still write a file of their own.
    if (errnoOf(error) !== "EPERM" || own.uid !== uid) throw error;
  }
  // After that, because a change of the owner takes some of them away.
  await file.chmod(mode & 0o7777);
}

/** The file is in its place; at worst a crash of the machine brings the old one back. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch {
    // Not every folder can be opened, nor every file system do this.
  }
}

/** What failed already is what there is to tell. */
async function removed(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => {});
}

/** What the system says against it as one of our errors; anything else as it is. */
function failure(error: unknown, told: (why: string, hint?: string) => HoldfastError): unknown {
  const errno = errnoOf(error);
  if (isHoldfastError(error) || errno === undefined) return error;
  // Without the call, and the name of a file that nobody knows.
  const why = messageOf(error).replace(/, \w+(?: '.*)?$/s, "");
  return told(why, HINTS[errno]);
}

/** The error of whoever gives up because replaceFile returned false. */
export function changedMeanwhile(path: string, hint?: string): HoldfastError {
  const fields = hint === undefined ? {} : { hint };
  return new HoldfastError("USAGE", `${path} was changed by somebody else meanwhile`, fields);
}
