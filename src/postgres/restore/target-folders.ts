// The folders that a cluster is restored into: looked at before anything is written, marked while they are incomplete, and
// emptied again when the restore fails. What an earlier restore that was killed left behind is known by its mark and
// removed; anything else that is there is somebody's and stops the restore.

import { chown, chmod, lstat, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { HoldfastError, errnoOf, messageOf } from "../../base/errors.ts";
import type { ServerAccount } from "../server-process.ts";

/** Stands in every folder of a restore until it is complete. No server starts there: pg_control comes last. */
export const MARK = "holdfast-restore-is-incomplete";

export interface TargetFolder {
  /** Absolute. */
  readonly path: string;
  readonly state: "absent" | "empty" | "left";
}

/** Looks at the folder that will be restored into. Throws TARGET_UNWRITABLE when it is anything but absent or empty. */
export async function lookAtTarget(path: string): Promise<TargetFolder> {
  const absolute = resolve(path);
  let names: string[];
  try {
    if (!(await stat(absolute)).isDirectory()) throw unwritable(absolute, "it is not a directory");
    names = await readdir(absolute);
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    if (errnoOf(error) !== "ENOENT") throw unwritable(absolute, messageOf(error), error);
    await requireNoLink(absolute);
    return { path: absolute, state: "absent" };
  }
  if (names.length === 0) return { path: absolute, state: "empty" };
  if (names.includes(MARK)) return { path: absolute, state: "left" };
  throw unwritable(absolute, `it is not empty: it has ${JSON.stringify(names[0])}`);
}

/** A link that leads nowhere would be written through. */
async function requireNoLink(path: string): Promise<void> {
  try {
    await lstat(path);
  } catch {
    return;
  }
  throw unwritable(path, "it is a link that leads nowhere");
}

/** Throws TARGET_UNWRITABLE when one of the folders lies in another one, or is it. */
export function requireApart(paths: readonly string[]): void {
  for (const [index, path] of paths.entries()) {
    const other = paths.find(
      (one, at) => at !== index && (one === path || path.startsWith(`${one === "/" ? "" : one}/`)),
    );
    if (other !== undefined)
      throw unwritable(path, other === path ? "it is named twice" : `it lies in ${other}`);
  }
}

/** Makes the folder, or empties what an earlier restore left there, and puts the mark in it. Throws TARGET_UNWRITABLE. */
export async function claimTarget(
  folder: TargetFolder,
  account: ServerAccount | undefined,
): Promise<void> {
  const { path, state } = folder;
  try {
    if (state === "absent") {
      // Others may enter those above: the server may be somebody else.
      await mkdir(dirname(path), { recursive: true });
      await mkdir(path, { mode: 0o700 });
    }
    if (state === "left") await emptyFolder(path, { except: MARK });
    await chmod(path, 0o700);
    if (account) await chown(path, account.uid, account.gid);
    // Created, never opened: two restores at once do not share a folder.
    const mark = await open(join(path, MARK), state === "left" ? "w" : "wx", 0o600);
    await mark.close();
  } catch (error) {
    throw unwritable(path, messageOf(error), error);
  }
}

/** Takes away what a restore wrote that failed, so that it can be begun again. What cannot be removed stays with its mark. */
export async function releaseTarget({ path, state }: TargetFolder): Promise<void> {
  try {
    await emptyFolder(path, { except: MARK });
    await rm(join(path, MARK), { force: true });
    if (state === "absent") await rm(path, { recursive: true });
  } catch {
    // The reason why the restore failed is the one to tell.
  }
}

/** Takes the mark away. The restore is complete. */
export async function completeTarget(path: string): Promise<void> {
  await rm(join(path, MARK));
  await syncFolder(path);
  await syncFolder(dirname(path));
}

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function emptyFolder(path: string, { except }: { readonly except: string }): Promise<void> {
  for (const name of await readdir(path))
    if (name !== except) await rm(join(path, name), { recursive: true, force: true });
}

export function unwritable(path: string, what: string, cause?: unknown): HoldfastError {
  return new HoldfastError("TARGET_UNWRITABLE", `cannot restore into ${path}: ${what}`, {
    hint: "Name a directory that does not exist yet or is empty, and that this user may write.",
    cause,
  });
}
