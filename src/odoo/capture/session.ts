// One stretch of capturing under one lock: what is known, what was taken since the last commit, and how it becomes a capture.
//
// A capture appears in the order packs, index, snapshot; only then the ones go that it replaces. After any failure of the
// storage a session is thrown away, and the next one begins with what the repository has.

import { statSync } from "node:fs";
import type { BigIntStats } from "node:fs";
import type { Id } from "../../base/bytes.ts";
import type { HoldfastError } from "../../base/errors.ts";
import { messageOf } from "../../base/errors.ts";
import { EntryTable } from "../../files/entry-table.ts";
import { nodeOf, timeText } from "../../files/metadata.ts";
import type { MetadataContext } from "../../files/metadata.ts";
import { loadIndex } from "../../repository/index-loader.ts";
import type { HeldLock } from "../../repository/lock-holder.ts";
import { acquireLock } from "../../repository/locks.ts";
import type { Repository } from "../../repository/repository.ts";
import { listSnapshots } from "../../repository/snapshots.ts";
import { GO_MODE } from "../../restic/file-mode.ts";
import { encodeSnapshot } from "../../restic/snapshot.ts";
import { createNode } from "../../restic/tree-node.ts";
import type { TreeNode } from "../../restic/tree-node.ts";
import { captureTags, type CaptureMark } from "../capture-mark.ts";
import { sideFolder } from "../capture-side-files.ts";
import { goingCaptures, type EarlierCapture } from "./earlier-captures.ts";
import { CaptureWriter } from "./capture-writer.ts";
import type { StoredContent, WriterMemory } from "./capture-writer.ts";
import { statFolder } from "./folder-watch.ts";
import type { HeldFile } from "./held-file.ts";
import type { TakenFile } from "./intake.ts";
import { PathTree, partsOf } from "./path-tree.ts";
import { loadPeriod } from "./period.ts";
import type { Period } from "./period.ts";
import type { SideFiles } from "./side-files.ts";

export interface SessionOptions {
  readonly main: Repository;
  readonly captures: Repository;
  /** Absolute path of the filestore, as text. */
  readonly folder: string;
  readonly database: string;
  readonly metadata: MetadataContext;
  readonly hostname: string;
  readonly programVersion: string;
  /** Milliseconds to wait for a lock that another program holds. */
  readonly retryLock: number;
  readonly memory: WriterMemory;
  readonly onNotice: (text: string) => void;
  readonly signal: AbortSignal | undefined;
}

/** What was taken since the last commit. */
export interface Taken {
  files: number;
  bytes: number;
}

const DIRECTORY_MODE: number = GO_MODE.directory + 0o755;
const PRIVATE_MODE: number = GO_MODE.directory + 0o700;

export class CaptureSession {
  readonly #options: SessionOptions;
  readonly #lock: HeldLock;
  readonly #closing: AbortController;
  readonly #writer: CaptureWriter;
  readonly #period: Period;
  readonly #opened: string;
  /** What was seen of folders when they were listed last. */
  readonly #folders = new Map<string, TreeNode>();
  readonly #ancestors: readonly (readonly [string, TreeNode])[];
  /** Captures of this period, oldest first. */
  #earlier: readonly EarlierCapture[];
  /** When the last one was made, in nanoseconds since 1970. */
  #latest: bigint;
  #taken: Taken = { files: 0, bytes: 0 };
  #mark: CaptureMark | undefined;
  /** Stored bytes of the last commit. */
  stored = 0;

  private constructor(
    options: SessionOptions,
    parts: { lock: HeldLock; closing: AbortController; writer: CaptureWriter; period: Period },
  ) {
    this.#options = options;
    this.#lock = parts.lock;
    this.#closing = parts.closing;
    this.#writer = parts.writer;
    this.#period = parts.period;
    this.#earlier = parts.period.captures;
    this.#latest = parts.period.latest;
    this.#mark = parts.period.mark;
    this.#opened = this.#now();
    this.#ancestors = ancestorsOf(options);
  }

