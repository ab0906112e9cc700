// A file of the filestore that was opened the moment it was seen: from then on its content can be read, also when Odoo's
// collector takes the name away. Links are not followed, and nothing is waited for.

import { closeSync, constants, fstatSync, openSync } from "node:fs";
import type { BigIntStats } from "node:fs";
import { errnoOf } from "../../base/errors.ts";

const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Why there is nothing to read under a name. */
export type NotHeld =
  /** There is no such file. */
  | "absent"
  /** It is a link, a folder, a pipe or a device: nothing that Odoo puts there. */
  | "stranger"
  /** We may not read it, or the file system cannot. */
  | "unreadable";

export class HeldFile {
  readonly sha1: string;
  /** Name of its folder below the filestore: "ab". */
  readonly folder: string;
  readonly descriptor: number;
  #isOpen = true;

  constructor(sha1: string, folder: string, descriptor: number) {
    this.sha1 = sha1;
    this.folder = folder;
    this.descriptor = descriptor;
  }

  /** What fstat says now. Throws what it throws. */
  stat(): BigIntStats {
    return fstatSync(this.descriptor, { bigint: true });
  }

  close(): void {
    if (this.#isOpen) closeSync(this.descriptor);
    this.#isOpen = false;
  }
}

/** Opens the file `folder`/`sha1` below `root`. Throws only when this process can open no more files. */
export function holdFile(root: string, folder: string, sha1: string): HeldFile | NotHeld {
  const path = `${root}/${folder}/${sha1}`;
  let descriptor: number;
  try {
    descriptor = openQuietly(path);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return "absent";
    if (code === "ELOOP" || code === "ENXIO") return "stranger";
    if (code === "EMFILE" || code === "ENFILE") throw error;
    return "unreadable";
  }
  const held = new HeldFile(sha1, folder, descriptor);
  try {
    if (held.stat().isFile()) return held;
  } catch {
    held.close();
    return "unreadable";
  }
  held.close();
  return "stranger";
}

/** Without a new access time where the system lets us: only owners and root may. */
function openQuietly(path: string): number {
  try {
    return openSync(path, FLAGS | constants.O_NOATIME);
  } catch (error) {
    if (errnoOf(error) !== "EPERM") throw error;
    return openSync(path, FLAGS);
  }
}
