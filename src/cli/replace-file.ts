// A file is made or replaced as a whole, or not at all.

import { open, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Random } from "../base/clock.ts";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";

/** Makes a file that only its owner can read. USAGE when there is one already. */
export async function createFile(path: string, content: Uint8Array): Promise<void> {
  try {
    const file = await open(path, "wx", 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    const why =
      errnoOf(error) === "EEXIST"
        ? "exists; it is as it was"
        : `cannot be made: ${messageOf(error)}`;
    throw new HoldfastError("USAGE", `${path} ${why}`);
  }
}

/** Puts `content` in the place of an existing file, whose permissions stay; a symbolic link goes on leading to it. */
export async function replaceFile(
  path: string,
  content: Uint8Array,
  random: Random,
): Promise<void> {
  const real = await realpath(path);
  const { mode } = await stat(real);
  const temporary = join(dirname(real), `.${Buffer.from(random(8)).toString("hex")}.tmp`);
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(content);
      await file.chmod(mode & 0o7777);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, real);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const folder = await open(dirname(real));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
