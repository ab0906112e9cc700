// A file is replaced as a whole or not at all.

import { open, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Random } from "../base/clock.ts";

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
