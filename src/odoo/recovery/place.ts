// The folder that a whole moment is recovered into: `pgdata`, `filestore/<database>` and the report, all new. The data directory
// is built under a name of its own and gets `pgdata` when everything is done, so that nobody takes half of it for the whole. A
// mark says that the recovery is not complete; what stands beside it is ours to take over. Never writes into anything else.

import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { toHex } from "../../base/bytes.ts";
import type { Random } from "../../base/clock.ts";
import { errnoOf, HoldfastError, messageOf } from "../../base/errors.ts";
import type { ServerAccount } from "../../postgres/server-process.ts";
import { STORE_MARK } from "./store-folder.ts";

/** Stands in the folder until the recovery is complete. */
export const PLACE_MARK = "holdfast-recovery-is-incomplete";
const BUILDING = /^(?:pgdata\.incomplete|tablespaces)-[0-9a-f]{8}$/;

export class RecoveryPlace {
  readonly root: string;
  readonly state: "absent" | "empty" | "left";
  readonly #token: string;

  private constructor(root: string, state: "absent" | "empty" | "left", token: string) {
    this.root = root;
    this.state = state;
    this.#token = token;
  }

  /** Looks at the folder and writes nothing. Throws TARGET_UNWRITABLE when a recovery into it must not begin. */
  static look(root: string, random: Random): RecoveryPlace {
    const token = toHex(random(4));
    let names: string[];
    try {
      if (!lstatSync(root).isDirectory()) throw unwritable(root, "it is not a directory");
      names = readdirSync(root);
    } catch (error) {
      if (error instanceof HoldfastError) throw error;
      if (errnoOf(error) === "ENOENT") return new RecoveryPlace(root, "absent", token);
      throw unwritable(root, messageOf(error), error);
    }
    if (names.length === 0) return new RecoveryPlace(root, "empty", token);
    if (!names.includes(PLACE_MARK))
      throw unwritable(root, `it is not empty: it has ${JSON.stringify(names[0])}`);
    if (names.includes("pgdata"))
      throw unwritable(root, `it has a whole database in pgdata, beside the mark ${PLACE_MARK}`);
    return new RecoveryPlace(root, "left", token);
  }

  /** Where the data directory is built. */
  get building(): string {
    return join(this.root, `pgdata.incomplete-${this.#token}`);
  }

  /** Where it will be. */
  get dataDirectory(): string {
    return join(this.root, "pgdata");
  }

  /** Where a tablespace goes: it stays there. */
  tablespace(oid: number): string {
    return join(this.root, `tablespaces-${this.#token}`, String(oid));
  }

  /** The filestore's folder of a database. Throws USAGE for a name that is no name of a folder. */
  filestore(database: string): string {
    return join(this.root, "filestore", folderName(database));
  }

  /** Makes the folder, or takes over what an earlier recovery left, whose database is removed. Throws TARGET_UNWRITABLE. */
  claim(): void {
    try {
      if (this.state === "absent") mkdirSync(this.root, { recursive: true });
      // The server and Odoo may be somebody else.
      if (this.state !== "left") chmodSync(this.root, 0o755);
      const mark = join(this.root, PLACE_MARK);
      if (this.state !== "left") {
        writeFileSync(mark, this.#token, { flag: "wx" });
        return;
      }
      const next = join(this.root, `${PLACE_MARK}-${this.#token}`);
      writeFileSync(next, this.#token, { flag: "wx" });
      renameSync(next, mark);
      for (const name of readdirSync(this.root)) {
        const isOurs = BUILDING.test(name) || name.startsWith(`${PLACE_MARK}-`);
        if (isOurs) rmSync(join(this.root, name), { recursive: true });
      }
    } catch (error) {
      throw unwritable(this.root, messageOf(error), error);
    }
  }

  /** Files that an earlier recovery finished before it ended elsewhere are looked at again, and kept where they are good. */
  reopenFilestore(path: string): void {
    if (this.state !== "left" || !existsSync(path)) return;
    const mark = join(path, STORE_MARK);
    if (!lstatSync(path).isDirectory() || existsSync(mark)) return;
    writeFileSync(mark, "", { flag: "wx", mode: 0o600 });
  }

  /**
   * Takes away what a recovery that failed would not use again: the database. Files stay for the next one, with the mark; without
   * any, everything is as it was.
   */
  release(): void {
    try {
      if (readFileSync(join(this.root, PLACE_MARK), "utf8") !== this.#token) return;
      for (const name of readdirSync(this.root))
        if (BUILDING.test(name)) rmSync(join(this.root, name), { recursive: true });
      if (readdirSync(this.root).length > 1) return;
      rmSync(join(this.root, PLACE_MARK));
      if (this.state === "absent") rmdirSync(this.root);
    } catch {
      // The reason why the recovery failed is the one to tell; the next one cleans up.
    }
  }

  /** Gives the data directory its name, writes the report and takes the mark away. */
  async complete(report: { readonly name: string; readonly content: string }): Promise<void> {
    try {
      if (readFileSync(join(this.root, PLACE_MARK), "utf8") !== this.#token)
        throw unwritable(this.root, "another recovery into it has begun meanwhile");
      writeFileSync(join(this.root, report.name), report.content, { flush: true });
      renameSync(this.building, this.dataDirectory);
      await sync(this.root);
      rmSync(join(this.root, PLACE_MARK));
      await sync(this.root);
    } catch (error) {
      if (error instanceof HoldfastError) throw error;
      throw unwritable(this.root, messageOf(error), error);
    }
  }
}

/**
 * Throws TARGET_UNWRITABLE when the account that the server will run as cannot get to `path`, because a folder above it is
 * closed to others.
 */
export function requireReachable(path: string, account: ServerAccount | undefined): void {
  if (account === undefined) return;
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const stats = statSync(folder, { throwIfNoEntry: false });
    if (stats !== undefined) {
      const { uid, gid, mode } = stats;
      const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
      if ((mode & bit) === 0)
        throw unwritable(
          path,
          `user ${account.uid}, who will run PostgreSQL, cannot enter ${folder}`,
        );
    }
    if (folder === dirname(folder)) return;
  }
}

/** The name of a database as that of a folder. Throws USAGE. */
export function folderName(database: string): string {
  const isPlain = /^[^./\0][^/\0]*$/.test(database) && Buffer.byteLength(database) <= 255;
  if (isPlain) return database;
  throw new HoldfastError(
    "USAGE",
    `the database ${JSON.stringify(database)} has a name that no folder should have`,
    { hint: "Recover its files into a folder that you name with --filestore." },
  );
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function unwritable(path: string, what: string, cause?: unknown): HoldfastError {
  return new HoldfastError("TARGET_UNWRITABLE", `cannot recover into ${path}: ${what}`, {
    hint: "Name a directory that is absent or empty. Nothing is ever recovered over what is there.",
    cause,
  });
}
