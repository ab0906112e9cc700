// A filestore with two repositories beside it, for tests of captures: files are written as Odoo does, captured, and what the
// repositories then hold is read back by name.

import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import { thisMachine } from "../../src/cli/machine.ts";
import { localZone, readOwnerNames } from "../../src/files/metadata.ts";
import { Capture } from "../../src/odoo/capture.ts";
import type { CaptureEvent, CaptureOptions } from "../../src/odoo/capture-events.ts";
import { readCaptureMark, type CaptureMark } from "../../src/odoo/capture-mark.ts";
import { eachPoolFile } from "../../src/odoo/pool-files.ts";
import { storePath } from "../../src/odoo/store-name.ts";
import { BlobReader } from "../../src/repository/blob-reader.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import { openRepository } from "../../src/repository/open.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { listSnapshots, type FoundSnapshot } from "../../src/repository/snapshots.ts";
import { openLocalStorage } from "../../src/storage/local.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";

export const PASSWORD = "a password for tests";

export interface CapturedStoreOptions {
  readonly clock?: Clock;
  /** Stands between the captures and their storage. */
  readonly wrap?: (storage: Storage) => Storage;
}

/** A clock for which the pauses between two looks at a half-written file take no time. */
export const HASTY_CLOCK: Clock = {
  ...systemClock,
  sleep: (ms, signal) => (ms <= 1000 ? Promise.resolve() : systemClock.sleep(ms, signal)),
};

const BACKUP = join(import.meta.dirname, "../../bin/holdfast");

/** The SHA-1 of a text or of bytes. */
export function sha1Of(content: string | Uint8Array): string {
  return createHash("sha1").update(content).digest("hex");
}

export class CapturedStore {
  /** Everything lies below it. */
  readonly root: string;
  /** The filestore. */
  readonly folder: string;
  readonly events: CaptureEvent[] = [];
  readonly main: Repository;
  readonly captures: Repository;
  readonly #made: Capture[] = [];

  private constructor(
    root: string,
    repositories: { readonly main: Repository; readonly captures: Repository },
  ) {
    this.root = root;
    this.folder = join(root, "filestore", "odoo");
    this.main = repositories.main;
    this.captures = repositories.captures;
  }

  static async make(options: CapturedStoreOptions = {}): Promise<CapturedStore> {
    const root = mkdtempSync(join(tmpdir(), "holdfast-capture-"));
    mkdirSync(join(root, "filestore", "odoo"), { recursive: true });
    for (const name of ["main", "captures"])
      await createQuickRepository(join(root, name), PASSWORD);
    const wrap = options.wrap ?? ((storage: Storage): Storage => storage);
    const clock = options.clock ?? HASTY_CLOCK;
    return new CapturedStore(root, {
      main: await openTestRepository(join(root, "main"), { clock }),
      captures: await openTestRepository(join(root, "captures"), { clock, wrap }),
    });
  }

  /** Writes a file of the filestore under the name of its content; its SHA-1. */
  write(content: string | Uint8Array, folder?: string): string {
    const sha1 = sha1Of(content);
    this.writeAs(sha1, content, folder);
    return sha1;
  }

  /** Writes whatever content under a name. */
  writeAs(sha1: string, content: string | Uint8Array, folder: string = sha1.slice(0, 2)): void {
    mkdirSync(join(this.folder, folder), { recursive: true });
    writeFileSync(join(this.folder, folder, sha1), content);
  }

  path(sha1: string): string {
    return join(this.folder, storePath(sha1));
  }

  options(more: Partial<CaptureOptions> = {}): CaptureOptions {
    return {
      main: this.main,
      captures: this.captures,
      folder: this.folder,
      database: "odoo",
      metadata: { owners: readOwnerNames(), withAtime: false, ...localZone() },
      hostname: "odoo-0",
      programVersion: "holdfast test",
      onEvent: (event) => this.events.push(event),
      ...more,
    };
  }

  /** Backs the filestore up into the main repository, with a program that knows nothing of captures. */
  async backUp(): Promise<FoundSnapshot> {
    const environment = {
      ...process.env,
      RESTIC_REPOSITORY: join(this.root, "main"),
      RESTIC_PASSWORD: PASSWORD,
    };
    execFileSync(BACKUP, ["backup", "--quiet", "--no-cache", this.folder], { env: environment });
    return (await listSnapshots(this.main)).at(-1)!;
  }

  /** Makes a file look as if it was written an hour ago. */
  age(sha1: string): void {
    const then = new Date(Date.now() - 3_600_000);
    utimesSync(this.path(sha1), then, then);
  }

  /** A capture, which is closed with the store. */
  capture(more: Partial<CaptureOptions> = {}): Capture {
    const capture = new Capture(this.options(more));
    this.#made.push(capture);
    return capture;
  }

  /** Events of a kind. */
  told<K extends CaptureEvent["kind"]>(kind: K): Extract<CaptureEvent, { kind: K }>[] {
    return this.events.filter((event) => event.kind === kind) as Extract<
      CaptureEvent,
      { kind: K }
    >[];
  }

  /** The captures that there are, oldest first. */
  async list(): Promise<(FoundSnapshot & { mark: CaptureMark })[]> {
    const all = await listSnapshots(this.captures);
    return all.map((one) => ({ ...one, mark: readCaptureMark(one.snapshot.tags)! }));
  }

  /** Names in a capture, or in the newest one, sorted. */
  async names(capture?: FoundSnapshot): Promise<string[]> {
    return [...(await this.contents(capture)).keys()].sort();
  }

  /** Content of every file of a capture, or of the newest one, proved to match its name. */
  async contents(capture?: FoundSnapshot): Promise<Map<string, Buffer>> {
    const found = capture ?? (await this.list()).at(-1);
    const { index } = await loadIndex(this.captures);
    const reader = new BlobReader(this.captures, index);
    const nodes: { name: string; content: readonly string[] }[] = [];
    await eachPoolFile({
      reader,
      trees: found ? [found.snapshot.tree] : [],
      walked: new Set(),
      visit: (node) => nodes.push({ name: node.name, content: node.content ?? [] }),
      onDamage: (_, error) => {
        throw error;
      },
    });
    const contents = new Map<string, Buffer>();
    for (const { name, content } of nodes) {
      const pieces: Uint8Array[] = [];
      for (const id of content) pieces.push(await reader.read("data", id));
      const whole = Buffer.concat(pieces);
      if (sha1Of(whole) !== name) throw new Error(`${name} was captured with other content`);
      contents.set(name, whole);
    }
    return contents;
  }

  async remove(): Promise<void> {
    for (const capture of this.#made) await capture.close();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Opens a local repository of `createQuickRepository`. */
export async function openTestRepository(
  path: string,
  { clock = systemClock, wrap }: { clock?: Clock; wrap?: (storage: Storage) => Storage } = {},
): Promise<Repository> {
  const machine = { ...thisMachine(), clock };
  const opened = await openLocalStorage({ root: path, create: false, random: machine.random });
  const storage = wrap ? wrap(opened) : opened;
  return await openRepository({ storage, password: PASSWORD, machine });
}