  /** Takes the lock, and loads what is known. Throws REPO_LOCKED and what the storages throw. */
  static async open(options: SessionOptions): Promise<CaptureSession> {
    const { captures, retryLock, memory, onNotice, signal } = options;
    const lock = await acquireLock(captures, {
      exclusive: false,
      retryFor: retryLock,
      onNotice,
      signal,
    });
    const closing = new AbortController();
    const until = AbortSignal.any([lock.signal, closing.signal]);
    try {
      const onDamage = (error: HoldfastError): void => onNotice(error.message);
      const captured = await listSnapshots(captures, {
        signal: until,
        onDamage: (_, error) => onDamage(error),
      });
      const { index } = await loadIndex(captures, { signal: until });
      const period = await loadPeriod({ ...options, captured, index, onDamage, signal: until });
      const writer = new CaptureWriter({ repository: captures, index, memory, signal: until });
      return new CaptureSession(options, { lock, closing, writer, period });
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** The full snapshot since which the captures made here hold everything. */
  get since(): Id | undefined {
    return this.#period.since?.id;
  }

  /** That of the newest capture, also of an earlier period. */
  get mark(): CaptureMark | undefined {
    return this.#mark;
  }

  get side(): SideFiles {
    return this.#period.side;
  }

  /** What was taken since the last commit. */
  get taken(): Readonly<Taken> {
    return this.#taken;
  }

  /** Files of the period. */
  get files(): number {
    return this.#period.tree.files;
  }

  /** Names that are known. */
  get known(): number {
    return this.#period.known.size;
  }

  /** True when the content of that name is in the pool, or will be with the next commit. */
  has(sha1: string): boolean {
    return this.#period.known.has(sha1);
  }

  /** The same, when rows say that it has that many bytes. */
  hasSize(sha1: string, size: number): boolean {
    return this.#period.known.hasSize(sha1, size);
  }

  /** True when a commit is due whatever was taken: there is something to clean up, or to replace. */
  get isUntidy(): boolean {
    const newest = this.#earlier.at(-1);
    const before = this.#earlier.slice(0, -1);
    return (newest && goingCaptures(before, newest).length > 0) || this.side.isChanged;
  }

  /** Takes down what was seen of a folder. */
  setFolder(name: string, stat: BigIntStats): void {
    this.#folders.set(name, this.#directory(name, stat));
  }

  /** Stores the content of a file; undefined when it is not that of its name. */
  store(file: HeldFile): Promise<StoredContent | undefined> {
    return this.#writer.addFile(file.descriptor, file.sha1);
  }

  /** Takes a file whose content is stored. */
  take({ sha1, folder, stat, content, size }: TakenFile): void {
    const { tree, known } = this.#period;
    const table = new EntryTable(1);
    table.add(sha1, stat, false);
    const node = nodeOf(this.#options.metadata, table, 0, sha1, { content, size });
    // The name may be gone by now.
    const links = Number(node.links) === 0 ? 1 : node.links;
    tree.setFolder(this.#folderNode(folder));
    tree.add(folder, { ...node, links });
    known.add(sha1);
    this.#taken.files++;
    this.#taken.bytes += size;
  }

  /** Stores a file beside the filestore. */
  async writeSide(path: string, bytes: Uint8Array): Promise<void> {
    await this.side.write(path, bytes, { writer: this.#writer, time: this.#now() });
  }

  /** Makes a capture of everything that was taken, and removes those that it replaces. Its id. */
  async commit(mark: Omit<CaptureMark, "database" | "since">): Promise<Id> {
    const { captures, database, folder, onNotice, metadata } = this.#options;
    const { tree, side } = this.#period;
    const began = this.#now();
    const stamp = this.#nextTime();
    const full: CaptureMark = { ...mark, database, since: this.since };
    const addTree = (json: Uint8Array): Promise<Id> => this.#writer.addTree(json);
    const paths = new PathTree();
    const hasSide = side.paths.length > 0;
    const beside = hasSide ? sideFoldersOf(database, this.#opened) : [];
    for (const [path, node] of [...beside, ...this.#ancestors]) paths.describe(path, node);
    for await (const node of tree.nodes(addTree)) paths.put(folder, node);
    side.put(paths, sideFolder(database));
    const before = { ...this.#writer.counts };
    const root = await paths.store(addTree);
    await this.#writer.settle();
    const { counts } = this.#writer;
    this.stored = counts.addedPacked;
    const id = await captures.save(
      "snapshot",
      encodeSnapshot({
        ...this.#owner(),
        time: timeText(metadata, stamp),
        tree: root,
        paths: hasSide ? [folder, sideFolder(database)] : [folder],
        tags: captureTags(full),
        summary: {
          backupStart: began,
          backupEnd: this.#now(),
          filesNew: this.#taken.files,
          filesChanged: 0,
          filesUnmodified: tree.files - this.#taken.files,
          dirsNew: 0,
          dirsChanged: 0,
          dirsUnmodified: 0,
          dataBlobs: counts.dataBlobs - before.dataBlobs,
          treeBlobs: counts.treeBlobs - before.treeBlobs,
          dataAdded: counts.added - before.added,
          dataAddedPacked: counts.addedPacked - before.addedPacked,
          totalFilesProcessed: tree.files,
          totalBytesProcessed: tree.bytes,
          extra: {},
        },
      }),
      this.#lock.signal,
    );
    this.#taken = { files: 0, bytes: 0 };
    this.#mark = full;
    const time = Number(stamp / 1_000_000n);
    await this.#replaceEarlier({ id, time, hasPosition: full.position !== undefined }, onNotice);
    return id;
  }

  /** Ends what is under way, and releases the lock. Never fails. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#writer.idle();
    await this.#lock.release();
  }

  /** Removes those that go; what cannot be removed now is tried again with the next commit. */
  async #replaceEarlier(newest: EarlierCapture, onNotice: (text: string) => void): Promise<void> {
    const { captures } = this.#options;
    const gone = new Set<EarlierCapture>();
    for (const capture of goingCaptures(this.#earlier, newest)) {
      try {
        await captures.remove("snapshot", capture.id, this.#lock.signal);
        gone.add(capture);
      } catch (error) {
        const name = capture.id.slice(0, 8);
        onNotice(`the capture ${name} cannot be removed: ${messageOf(error)}`);
      }
    }
    this.#earlier = [...this.#earlier.filter((one) => !gone.has(one)), newest];
  }

  #folderNode(name: string): TreeNode {
    let node = this.#folders.get(name);
    if (node === undefined) {
      const stat = statFolder(`${this.#options.folder}/${name}`);
      const time = this.#opened;
      node = stat
        ? this.#directory(name, stat)
        : createNode({
            name,
            type: "dir",
            mode: DIRECTORY_MODE,
            mtime: time,
            atime: time,
            ctime: time,
          });
      this.#folders.set(name, node);
    }
    return node;
  }

  #directory(name: string, stat: BigIntStats): TreeNode {
    return directoryNode(this.#options.metadata, name, stat);
  }

  #owner() {
    const { captures, hostname, programVersion } = this.#options;
    const { username, uid, gid } = captures.machine;
    const none = { parent: null, excludes: [], original: null, extra: {} };
    return { hostname, programVersion, username, uid, gid, ...none };
  }

  /** The newest capture by its time is the one that holds everything, also when the clock was set back since the last one. */
  #nextTime(): bigint {
    const now = this.#options.captures.machine.clock.nowNanoseconds();
    const next = this.#latest + 1_000_000n;
    this.#latest = now > next ? now : next;
    return this.#latest;
  }

  #now(): string {
    const { captures, metadata } = this.#options;
    return timeText(metadata, captures.machine.clock.nowNanoseconds());
  }
}

function directoryNode(metadata: MetadataContext, name: string, stat: BigIntStats): TreeNode {
  const table = new EntryTable(1);
  table.add(name, stat, false);
  return nodeOf(metadata, table, 0, name, {});
}

/** The folders from the root down to the filestore. */
function ancestorsOf({ folder, metadata }: SessionOptions): [string, TreeNode][] {
  const nodes: [string, TreeNode][] = [];
  const parts = folder.split("/").filter((part) => part !== "");
  for (let depth = 1; depth <= parts.length; depth++) {
    const path = `/${parts.slice(0, depth).join("/")}`;
    // Links on the way are followed: what is below them is what was captured.
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    const name = partsOf(path).at(-1)!;
    if (stat?.isDirectory() === true) nodes.push([path, directoryNode(metadata, name, stat)]);
  }
  return nodes;
}

/** The folders from the root down to the files beside it, which are on no disk. */
function sideFoldersOf(database: string, time: string): [string, TreeNode][] {
  const parts = sideFolder(database).split("/").slice(1);
  const times = { mtime: time, atime: time, ctime: time };
  return parts.map((name, i) => [
    `/${parts.slice(0, i + 1).join("/")}`,
    createNode({ name, type: "dir", mode: PRIVATE_MODE, ...times }),
  ]);
}
