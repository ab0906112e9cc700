// Making the directories an object needs, so that they survive a crash together with it.
// It never makes the root or anything above it on behalf of a put: an unmounted volume must not be filled in.

import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf } from "../../base/errors.ts";
import { syncDirectory } from "./write.ts";

/** Makes directories up to, and without, one that must exist. */
export class DirectoryMaker {
  readonly #top: string;
  readonly #mode: number;
  // Who finds a directory that another call has just made must wait until its name is durable.
  readonly #making = new Map<string, Promise<void>>();

  constructor(top: string, mode: number) {
    this.#top = top;
    this.#mode = mode;
  }

  /** Makes `path` and its missing parents below the top; each new name is synced. The top itself is left alone. */
  make(path: string): Promise<void> {
    if (path === this.#top) return Promise.resolve();
    const pending = this.#making.get(path);
    if (pending !== undefined) return pending;
    const making = this.#make(path).finally(() => this.#making.delete(path));
    this.#making.set(path, making);
    return making;
  }

  /** Waits for every directory on the way to `path` that is being made now. */
  async settled(path: string): Promise<void> {
    if (this.#making.size === 0) return;
    for (let at = path; at.length > this.#top.length; at = dirname(at)) await this.#making.get(at);
  }

  async #make(path: string): Promise<void> {
    const parent = dirname(path);
    try {
      await mkdir(path, this.#mode);
    } catch (error) {
      if (errnoOf(error) === "EEXIST" && (await stat(path)).isDirectory()) return;
      if (errnoOf(error) !== "ENOENT" || parent === this.#top || parent === path) throw error;
      await this.make(parent);
      return this.#make(path);
    }
    await syncDirectory(parent);
  }
}
