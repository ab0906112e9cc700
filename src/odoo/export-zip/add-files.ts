// The files of a zip: first those of the folder, several read and compressed while one is written, then whatever the folder did
// not give, out of the pool. Only what was checked reaches the zip.

import { throwIfCancelled } from "../../base/cancellation.ts";
import { Semaphore } from "../../base/concurrency.ts";
import type { Progress } from "../../base/progress.ts";
import type { Pool, PoolAnswer } from "../pool.ts";
import { pathOf, REFERENCE, type FileReferences } from "../references.ts";
import { Sha1Set } from "../sha1-set.ts";
import { WHOLE_BYTES, type Absence, type FolderFiles } from "./folder-files.ts";
import { isPacked, PACKED_BYTES } from "./packed-formats.ts";
import type { PreparedFile, ZipWriter } from "./zip-writer.ts";

/** A file that rows refer to. */
export interface ListedFile {
  readonly sha1: string;
  /** Below the filestore's folder. */
  readonly path: string;
  /** Bytes as the rows say, -1 where they do not. */
  readonly size: number;
  readonly isRegenerable: boolean;
}

/** A file that rows refer to and that nobody has. */
export interface AbsentFile {
  readonly sha1: string;
  readonly why: Absence;
  /** An asset bundle, which Odoo makes again when its row is deleted. */
  readonly isRegenerable: boolean;
}

/** What is known before anything is read. */
export interface FoundFiles {
  /** What is neither in the folder nor in the pool. Grows while files are read. */
  readonly absent: Map<string, AbsentFile>;
  /** What the folder has not. */
  readonly elsewhere: Set<string>;
  pool: Pool | undefined;
}

type OpenPool = ((wanted: Sha1Set) => Promise<Pool>) | undefined;

/** All files that are referred to, by name. */
export function wantedFiles(files: FileReferences): ListedFile[] {
  const { names, sizes, flags } = files;
  return Array.from({ length: names.size }, (_, i): ListedFile => {
    const sha1 = names.at(i);
    return {
      sha1,
      path: pathOf(files, sha1),
      size: sizes[i]!,
      isRegenerable: (flags[i]! & REFERENCE.regenerable) !== 0,
    };
  }).toSorted((a, b) => (a.sha1 < b.sha1 ? -1 : 1));
}

interface LookOptions {
  readonly files: readonly ListedFile[];
  readonly inFolder: FolderFiles | undefined;
  readonly openPool: OpenPool;
  readonly signal?: AbortSignal | undefined;
}

/** Looks by listings alone where the files are. */
export async function lookForAll(options: LookOptions): Promise<FoundFiles> {
  const { files, inFolder, openPool, signal } = options;
  const elsewhere = new Set<string>();
  for (const file of files) {
    throwIfCancelled(signal);
    if (inFolder === undefined || !(await inFolder.has(file))) elsewhere.add(file.sha1);
  }
  const pool = elsewhere.size === 0 ? undefined : await openPool?.(setOf(elsewhere));
  const found: FoundFiles = { absent: new Map(), elsewhere, pool };
  for (const file of files)
    if (elsewhere.has(file.sha1) && pool?.has(file.sha1) !== true)
      addAbsent(found, file, "missing");
  return found;
}

interface AddOptions extends LookOptions {
  readonly writer: ZipWriter;
  readonly found: FoundFiles;
  readonly progress: Progress;
}

interface Added {
  files: number;
  bytes: number;
  fromPool: number;
}

/** Adds all files that are to be had, and tells `found.absent` of the others. */
export async function addFiles(options: AddOptions): Promise<Added> {
  const added: Added = { files: 0, bytes: 0, fromPool: 0 };
  const { found, files } = options;
  const lost = await addFromFolder(options, added);
  const late = new Map<string, Absence>();
  for (const [{ sha1 }, why] of lost) late.set(sha1, why);
  const needed = new Map(
    files
      .filter(
        ({ sha1 }) => late.has(sha1) || (found.elsewhere.has(sha1) && !found.absent.has(sha1)),
      )
      .map((file) => [file.sha1, file]),
  );
  if (needed.size > 0) await addFromPool(options, { needed, late, added });
  return added;
}

/** Files of the folder that are read and compressed at once, beside the one that is written. */
const FILES_AHEAD = 32;
const BYTES_AHEAD = 64 << 20;

/** What is to be written of a file: all of it, or how to get it. */
type ReadyFile =
  | { readonly kind: "prepared"; readonly prepared: PreparedFile }
  | {
      readonly kind: "stream";
      readonly stream: () => AsyncIterable<Uint8Array>;
      readonly packed: boolean;
    }
  | { readonly kind: "absent"; readonly why: Absence };

