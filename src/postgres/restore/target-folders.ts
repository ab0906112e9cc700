// The folders that a cluster is restored into: looked at before anything is written, marked while they are incomplete, and
// emptied again when the restore fails. What an earlier restore that was killed left behind is known by its mark and
// removed; anything else that is there is somebody's and stops the restore.

import {
  chown,
  chmod,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  type FileHandle,
} from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { HoldfastError, errnoOf, messageOf } from "../../base/errors.ts";
import type { ServerAccount } from "../server-process.ts";

/** Stands in every folder of a restore until it is complete. No server starts there: pg_control comes last. */
export const MARK = "holdfast-restore-is-incomplete";

/** Written last, when all else has proved whole: without it no server starts. */
export const CONTROL_FILE = "global/pg_control";

export interface TargetFolder {
  /** Absolute. */
  readonly path: string;
  readonly state: "absent" | "empty" | "left";
}

/** A folder that is ours to restore into, as long as the mark in it is the one that we hold open. */
export interface ClaimedFolder extends TargetFolder {
  readonly mark: FileHandle;
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
  if (names.includes(MARK)) {
    await requireIncomplete(absolute);
    return { path: absolute, state: "left" };
  }
  throw unwritable(absolute, `it is not empty: it has ${JSON.stringify(names[0])}`);
}

/**
 * A restore that was killed between its last file and the removal of its mark is whole: a server may have been started on it, and
 * work there ever since.
 */
async function requireIncomplete(path: string): Promise<void> {
  try {
    await lstat(join(path, CONTROL_FILE));
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return;
    throw unwritable(path, messageOf(error), error);
  }
  throw unwritable(path, `it holds a whole database, beside the mark ${MARK} of a restore`);
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

/**
 * Makes the folder, or empties what an earlier restore left there, and puts a mark of ours in it. Throws TARGET_UNWRITABLE. Nobody
 * can say whether the earlier restore is really dead: if it is not, it finds its mark gone, and ends.
 */
export async function claimTarget(
  folder: TargetFolder,
  account: ServerAccount | undefined,
): Promise<ClaimedFolder> {
  const { path, state } = folder;
  let mark: FileHandle | undefined;
  try {
    if (state === "absent") {
      // Others may enter those above: the server may be somebody else.
      await mkdir(dirname(path), { recursive: true });
      await mkdir(path, { mode: 0o700 });
    }
    await chmod(path, 0o700);
    if (account) await chown(path, account.uid, account.gid);
    if (state === "left") {
      const next = join(path, `${MARK}.next`);
      await rm(next, { force: true });
      mark = await open(next, "wx", 0o600);
      await rename(next, join(path, MARK));
      await requireStillIncomplete(path);
      await emptyFolder(path, { except: MARK });
    } else {
      // Created, never opened: two restores at once do not share a folder.
      mark = await open(join(path, MARK), "wx", 0o600);
    }
    return { ...folder, mark };
  } catch (error) {
    await mark?.close();
    if (error instanceof HoldfastError) throw error;
    throw unwritable(path, messageOf(error), error);
  }
}

/** The earlier restore may have come to its end since we looked. */
async function requireStillIncomplete(path: string): Promise<void> {
  try {
    await requireIncomplete(path);
  } catch (error) {
    await rm(join(path, MARK), { force: true });
    throw error;
  }
}

/** Throws TARGET_UNWRITABLE when another restore took the folder over, or somebody emptied it. */
export async function requireClaimed({ path, mark }: ClaimedFolder): Promise<void> {
  if (!(await isOurs({ path, mark })))
    throw unwritable(path, "another restore into it has begun meanwhile");
}

/** True while our mark is there. No other file gets its number while it is open. */
async function isOurs({ path, mark }: Pick<ClaimedFolder, "path" | "mark">): Promise<boolean> {
  try {
    const [there, ours] = await Promise.all([lstat(join(path, MARK)), mark.stat()]);
    return there.ino === ours.ino && there.dev === ours.dev;
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    return false;
  }
}

/** Takes away what a restore wrote that failed, so that it can be begun again. What cannot be removed stays with its mark. */
export async function releaseTarget(folder: ClaimedFolder): Promise<void> {
  const { path, state, mark } = folder;
  try {
    if (await isOurs(folder)) {
      await emptyFolder(path, { except: MARK });
      await rm(join(path, MARK), { force: true });
      if (state === "absent") await rm(path, { recursive: true });
    }
  } catch {
    // The reason why the restore failed is the one to tell.
  } finally {
    await mark.close();
  }
}

/** Takes the mark away. The restore is complete. */
export async function completeTarget(folder: ClaimedFolder): Promise<void> {
  const { path } = folder;
  await requireClaimed(folder);
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
