// Puts files of a live filestore back that are missing, or whose content is not that of their name: out of the pool, each
// proved before it is written. A file whose SHA-1 is right is never touched, and one that is replaced is kept beside. Odoo
// may work meanwhile: a file appears whole under its name or not at all, and one that Odoo itself wrote first is left alone.

import {
  chownSync,
  closeSync,
  fchmodSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
  type Stats,
} from "node:fs";
import { dirname, join } from "node:path";
import { toHex } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import type { Random } from "../base/clock.ts";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import type { Progress } from "../base/progress.ts";
import type { Connection } from "../postgres/connection.ts";
import type { AttachmentRecord } from "./attachment-records.ts";
import { nearbyHint } from "./nearby-stores.ts";
import type { Pool, PoolAnswer, VerifiedFile } from "./pool.ts";
import { isSha1, isStoreFolder } from "./store-name.ts";
import { examineContent, type Condition } from "./verify/examine-file.ts";
import { verifyAttachments } from "./verify.ts";

/** The folder in the filestore that keeps what was replaced. Odoo looks into folders of digits only. */
export const REPLACED_FOLDER = ".holdfast-replaced";

/** A file that is not as it should be. */
export interface DamagedFile {
  readonly sha1: string;
  /** Below the filestore. */
  readonly path: string;
  readonly condition: Exclude<Condition, { state: "ok" }>;
  /** A bundle, which Odoo makes again. */
  readonly regenerable: boolean;
  readonly records: readonly AttachmentRecord[];
}

export interface Damage {
  readonly files: readonly DamagedFile[];
  /** Files that are as they should be. */
  readonly ok: number;
  /** False: no database was asked, so that nobody knows what is missing. */
  readonly knowsMissing: boolean;
}

export interface FindDamageOptions {
  /** The live filestore. */
  readonly folder: string;
  /** To its database; without, files are compared with their names alone. */
  readonly connection: Connection | undefined;
  readonly threads: number;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads the whole filestore and tells what is wrong with it; changes nothing. Throws SOURCE_EMPTY for a folder without any
 * file, which is one that is not mounted; SOURCE_UNREADABLE, what the database refuses, CANCELLED.
 */
export async function findDamage(options: FindDamageOptions): Promise<Damage> {
  const { folder, connection } = options;
  requireFiles(folder);
  if (connection === undefined) return findByName(options);
  const source = { kind: "folder", folder } as const;
  const { findings, ok } = await verifyAttachments({ ...options, connection, source });
  return { files: findings, ok: ok.files, knowsMissing: true };
}

function requireFiles(folder: string): void {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    throw new HoldfastError("SOURCE_UNREADABLE", `${folder} cannot be read: ${messageOf(error)}`, {
      hint: "Name the live filestore with --filestore: the folder of ab/ab12….",
      cause: error,
    });
  }
  if (names.some(isStoreFolder)) return;
  throw new HoldfastError("SOURCE_EMPTY", `${folder} holds no file of a filestore`, {
    hint:
      nearbyHint(folder) ??
      "If it is not mounted, mount it. To bring a whole filestore back, recover it into a new folder with --to.",
  });
}

const BUFFER_BYTES = 1 << 20;

function findByName({ folder, progress, signal }: FindDamageOptions): Damage {
  const files: DamagedFile[] = [];
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  let ok = 0;
  for (const part of readdirSync(folder).filter(isStoreFolder)) {
    for (const sha1 of readdirSync(join(folder, part)).filter(isSha1)) {
      throwIfCancelled(signal);
      const path = `${part}/${sha1}`;
      const condition = examineContent({ path: join(folder, path), sha1, expected: -1 }, buffer);
      progress.done({ files: 1 });
      if (condition.state === "ok") ok++;
      // Gone since it was listed: Odoo's collector works.
      else if (condition.state !== "missing")
        files.push({ sha1, path, condition, regenerable: false, records: [] });
    }
  }
  return { files, ok, knowsMissing: false };
}

export interface HealOptions {
  readonly folder: string;
  readonly damage: Damage;
  /** Opened for the names of the damage. */
  readonly pool: Pick<Pool, "readMany">;
  /** False: only tells what would be done. The copies are read and proved all the same. */
  readonly apply: boolean;
  /** Milliseconds since 1970: names the folder of what is replaced. */
  readonly now: number;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
}

/** What became, or would become, of each damaged file. */
export interface HealReport {
  readonly healed: readonly DamagedFile[];
  /** No good copy is anywhere. */
  readonly lost: readonly DamagedFile[];
  /** Not lost: Odoo makes them again. */
  readonly regenerable: readonly DamagedFile[];
  /** Links, folders, files that cannot be read: nothing is done about them. */
  readonly refused: readonly (DamagedFile & { readonly reason: string })[];
  /** Right by the time it was their turn. */
  readonly rightMeanwhile: number;
  /** Where what was replaced is kept; undefined when nothing was. */
  readonly replaced: string | undefined;
}

