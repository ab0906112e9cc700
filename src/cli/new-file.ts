// A new file that is written piece by piece: under a name of its own until it is whole and on the disk, then under the wanted one,
// which was free and is never taken from anybody. What is not finished is removed.

import { link, open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Random } from "../base/clock.ts";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";

export class NewFile {
  readonly #path: string;
  readonly #temporary: string;
  readonly #file: FileHandle;
  #isOpen = true;

  private constructor(path: string, temporary: string, file: FileHandle) {
    this.#path = path;
    this.#temporary = temporary;
    this.#file = file;
  }

  /** Throws USAGE when there is such a file already, TARGET_UNWRITABLE when none can be made. Only its owner can read it. */
  static async create(path: string, random: Random): Promise<NewFile> {
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined) throw taken(path);
    const token = Buffer.from(random(4)).toString("hex");
    const temporary = join(dirname(path), `.${basename(path)}.${token}.part`);
    try {
      return new NewFile(path, temporary, await open(temporary, "wx", 0o600));
    } catch (error) {
      throw unwritable(path, error);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      await this.#file.writeFile(bytes);
    } catch (error) {
      throw unwritable(this.#path, error);
    }
  }

  /** Gives it its name. Throws USAGE when somebody else took it meanwhile. */
  async finish(): Promise<void> {
    try {
      await this.#file.sync();
      this.#isOpen = false;
      await this.#file.close();
      await this.#place();
      await syncFolder(dirname(this.#path));
    } catch (error) {
      throw error instanceof HoldfastError ? error : unwritable(this.#path, error);
    }
  }

  /** Removes what is not finished; does nothing afterwards. */
  async discard(): Promise<void> {
    if (this.#isOpen) await this.#file.close();
    this.#isOpen = false;
    await rm(this.#temporary, { force: true });
  }

  /** A link refuses a name that is taken; a rename would not. */
  async #place(): Promise<void> {
    try {
      await link(this.#temporary, this.#path);
      await rm(this.#temporary);
    } catch (error) {
      if (errnoOf(error) === "EEXIST") throw taken(this.#path);
      // Not every file system has links.
      if ((await stat(this.#path).catch(() => undefined)) !== undefined) throw taken(this.#path);
      await rename(this.#temporary, this.#path);
    }
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } catch {
    // Not every file system does this.
  } finally {
    await folder.close();
  }
}

function taken(path: string): HoldfastError {
  return new HoldfastError("USAGE", `${path} exists; it is as it was`, {
    hint: "Choose another name, or remove it first.",
  });
}

function unwritable(path: string, error: unknown): HoldfastError {
  return new HoldfastError("TARGET_UNWRITABLE", `${path} cannot be written: ${messageOf(error)}`, {
    hint: "Make room, or choose another place.",
    cause: error,
  });
}
