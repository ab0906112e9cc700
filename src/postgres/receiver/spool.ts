// The spool: a private folder with one file for each segment that is not durable in the archive yet
// (docs/decisions/receiver.md#the-spool). It bounds what a receiver holds while the archive is away, and brings over a
// kill -9 what the server may not have any more. One receiver at a time owns it.

import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  unlink,
  writeFile,
} from "node:fs/promises";
import type { Server } from "node:net";
import { join } from "node:path";
import { errnoOf, HoldfastError } from "../../base/errors.ts";
import { answersAt, listenAt } from "../../base/listening-socket.ts";
import { readWalName, segmentNumber } from "../../barman/wal-name.ts";
import {
  createSpoolFile,
  openSpoolFile,
  OPEN_SUFFIX,
  spoolError,
  syncFolder,
} from "./spool-file.ts";
import type { SegmentPlace, SpoolFile, SpoolIdentity } from "./spool-file.ts";

/** Shows that a receiver runs: a socket that dies with it. */
const SOCKET = "in-use";
/** A socket's path has room for 107 bytes. */
const SOCKET_PATH_MAX = 107;
const STATUS = "status.json";
const OWNER = "cluster.json";
const SEGMENT = /^[0-9A-F]{24}(\.open)?$/;

export interface Spool {
  readonly folder: string;
  /** Bytes that its files take, or will take when they are complete. */
  readonly bytes: number;
  /** Makes the file of a segment that begins to arrive. */
  create(place: SegmentPlace): Promise<SpoolFile>;
  /** Removes the file of a segment that is durable elsewhere. */
  remove(file: SpoolFile): Promise<void>;
  /** Replaces the snapshot of what the receiver does, for other programs. */
  tell(status: object): Promise<void>;
  /** Leaves the files, and the folder to the next one. */
  close(): Promise<void>;
}

export interface OpenedSpool {
  readonly spool: Spool;
  /** Files that an earlier run left, in the order of the log: complete ones, and at most one that is not per timeline. */
  readonly complete: readonly SpoolFile[];
  readonly begun: readonly SpoolFile[];
}

/** The folder for a receiver alone; made when it is missing. Throws USAGE when another one uses it. */
export async function claimSpool(folder: string): Promise<SpoolClaim> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const stats = await lstat(folder);
    if (!stats.isDirectory()) throw new Error("it is not a folder");
    await chmod(folder, 0o700);
  } catch (error) {
    throw spoolError(error, folder);
  }
  const path = join(folder, SOCKET);
  if (Buffer.byteLength(path) > SOCKET_PATH_MAX) {
    throw new HoldfastError("USAGE", `the path of the spool folder is too long: ${folder}`, {
      hint: `Give --spool a path of at most ${SOCKET_PATH_MAX - SOCKET.length - 1} bytes.`,
    });
  }
  for (let attempt = 0; ; attempt += 1) {
    try {
      return new SpoolClaim(folder, await listenAt(path));
    } catch (error) {
      if (errnoOf(error) !== "EADDRINUSE" || attempt === 2) throw spoolError(error, path);
    }
    if (await answersAt(path)) {
      throw new HoldfastError("USAGE", `another receiver uses the spool folder ${folder}`, {
        hint: "Stop it, or give this one another --spool folder.",
      });
    }
    await unlink(path).catch(() => undefined);
  }
}

/** A folder that nobody else uses. */
export class SpoolClaim {
  readonly folder: string;
  readonly #server: Server;

  constructor(folder: string, server: Server) {
    this.folder = folder;
    this.#server = server;
  }

