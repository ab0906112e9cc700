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
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import type { Stats } from "node:fs";
import { errnoOf } from "../base/errors.ts";
import { sha256Hex } from "../base/bytes.ts";
import { toUnixMode } from "../restic/file-mode.ts";
import { parseTime } from "../restic/go-time.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { joinPath, nativePath } from "./entry-table.ts";

const OPEN_WRITE = constants.O_WRONLY | constants.O_NOFOLLOW;

/** What is at a path, or undefined; throws for anything but absence. */
export function lookAt(path: string): Stats | undefined {
  return lstatSync(nativePath(path), { throwIfNoEntry: false });
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

/** Removes whatever is at `path`; true when something was there. */
export function removeEntry(path: string): boolean {
  const there = lookAt(path);
  if (there === undefined) return false;
  rmSync(nativePath(path), { recursive: there.isDirectory(), force: true });
  return true;
}

/** Name under which a file is written that replaces another one; the same each time, so a leftover is found again. */
export function temporaryName(directory: string, name: string): string {
  const digest = sha256Hex(Buffer.from(name, "latin1")).slice(0, 16);
  return joinPath(directory, `.holdfast-restore-${digest}`);
}

/** Permission bits with setuid, setgid and sticky. */
export function permissions(node: TreeNode): number {
  return toUnixMode(node.mode) & 0o7777;
}

/** Seconds since 1970 of a node's time. */
export function seconds(time: string): number {
  return Number(parseTime(time)) / 1e9;
}

/** Makes an empty file with its metadata; it must not exist. */
export function makeEmptyFile(path: string, node: TreeNode, setOwner: boolean): void {
  const flags = OPEN_WRITE | constants.O_CREAT | constants.O_EXCL;
  const descriptor = openSync(nativePath(path), flags, 0o600);
  try {
    applyTo(descriptor, node, setOwner);
  } finally {
    closeSync(descriptor);
  }
}

/** Gives a file that was written in parts its length and metadata. */
export function completeFile(path: string, node: TreeNode, setOwner: boolean): void {
  const descriptor = openSync(nativePath(path), OPEN_WRITE);
  try {
    ftruncateSync(descriptor, Number(node.size));
    applyTo(descriptor, node, setOwner);
  } finally {
    closeSync(descriptor);
  }
}

/** Writes one piece of a file, making it if need be. */
export function writePiece(path: string, offset: number, content: Uint8Array): void {
  const descriptor = openSync(nativePath(path), OPEN_WRITE | constants.O_CREAT, 0o600);
  try {
    for (let done = 0; done < content.length;) {
      done += writeSync(descriptor, content, done, content.length - done, offset + done);
    }
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
  utimesSync(native, ...times);
}

/** Makes a link, fifo or device; nothing may be at `path`. Sockets and unknown types are left out: false. */
export function makeSpecial(path: string, node: TreeNode): boolean {
  switch (node.type) {
    case "symlink":
      symlinkSync(Buffer.from(node.linkTarget, "latin1"), nativePath(path));
      return true;
    case "fifo":
      run("mkfifo", ["--", shellPath(path)]);
      return true;
    case "dev":
    case "chardev":
      run("mknod", ["--", shellPath(path), node.type === "dev" ? "b" : "c", ...numbers(node)]);
      return true;
    default:
      return false;
  }
}

/** A second name for a file that is restored already. */
export function makeHardlink(existing: string, path: string): void {
  linkSync(nativePath(existing), nativePath(path));
}

export function moveIntoPlace(from: string, to: string): void {
  renameSync(nativePath(from), nativePath(to));
}

/** Node cannot make fifos and devices; the system's own programs can. */
function run(program: string, parameters: string[]): void {
  execFileSync(program, parameters, { stdio: ["ignore", "ignore", "pipe"] });
}

/** A path as a program's argument: only UTF-8 can be passed on. */
function shellPath(path: string): string {
  return Buffer.from(path, "latin1").toString("utf8");
}

/** Major and minor number of a device, by Linux's layout of dev_t. */
function numbers(node: TreeNode): [string, string] {
  const device = BigInt(node.device);
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn);
  return [String(major), String(minor)];
}