/** Adds what the folder has; resolves with what it turned out not to have. */
async function addFromFolder(options: AddOptions, added: Added): Promise<Map<ListedFile, Absence>> {
  const { files, found, inFolder } = options;
  const lost = new Map<ListedFile, Absence>();
  if (inFolder === undefined) return lost;
  const waiting: { file: ListedFile; ready: Promise<ReadyFile>; weight: number }[] = [];
  let weight = 0;
  const take = async (): Promise<void> => {
    const first = waiting.shift()!;
    weight -= first.weight;
    const ready = await first.ready;
    if (ready.kind === "absent") lost.set(first.file, ready.why);
    else await addReady(first.file, ready, options, added);
  };
  try {
    for (const file of files) {
      if (found.elsewhere.has(file.sha1)) continue;
      const ready = readyFile(file, inFolder, options);
      // Awaited in its turn.
      ready.catch(() => {});
      const held = Math.min(Math.max(file.size, 0), WHOLE_BYTES);
      waiting.push({ file, ready, weight: held });
      weight += held;
      while (waiting.length >= FILES_AHEAD || weight > BYTES_AHEAD) await take();
    }
    while (waiting.length > 0) await take();
  } finally {
    await Promise.allSettled(waiting.map(({ ready }) => ready));
  }
  return lost;
}

async function readyFile(
  file: ListedFile,
  inFolder: FolderFiles,
  { writer, signal }: AddOptions,
): Promise<ReadyFile> {
  const found = await inFolder.find(file, signal);
  if (typeof found === "string") return { kind: "absent", why: found };
  if (found.kind === "large")
    return { kind: "stream", stream: found.stream, packed: isPacked(found.start) };
  return { kind: "prepared", prepared: await writer.prepare(nameOf(file), found.content) };
}

async function addReady(
  file: ListedFile,
  ready: Exclude<ReadyFile, { kind: "absent" }>,
  { writer, progress }: AddOptions,
  added: Added,
): Promise<void> {
  const name = nameOf(file);
  progress.now(name);
  let size: number;
  if (ready.kind === "prepared") {
    await writer.add(ready.prepared);
    ({ size } = ready.prepared.entry.known);
  } else ({ size } = await writer.addStream(name, ready.stream(), { packed: ready.packed }));
  added.files++;
  added.bytes += size;
  progress.done({ files: 1, bytes: size });
}

interface PoolWork {
  readonly needed: ReadonlyMap<string, ListedFile>;
  /** What the folder had when it was listed, and why it had not when it was read. */
  readonly late: ReadonlyMap<string, Absence>;
  readonly added: Added;
}

async function addFromPool(options: AddOptions, work: PoolWork): Promise<void> {
  const { found, openPool, writer, signal } = options;
  const { needed, late, added } = work;
  const pool = late.size === 0 ? found.pool : await openPool?.(setOf(needed.keys()));
  if (pool === undefined) {
    for (const [sha1, file] of needed) addAbsent(found, file, late.get(sha1) ?? "missing");
    return;
  }
  // Entries are written one after the other, however many files are at hand.
  const writing = new Semaphore(1);
  const take = async (sha1: string, answer: PoolAnswer): Promise<void> => {
    const file = needed.get(sha1)!;
    if (answer.status !== "found") {
      const why = answer.status === "corrupt" ? "corrupt" : (late.get(sha1) ?? "missing");
      addAbsent(found, file, why);
      return;
    }
    const { bytes } = answer;
    const ready: Exclude<ReadyFile, { kind: "absent" }> =
      bytes === undefined
        ? {
            kind: "stream",
            stream: () => answer.content({ signal }),
            packed: await startsPacked(answer.content({ signal })),
          }
        : { kind: "prepared", prepared: await writer.prepare(nameOf(file), bytes) };
    await writing.run(async () => await addReady(file, ready, options, added), signal);
    added.fromPool++;
  };
  await pool.readMany(needed.keys(), take, { signal });
}

async function startsPacked(content: AsyncIterable<Uint8Array>): Promise<boolean> {
  for await (const piece of content) return isPacked(piece.subarray(0, PACKED_BYTES));
  return false;
}

function addAbsent(
  { absent }: FoundFiles,
  { sha1, isRegenerable }: ListedFile,
  why: Absence,
): void {
  absent.set(sha1, { sha1, why, isRegenerable });
}

function setOf(names: Iterable<string>): Sha1Set {
  const set = new Sha1Set();
  for (const name of names) set.add(name);
  return set;
}

function nameOf({ path }: ListedFile): string {
  return `filestore/${path}`;
}