  /**
   * Takes over what is in it. Throws ARCHIVE_FOREIGN for WAL of another cluster. `onDamaged` gets the path of a complete
   * segment that cannot be trusted; it is put aside under another name.
   */
  async open(identity: SpoolIdentity, onDamaged: (path: string) => void): Promise<OpenedSpool> {
    await requireOwn(this.folder, identity);
    const complete: SpoolFile[] = [];
    const begun: SpoolFile[] = [];
    const left = await leftFiles(this.folder, identity.segmentSize);
    for (const file of left) {
      const opened = await openSpoolFile(this.folder, identity, file);
      if (opened !== undefined) (file.isComplete ? complete : begun).push(opened);
      else if (!file.isComplete) await unlink(join(this.folder, file.fileName));
      else {
        const path = join(this.folder, file.fileName);
        await rename(path, `${path}.damaged`);
        onDamaged(`${path}.damaged`);
      }
    }
    const files = new Set([...complete, ...begun]);
    return { spool: new FolderSpool(this.folder, identity, files, this), complete, begun };
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

class FolderSpool implements Spool {
  readonly folder: string;
  readonly #identity: SpoolIdentity;
  readonly #files: Set<SpoolFile>;
  readonly #claim: SpoolClaim;

  constructor(folder: string, identity: SpoolIdentity, files: Set<SpoolFile>, claim: SpoolClaim) {
    this.folder = folder;
    this.#identity = identity;
    this.#files = files;
    this.#claim = claim;
  }

  get bytes(): number {
    return this.#files.size * this.#identity.segmentSize;
  }

  async create(place: SegmentPlace): Promise<SpoolFile> {
    const file = await createSpoolFile(this.folder, this.#identity, place);
    this.#files.add(file);
    return file;
  }

  async remove(file: SpoolFile): Promise<void> {
    this.#files.delete(file);
    await file.remove();
  }

  async tell(status: object): Promise<void> {
    const path = join(this.folder, STATUS);
    try {
      await writeFile(`${path}.new`, `${JSON.stringify(status)}\n`, { mode: 0o600 });
      await rename(`${path}.new`, path);
    } catch (error) {
      throw spoolError(error, path);
    }
  }

  async close(): Promise<void> {
    for (const file of this.#files) await file.close();
    await this.#claim.close();
  }
}

/** Notes whose WAL the folder holds. Throws ARCHIVE_FOREIGN when it is another cluster's. */
async function requireOwn(folder: string, identity: SpoolIdentity): Promise<void> {
  const path = join(folder, OWNER);
  const text = `${JSON.stringify({ systemId: identity.systemId, segmentSize: identity.segmentSize })}\n`;
  try {
    const known = await readFile(path, "utf8").catch((error: unknown) => {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    });
    if (known === text) return;
    const names = await readdir(folder);
    // Without WAL it is nobody's.
    const isEmpty = !names.some((name) => SEGMENT.test(name));
    if (known !== undefined && !isEmpty) {
      throw new HoldfastError(
        "ARCHIVE_FOREIGN",
        `the spool ${folder} holds WAL of another cluster: ${known.trim().slice(0, 100)}`,
        { hint: "Give each receiver a --spool folder of its own." },
      );
    }
    await writeFile(`${path}.new`, text, { mode: 0o600, flush: true });
    await rename(`${path}.new`, path);
    await syncFolder(folder);
  } catch (error) {
    throw spoolError(error, path);
  }
}

interface LeftFile extends SegmentPlace {
  readonly fileName: string;
  readonly isComplete: boolean;
}

/** The files with names of segments, in the order of the log. Others are not ours to touch. */
async function leftFiles(folder: string, segmentSize: number): Promise<LeftFile[]> {
  const found: LeftFile[] = [];
  for (const fileName of await readdir(folder)) {
    const isComplete = !fileName.endsWith(OPEN_SUFFIX);
    const name = isComplete ? fileName : fileName.slice(0, -OPEN_SUFFIX.length);
    const parts = readWalName(name);
    if (parts?.kind !== "segment" || parts.compression !== null) continue;
    const segment = segmentNumber(name, segmentSize);
    found.push({ timeline: parts.timeline, segment, fileName, isComplete });
  }
  return found.toSorted((a, b) => a.segment - b.segment || a.timeline - b.timeline);
}