/** Heals. Throws what the storages throw, CANCELLED; what cannot be written is refused and told. */
export async function heal(options: HealOptions): Promise<HealReport> {
  const { damage, pool, signal } = options;
  const healer = new Healer(options);
  const files = new Map(damage.files.map((file) => [file.sha1, file]));
  const wanted = [...files.values()].filter((file) => !healer.refuse(file));
  await pool.readMany(
    wanted.map(({ sha1 }) => sha1),
    async (sha1, answer) => await healer.take(files.get(sha1)!, answer),
    { signal },
  );
  return healer.finish();
}

class Healer {
  readonly #options: HealOptions;
  readonly #token: string;
  readonly #replaced: string;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  readonly #healed: DamagedFile[] = [];
  readonly #lost: DamagedFile[] = [];
  readonly #regenerable: DamagedFile[] = [];
  readonly #refused: (DamagedFile & { reason: string })[] = [];
  #rightMeanwhile = 0;
  #hasReplaced = false;
  #temporaries = 0;

  constructor(options: HealOptions) {
    this.#options = options;
    this.#token = toHex(options.random(8));
    const day = new Date(options.now).toISOString().replace(/[-:]|\.\d+/g, "");
    this.#replaced = join(options.folder, REPLACED_FOLDER, day);
  }

  /** True when nothing is done about a file, because it is none that a filestore should have. */
  refuse(file: DamagedFile): boolean {
    if (file.condition.state !== "unreadable") return false;
    this.#refused.push({ ...file, reason: file.condition.reason });
    return true;
  }

  async take(file: DamagedFile, answer: PoolAnswer): Promise<void> {
    if (answer.status !== "found") {
      (file.regenerable ? this.#regenerable : this.#lost).push(file);
      return;
    }
    if (this.#options.apply) {
      try {
        if (!(await this.#put(file, answer))) {
          this.#rightMeanwhile++;
          return;
        }
      } catch (error) {
        if (errnoOf(error) === undefined) throw error;
        this.#refused.push({ ...file, reason: messageOf(error) });
        return;
      }
    }
    this.#healed.push(file);
  }

  /** Writes the file; false when it is right by now. */
  async #put({ path, sha1 }: DamagedFile, answer: VerifiedFile): Promise<boolean> {
    const { folder, signal } = this.#options;
    const target = join(folder, path);
    const directory = dirname(target);
    const root = lstatSync(folder);
    this.#makeFolder(directory, root);
    const old = lstatSync(target, { throwIfNoEntry: false });
    const temporary = join(directory, `.holdfast-${this.#token}-${(this.#temporaries += 1)}`);
    const descriptor = openSync(temporary, "wx", 0o644);
    try {
      try {
        for await (const piece of answer.content({ signal }))
          for (let at = 0; at < piece.length;) at += writeSync(descriptor, piece, at);
        fchmodSync(descriptor, old === undefined ? 0o644 : old.mode & 0o777);
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
      ownAs(temporary, old ?? lstatSync(directory));
      // The last look before the only step that changes anything.
      const condition = examineContent({ path: target, sha1, expected: -1 }, this.#buffer);
      if (condition.state === "ok") return false;
      if (condition.state === "missing") linkSync(temporary, target);
      else {
        this.#keep(target, path);
        renameSync(temporary, target);
      }
      syncFolder(directory);
      return true;
    } catch (error) {
      // Odoo wrote it first.
      if (errnoOf(error) === "EEXIST") return false;
      throw error;
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  /** A second name for what is about to be replaced. */
  #keep(target: string, path: string): void {
    const kept = join(this.#replaced, path);
    this.#makeFolder(dirname(this.#replaced), lstatSync(this.#options.folder));
    mkdirSync(dirname(kept), { recursive: true, mode: 0o700 });
    rmSync(kept, { force: true });
    linkSync(target, kept);
    syncFolder(dirname(kept));
    this.#hasReplaced = true;
  }

  #makeFolder(directory: string, root: Stats): void {
    const stats = lstatSync(directory, { throwIfNoEntry: false });
    if (stats === undefined) {
      mkdirSync(directory, { mode: root.mode & 0o777 });
      ownAs(directory, root);
    } else if (!stats.isDirectory())
      throw Object.assign(new Error(`${directory} is no folder`), { code: "ENOTDIR" });
  }

  finish(): HealReport {
    return {
      healed: this.#healed,
      lost: this.#lost,
      regenerable: this.#regenerable,
      refused: this.#refused,
      rightMeanwhile: this.#rightMeanwhile,
      replaced: this.#hasReplaced ? this.#replaced : undefined,
    };
  }
}

/** Gives a file to whoever owns its neighbour: who is not root owns what he makes anyway. */
function ownAs(path: string, { uid, gid }: Stats): void {
  const { uid: ours, gid: group } = lstatSync(path);
  if (ours !== uid || group !== gid) chownSync(path, uid, gid);
}

function syncFolder(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
