// The file system side of a restore: directories, links, special files and metadata, never through a link.
//
// What stands where something is to be restored is looked at with lstat and replaced, not followed. Node has no call
// for extended attributes and sets times as floating seconds (to about 240 ns).

import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import type { Stats } from "node:fs";
import { HoldfastError, errnoOf, messageOf } from "../base/errors.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { toUnixMode } from "../restic/file-mode.ts";
import { parseTime } from "../restic/go-time.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { joinPath, nativePath } from "./entry-table.ts";

const OPEN_WRITE = constants.O_WRONLY | constants.O_NOFOLLOW;

/** What is at a path, or undefined; throws for anything but absence. */
export function lookAt(path: string): Stats | undefined {
  return lstatSync(nativePath(path), { throwIfNoEntry: false });
}

/**
 * Makes the directory that is restored into, with those above it; a link to a directory will do, and is followed
 * because its user named it. TARGET_UNWRITABLE.
 */
export function makeTarget(target: string): void {
  try {
    let path = target.startsWith("/") ? "/" : "";
    for (const part of target.split("/")) {
      if (part === "" || part === ".") continue;
      path = joinPath(path, part);
      if (lookAt(path) === undefined) ensureDirectory(path);
    }
    if (!statSync(nativePath(target)).isDirectory()) throw new Error("it is not a directory");
  } catch (error) {
    throw new HoldfastError(
      "TARGET_UNWRITABLE",
      `cannot restore into ${byteStringToText(target)}: ${messageOf(error)}`,
      { hint: "Choose a directory that this user may write.", cause: error },
    );
  }
}

/** True when a real directory is at `path`; false also when that cannot be told. */
export function isDirectory(path: string): boolean {
  try {
    return lookAt(path)?.isDirectory() === true;
  } catch {
    return false;
  }
}

