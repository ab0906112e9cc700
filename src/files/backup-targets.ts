// From the paths a person names to the shape of the snapshot's root (docs/formats/restic.md#snapshots).
//
// `/data/a` becomes the directories data and a; `.` becomes its entries at the root, as VolSync's repositories need.
// All paths are byte strings.

import { lstatSync, opendirSync, readdirSync } from "node:fs";
import type { HoldfastError } from "../base/errors.ts";
import { HoldfastError as Failure, errnoOf, messageOf } from "../base/errors.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { EntryTable, joinPath, nativePath } from "./entry-table.ts";

/** A place in the snapshot: either a path of the file system, or a directory made of further places. */
export interface Target {
  name: string;
  /** Path whose metadata (and, without children, content) it has; undefined at the root. */
  path: string | undefined;
  /** Set for the directories above what was named. */
  children: Map<string, Target> | undefined;
  /** Named by the person, and so never excluded; an entry of `.`, `..` or `/` is not. */
  isNamed: boolean;
  /** Of an entry of `.`, `..` or `/`: the device of that directory, which --one-file-system keeps to. */
  device: number | bigint | undefined;
  /** Where a path with its first name begins: "/", ".", "./..", … */
  origin: string;
}

/** The place that all others are in. */
export function rootTarget(): Target {
  const children = new Map<string, Target>();
  return { name: "", path: undefined, children, isNamed: false, device: undefined, origin: "" };
}

export interface Targets {
  root: Target;
  /** Absolute paths, as the snapshot records them. */
  paths: string[];
  missing: HoldfastError[];
}

/** `cwd` is absolute. SOURCE_MISSING when none of the paths exists. */
export function resolveTargets(paths: readonly string[], cwd: string): Targets {
  const root = rootTarget();
  const missing: HoldfastError[] = [];
  const absolute: string[] = [];
  for (const given of paths) {
    const path = cleanPath(given);
    try {
      lstatSync(nativePath(path));
      addTarget(root, path);
    } catch (error) {
      missing.push(cannotRead(path, error));
      continue;
    }
    absolute.push(path.startsWith("/") ? path : cleanPath(joinPath(cwd, path)));
  }
  if (absolute.length === 0) {
    if (missing.length > 0) throw missing[0]!;
    throw new Failure("SOURCE_MISSING", "nothing to back up: no path was given", {
      hint: "Name at least one file or directory.",
    });
  }
  return { root, paths: absolute.sort(), missing };
}

function cannotRead(path: string, error: unknown): HoldfastError {
  const shown = byteStringToText(path);
  if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") {
    return new Failure("SOURCE_MISSING", `${shown} does not exist`, {
      hint: "Is the volume mounted, and the path spelled right?",
    });
  }
  return new Failure("SOURCE_UNREADABLE", `${shown} cannot be read: ${messageOf(error)}`, {
    cause: error,
  });
}

function addTarget(root: Target, path: string): void {
  const parts = components(path);
  // `.`, `..` and `/` have no name of their own: their entries go to the root.
  if (parts.length > 0) insert(root, path, parts);
  else expand(root, path);
}

/** Puts the entries of the directory at `path` into `target`, where they are not named already. */
function expand(target: Target, path: string): void {
  const device = deviceOf(path);
  const origin = originOf(path);
  target.children ??= new Map();
  for (const name of readdirSync(nativePath(path), { encoding: "latin1" }).sort()) {
    const entry = path === "." ? name : joinPath(path, name);
    const known = target.children.get(name);
    if (known?.origin === origin) {
      if (known.children !== undefined) expand(known, entry);
      continue;
    }
    const free = known === undefined ? name : freeName(target, name, origin);
    const children = undefined;
    const added: Target = { name: free, path: entry, children, isNamed: false, device, origin };
    target.children.set(free, added);
  }
}

/** Puts a path into the tree of targets. */
function insert(root: Target, path: string, parts: readonly string[]): void {
  const origin = originOf(path);
  let at = root;
  for (const [depth, name] of parts.entries()) {
    // A directory that was named before: its entries are stored one by one now, and one of them is named itself.
    if (at.children === undefined) expand(at, at.path!);
    const last = depth === parts.length - 1;
    const prefix = last ? path : ancestor(path, parts.length - 1 - depth);
    const free = depth === 0 ? freeName(root, name, origin) : name;
    const known = at.children!.get(free);
    if (known === undefined) {
      const children = last ? undefined : new Map<string, Target>();
      const target = {
        name: free,
        path: prefix,
        children,
        isNamed: true,
        device: undefined,
        origin,
      };
      at.children!.set(free, target);
      at = target;
    } else if (!last) at = known;
    else if (known.children !== undefined) expand(known, path);
    else Object.assign(known, { path, isNamed: true, device: undefined });
  }
}

function deviceOf(path: string): number | bigint {
  const table = new EntryTable(1);
  table.addThroughLink("", path, false);
  return table.deviceId(0);
}

/** restic's rule for equal names from different directories: the second is called `name-1`, and so on. */
function freeName(root: Target, name: string, origin: string): string {
  let free = name;
  for (let i = 1; ; i++) {
    const known = root.children!.get(free);
    if (known === undefined || known.origin === origin) return free;
    free = `${name}-${i}`;
  }
}

/** Where the first named part of a cleaned path is looked for. */
function originOf(path: string): string {
  if (path.startsWith("/")) return "/";
  const above = path.split("/").filter((part) => part === "..");
  return [".", ...above].join("/");
}

/** True when there is nothing to store: every source is a directory without entries. What cannot be read is not empty. */
export function isEmpty(target: Target): boolean {
  if (target.children !== undefined) return [...target.children.values()].every(isEmpty);
  try {
    if (!lstatSync(nativePath(target.path!)).isDirectory()) return false;
    const directory = opendirSync(nativePath(target.path!));
    try {
      return directory.readSync() === null;
    } finally {
      directory.closeSync();
    }
  } catch {
    return false;
  }
}

/** The path `levels` directories up. */
function ancestor(path: string, levels: number): string {
  let end = path.length;
  for (let i = 0; i < levels; i++) end = path.lastIndexOf("/", end - 1);
  return end <= 0 ? "/" : path.slice(0, end);
}

/** The named parts of a cleaned path; leading `..` have no place in a snapshot. */
function components(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== "." && part !== "..");
}

/** The path without empty, `.` and inner `..` parts, as Go's filepath.Clean makes it. */
export function cleanPath(path: string): string {
  const rooted = path.startsWith("/");
  const kept: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") kept.push(part);
    else if (kept.length > 0 && kept.at(-1) !== "..") kept.pop();
    else if (!rooted) kept.push(part);
  }
  return (rooted ? "/" : "") + (kept.join("/") || (rooted ? "" : "."));
}
