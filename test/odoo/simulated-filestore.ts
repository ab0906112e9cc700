// A filestore as Odoo keeps one: files named after the SHA-1 of their content, written under their final name in pieces and
// without fsync; a marker in `checklist/` for whatever may have to go; a collector that removes what no row refers to. Three
// versions: 18 and before, 19.0, and 19.5, whose collector takes no lock but spares what was marked a moment ago. It notes
// from when to when each file was there and whole, which is what a recovery is measured by.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Client } from "pg";
import { storePath } from "../../src/odoo/store-name.ts";

export type OdooVersion = "18" | "19" | "19.5";

/** From when to when a file was there, whole; milliseconds of `Date.now`. */
export interface Life {
  readonly from: number;
  until: number | undefined;
}

const PIECE_BYTES = 8192;

export class SimulatedFilestore {
  readonly folder: string;
  /** By SHA-1, oldest first. */
  readonly lives: Map<string, Life[]> = new Map();
  readonly #version: OdooVersion;
  readonly #graceMilliseconds: number;

  constructor(folder: string, version: OdooVersion, graceMilliseconds: number) {
    this.folder = folder;
    this.#version = version;
    this.#graceMilliseconds = graceMilliseconds;
    mkdirSync(join(folder, "checklist"), { recursive: true });
  }

  has(sha1: string): boolean {
    return existsSync(join(this.folder, storePath(sha1)));
  }

  /** Stores content unless a file of its name is there, as Odoo does; its SHA-1. */
  async write(content: Uint8Array): Promise<string> {
    const sha1 = createHash("sha1").update(content).digest("hex");
    const path = join(this.folder, storePath(sha1));
    if (this.#version === "19.5") this.mark(sha1);
    if (existsSync(path)) return sha1;
    mkdirSync(dirname(path), { recursive: true });
    const file = await open(path, "w", 0o644);
    try {
      for (let at = 0; at < content.length; at += PIECE_BYTES) {
        await file.write(content, at, Math.min(PIECE_BYTES, content.length - at));
        // Whoever lists the folder now finds a torn file.
        await nextTurn();
      }
    } finally {
      await file.close();
    }
    const lives = this.lives.get(sha1) ?? [];
    lives.push({ from: Date.now(), until: undefined });
    this.lives.set(sha1, lives);
    if (this.#version !== "19.5") this.mark(sha1);
    return sha1;
  }

  /** Says that the file may have to go: new ones until their row is seen, old ones when a row lets go of them. */
  mark(sha1: string): void {
    const marker = join(this.folder, "checklist", storePath(sha1));
    mkdirSync(dirname(marker), { recursive: true });
    writeFileSync(marker, "");
  }

  /**
   * What Odoo's daily collection does; how many files it removed, undefined when it did not get its lock. The client must
   * be in no transaction.
   */
  async collect(client: Client): Promise<number | undefined> {
    await client.query("BEGIN");
    try {
      if (this.#version !== "19.5") {
        await client.query("SET LOCAL lock_timeout TO '10s'");
        await client.query("LOCK ir_attachment IN SHARE MODE");
      }
      const marked = this.#marked();
      const { rows } = await client.query<{ store_fname: string }>(
        "SELECT store_fname FROM ir_attachment WHERE store_fname = ANY($1)",
        [marked.map((sha1) => storePath(sha1))],
      );
      const needed = new Set(rows.map((row) => row.store_fname));
      let removed = 0;
      for (const sha1 of marked) {
        if (!needed.has(storePath(sha1)) && this.#remove(sha1)) removed++;
        unlinkSync(join(this.folder, "checklist", storePath(sha1)));
      }
      await client.query("COMMIT");
      return removed;
    } catch (error) {
      await client.query("ROLLBACK");
      if ((error as { code?: string }).code === "55P03") return undefined;
      throw error;
    }
  }

  /** True when the file was never there and whole for that many milliseconds at a stretch. */
  wasBrief(sha1: string, milliseconds: number): boolean {
    const lives = this.lives.get(sha1) ?? [];
    return lives.every(({ from, until }) => until !== undefined && until - from < milliseconds);
  }

  #marked(): string[] {
    const newest = Date.now() - this.#graceMilliseconds;
    const checklist = join(this.folder, "checklist");
    return readdirSync(checklist, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .filter(
        ({ parentPath, name }) =>
          this.#version !== "19.5" || statSync(join(parentPath, name)).mtimeMs < newest,
      )
      .map(({ name }) => name);
  }

  #remove(sha1: string): boolean {
    const path = join(this.folder, storePath(sha1));
    if (!existsSync(path)) return false;
    unlinkSync(path);
    const life = this.lives.get(sha1)?.at(-1);
    if (life) life.until = Date.now();
    return true;
  }
}