/** Makes sure that a real directory is at `path`; true when it was made just now. Replaces a link or file. */
export function ensureDirectory(path: string): boolean {
  try {
    mkdirSync(nativePath(path), { mode: 0o700 });
    return true;
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
  if (lookAt(path)?.isDirectory() === true) return false;
  unlinkSync(nativePath(path));
  mkdirSync(nativePath(path), { mode: 0o700 });
  return true;
}

/** Removes what is at `path`, if anything; a directory that is not empty only when `recursive`. Throws ENOTEMPTY. */
export function removeEntry(path: string, options: { recursive: boolean }): void {
  const there = lookAt(path);
  if (there === undefined) return;
  if (!there.isDirectory()) unlinkSync(nativePath(path));
  else if (options.recursive) rmSync(nativePath(path), { recursive: true, force: true });
  else rmdirSync(nativePath(path));
}

/** The names of temporary files: a restore that is killed leaves them, the next one removes them. */
export const LEFTOVER_NAME: RegExp = /^\.holdfast-restore-[0-9a-f]{16}$/;

/** A new path in `directory` for a file that is complete only later. `token`: 16 hex digits, never used before. */
export function temporaryPath(directory: string, token: string): string {
  return joinPath(directory, `.holdfast-restore-${token}`);
}

/** Permission bits with setuid, setgid and sticky. */
export function permissions(node: TreeNode): number {
  return toUnixMode(node.mode) & 0o7777;
}

/** Seconds since 1970 of a node's time. */
export function seconds(time: string): number {
  return Number(parseTime(time)) / 1e9;
}

/** Makes an empty file; nothing may be at `path`. */
export function createFile(path: string): void {
  closeSync(openSync(nativePath(path), OPEN_WRITE | constants.O_CREAT | constants.O_EXCL, 0o600));
}

/** Gives a file that is there already its length (bytes) and metadata. */
export function completeFile(
  path: string,
  node: TreeNode,
  options: { length: number; setOwner: boolean },
): void {
  const descriptor = openSync(nativePath(path), OPEN_WRITE);
  try {
    ftruncateSync(descriptor, options.length);
    applyTo(descriptor, node, options.setOwner);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Writes one piece of a file. The file is there already unless `create`: a piece that made the file anew would pass a
 * hole off as content when somebody removed it in between.
 */
export function writePiece(
  path: string,
  offset: number,
  content: Uint8Array,
  options: { create: boolean },
): void {
  const flags = options.create ? OPEN_WRITE | constants.O_CREAT | constants.O_EXCL : OPEN_WRITE;
  const descriptor = openSync(nativePath(path), flags, 0o600);
  try {
    for (let done = 0; done < content.length;) {
      done += writeSync(descriptor, content, done, content.length - done, offset + done);
    }
  } catch (error) {
    if (options.create) unlinkSync(nativePath(path));
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

function applyTo(descriptor: number, node: TreeNode, setOwner: boolean): void {
  if (setOwner) fchownSync(descriptor, node.uid, node.gid);
  // After the owner: changing it clears setuid and setgid.
  fchmodSync(descriptor, permissions(node));
  futimesSync(descriptor, seconds(node.atime), seconds(node.mtime));
}

/** Sets owner, mode and times of what is at `path` (a directory or special file; links keep their mode). */
export function applyMetadata(path: string, node: TreeNode, setOwner: boolean): void {
  const native = nativePath(path);
  if (setOwner) lchownSync(native, node.uid, node.gid);
  const times = [seconds(node.atime), seconds(node.mtime)] as const;
  if (node.type === "symlink") return lutimesSync(native, ...times);
  chmodSync(native, permissions(node));
  if (setOwner && node.type === "dir") keepSetgid(native, node);
  utimesSync(native, ...times);
}

const SETGID = 0o2000;

/**
 * Without the capability FSETID, which movers of a cluster lack, a change of the mode drops setgid where the group is none of ours. A
 * change of a directory's group keeps it: so the mode is set while the group is ours.
 */
function keepSetgid(native: ReturnType<typeof nativePath>, node: TreeNode): void {
  if ((permissions(node) & SETGID) === 0) return;
  if ((lstatSync(native).mode & SETGID) !== 0) return;
  lchownSync(native, node.uid, process.getegid?.() ?? 0);
  chmodSync(native, permissions(node));
  lchownSync(native, node.uid, node.gid);
}

/** Makes a link, fifo or device with its metadata at `temporary` and moves it to `path`, where no directory may be. */
export function makeSpecial(options: {
  node: TreeNode;
  path: string;
  temporary: string;
  setOwner: boolean;
}): void {
  const { node, path, temporary, setOwner } = options;
  try {
    makeUnnamed(temporary, node);
    applyMetadata(temporary, node, setOwner);
    moveIntoPlace(temporary, path);
  } catch (error) {
    removeEntry(temporary, { recursive: false });
    throw error;
  }
}

function makeUnnamed(path: string, node: TreeNode): void {
  switch (node.type) {
    case "symlink":
      return symlinkSync(Buffer.from(node.linkTarget, "latin1"), nativePath(path));
    case "fifo":
      return makeNode(path, ["p"]);
    case "dev":
    case "chardev":
      return makeNode(path, [node.type === "dev" ? "b" : "c", ...numbers(node)]);
    default:
      throw new HoldfastError("BUG", `a restore cannot make a ${node.type}`);
  }
}

/** A second name for a file that is restored already. */
export function makeHardlink(existing: string, path: string): void {
  linkSync(nativePath(existing), nativePath(path));
}

export function moveIntoPlace(from: string, to: string): void {
  renameSync(nativePath(from), nativePath(to));
}

/**
 * Node cannot make fifos and devices; the system's mknod can. The path goes through the shell's printf, because Node
 * passes only UTF-8 on as a program's argument; the "x" keeps a newline at its end.
 */
function makeNode(path: string, kind: readonly string[]): void {
  const script =
    'export LC_ALL=C; path=$(printf %bx "$1"); shift; exec mknod -m 600 -- "${path%x}" "$@"';
  const escaped = Array.from(Buffer.from(path, "latin1"), (byte) => `\\0${byte.toString(8)}`);
  execFileSync("/bin/sh", ["-c", script, "sh", escaped.join(""), ...kind], {
    stdio: ["ignore", "ignore", "pipe"],
  });
}

/** Major and minor number of a device, by Linux's layout of dev_t. */
function numbers(node: TreeNode): [string, string] {
  const device = BigInt(node.device);
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn);
  return [String(major), String(minor)];
}
