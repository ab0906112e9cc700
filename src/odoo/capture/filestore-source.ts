// The filestore as a tick sees it: which names are new since the last one. Costs a stat for each of at most 512 folders when
// nothing has changed. What the collector may take soon comes first: `checklist/` names every file that was written or given
// up since it ran last. Names that are no SHA-1, links and everything else that Odoo never puts here are counted, not read.

import { statSync } from "node:fs";
import type { BigIntStats } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { HoldfastError, errnoOf, messageOf } from "../../base/errors.ts";
import { nearbyHint } from "../nearby-stores.ts";
import { isSha1, isStoreFolder } from "../store-name.ts";
import { FolderWatch } from "./folder-watch.ts";

const CHECKLIST = "checklist";
/** All folders are listed this often, whatever their times say: not every network file system keeps those. */
const RELIST_MS = 3_600_000;

/** A name that is not known yet. */
export interface Candidate {
  readonly sha1: string;
  /** Name of its folder: "ab". */
  readonly folder: string;
}

export interface LookOptions {
  /** True for names that need not be looked at again. */
  readonly isKnown: (sha1: string) => boolean;
  /** Told every folder that was listed. */
  readonly onFolder: (name: string, stat: BigIntStats) => void;
  /** Told every new name as soon as it is seen. */
  readonly onCandidate: (candidate: Candidate) => void;
  readonly onStranger: (path: string) => void;
  /** Told a folder that cannot be listed; the others are. It is tried again at every look. */
  readonly onUnreadable: (folder: string, error: unknown) => void;
}

export class FilestoreSource {
  readonly folder: string;
  readonly #watch: FolderWatch;
  readonly #clock: Clock;
  #relistAt = -Infinity;
  #folders: string[] = [];
  #marked: string[] = [];

  /** `folder`: absolute path. */
  constructor(folder: string, clock: Clock) {
    this.folder = folder;
    this.#clock = clock;
    this.#watch = new FolderWatch(clock);
  }

  /** Folders that hold files. */
  get folders(): readonly string[] {
    return this.#folders;
  }

  /** Every folder will be listed again. */
  reset(): void {
    this.#watch.reset();
  }

  /**
   * Looks for new names. `isEmptyFine`: nothing was ever seen here. Throws SOURCE_MISSING, SOURCE_EMPTY (an unmounted volume
   * is an empty folder), SOURCE_UNREADABLE.
   */
  look(options: LookOptions, isEmptyFine: boolean): void {
    const now = this.#clock.monotonic();
    if (now >= this.#relistAt) {
      this.reset();
      this.#relistAt = now + RELIST_MS;
    }
    try {
      this.#lookAtRoot(options, isEmptyFine);
      this.#apart(CHECKLIST, options, () => this.#lookAtChecklist(options));
      for (const name of this.#folders) {
        this.#apart(name, options, () => this.#lookAtFolder(name, options));
      }
    } catch (error) {
      // Whatever was not looked at must be looked at next time.
      this.reset();
      throw asUnreadable(error, this.folder);
    }
  }

  /** One folder that cannot be read is no reason not to look at the others. */
  #apart(folder: string, { onUnreadable }: LookOptions, look: () => void): void {
    try {
      look();
    } catch (error) {
      if (!["EACCES", "EPERM", "EIO"].includes(errnoOf(error) ?? "")) throw error;
      onUnreadable(folder, error);
    }
  }

  #lookAtRoot({ onStranger }: LookOptions, isEmptyFine: boolean): void {
    // The filestore itself may be a link: a mounted volume often is.
    const stat = statSync(this.folder, { throwIfNoEntry: false });
    if (stat?.isDirectory() !== true) {
      throw new HoldfastError("SOURCE_MISSING", `there is no filestore at ${this.folder}`, {
        hint: "Is the volume mounted? The folder is that of one database: …/filestore/DATABASE.",
        retryable: true,
      });
    }
    const listed = this.#watch.list(`${this.folder}/.`);
    if (listed !== undefined) {
      this.#folders = listed.names.filter(isStoreFolder).sort();
      for (const name of listed.names) {
        if (isSha1(name)) onStranger(name);
      }
    }
    if (this.#folders.length > 0) return;
    const meant = nearbyHint(this.folder);
    if (meant !== undefined)
      throw new HoldfastError("SOURCE_EMPTY", `${this.folder} is no filestore`, { hint: meant });
    if (isEmptyFine) return;
    throw new HoldfastError("SOURCE_EMPTY", `${this.folder} has no files any more`, {
      hint: "Is the volume mounted? Files were there before.",
      retryable: true,
    });
  }

  /** A marker without a file is nothing to wonder about: 19.5 makes it first, and the collector takes the file first. */
  #lookAtChecklist({ isKnown, onCandidate }: LookOptions): void {
    const path = `${this.folder}/${CHECKLIST}`;
    const listed = this.#watch.list(path);
    if (listed !== undefined) this.#marked = listed.names.filter(isStoreFolder);
    for (const folder of this.#marked) {
      for (const sha1 of this.#watch.list(`${path}/${folder}`)?.names ?? []) {
        if (isSha1(sha1) && !isKnown(sha1)) onCandidate({ folder, sha1 });
      }
    }
  }

  #lookAtFolder(folder: string, { isKnown, onFolder, onCandidate, onStranger }: LookOptions): void {
    const listed = this.#watch.list(`${this.folder}/${folder}`);
    if (listed === undefined) return;
    onFolder(folder, listed.stat);
    for (const name of listed.names) {
      if (!isSha1(name)) onStranger(`${folder}/${name}`);
      else if (!isKnown(name)) onCandidate({ folder, sha1: name });
    }
  }
}

function asUnreadable(error: unknown, folder: string): unknown {
  if (errnoOf(error) === undefined) return error;
  return new HoldfastError(
    "SOURCE_UNREADABLE",
    `the filestore ${folder} cannot be read: ${messageOf(error)}`,
    {
      hint: "Run as the user that Odoo runs as, or one that may read its files.",
      retryable: true,
      cause: error,
    },
  );
}
