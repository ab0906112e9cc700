// Opens the attachment catalogue that lies in the newest capture of a database: with the repository's password alone, and no
// PostgreSQL server.

import type { Id } from "../base/bytes.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { readFileContent } from "../files/file-content.ts";
import { findDirectory } from "../files/find-path.ts";
import { BlobReader } from "../repository/blob-reader.ts";
import { isListingDamage } from "../repository/listing-damage.ts";
import { loadIndex } from "../repository/index-loader.ts";
import type { Repository } from "../repository/repository.ts";
import { listSnapshots } from "../repository/snapshots.ts";
import { textToByteString } from "../restic/byte-string.ts";
import { parseTime } from "../restic/go-time.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { iterateTree } from "../restic/tree.ts";
import { readCaptureMark } from "./capture-mark.ts";
import { catalogueFolder, segmentNumber } from "./catalogue-lines.ts";

/** A catalogue that can be read, from its beginning and more than once. */
export interface OpenedCatalogue {
  readonly database: string;
  /** The capture that it lies in, and when that was made, in milliseconds since 1970. */
  readonly capture: Id;
  readonly time: number;
  /** Bytes of all segments. */
  readonly size: number;
  /** The segments in order, each whole. Throws what the storage throws, CANCELLED. */
  segments(signal?: AbortSignal): AsyncGenerator<Buffer, void>;
}

export interface OpenCatalogueOptions {
  readonly captures: Repository;
  /** Of which database; the only one that there is without. */
  readonly database?: string | undefined;
  /** Told what could not be read. An older capture, or the rest of the catalogue, is used then. */
  readonly onDamage: (what: string, error: HoldfastError) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Opens it. Throws ATTACHMENT_NOT_FOUND when there is none, USAGE when a database has to be named. */
export async function openCatalogue(options: OpenCatalogueOptions): Promise<OpenedCatalogue> {
  const { captures, onDamage, signal } = options;
  const snapshots = await listSnapshots(captures, {
    onDamage: (id, error) => onDamage(`capture ${id}`, error),
    signal,
  });
  const marked = snapshots.toReversed().flatMap((found) => {
    const mark = readCaptureMark(found.snapshot.tags);
    return mark === undefined ? [] : [{ ...found, database: mark.database }];
  });
  const database = options.database ?? onlyOne(marked.map((capture) => capture.database));
  const { index } = await loadIndex(captures, {
    onDamage: (id, error) => onDamage(`index ${id}`, error),
    signal,
  });
  const reader = new BlobReader(captures, index);
  for (const { id, snapshot } of marked.filter((capture) => capture.database === database)) {
    let files: TreeNode[];
    try {
      files = await segmentFiles(reader, snapshot.tree, { database, signal });
    } catch (error) {
      if (isHoldfastError(error, "PATH_NOT_FOUND")) continue;
      if (!isDamage(error)) throw error;
      onDamage(`capture ${id}`, error);
      continue;
    }
    if (files.length === 0) continue;
    return {
      database,
      capture: id,
      time: Number(parseTime(snapshot.time) / 1_000_000n),
      size: files.reduce((sum, { size }) => sum + Number(size), 0),
      segments: (stop = signal) => readSegments(reader, files, { onDamage, signal: stop }),
    };
  }
  throw new HoldfastError(
    "ATTACHMENT_NOT_FOUND",
    `no capture of ${JSON.stringify(database)} has a catalogue of attachments`,
    { hint: "`holdfast capture` makes one as soon as it is told the database with -d." },
  );
}

function onlyOne(databases: readonly string[]): string {
  const [first, ...more] = [...new Set(databases)];
  if (first === undefined) {
    throw new HoldfastError("ATTACHMENT_NOT_FOUND", "nothing was captured here yet", {
      hint: "`holdfast capture` keeps a catalogue of attachments as soon as it is told the database with -d.",
    });
  }
  if (more.length === 0) return first;
  const names = [first, ...more].toSorted().join(", ");
  throw new HoldfastError("USAGE", `there are captures of several databases: ${names}`, {
    hint: "Name one with --database.",
  });
}

async function segmentFiles(
  reader: BlobReader,
  root: Id,
  { database, signal }: { database: string; signal: AbortSignal | undefined },
): Promise<TreeNode[]> {
  const path = textToByteString(catalogueFolder(database));
  const tree = await findDirectory(reader, root, path, signal);
  const nodes = [...iterateTree(await reader.read("tree", tree, signal))];
  // Names have six digits and more: by their numbers, a million of them are in order, too.
  return nodes
    .filter(({ name, type }) => type === "file" && segmentNumber(name) !== undefined)
    .toSorted((a, b) => segmentNumber(a.name)! - segmentNumber(b.name)!);
}

async function* readSegments(
  reader: BlobReader,
  files: readonly TreeNode[],
  options: {
    readonly onDamage: (what: string, error: HoldfastError) => void;
    readonly signal: AbortSignal | undefined;
  },
): AsyncGenerator<Buffer, void> {
  const { onDamage, signal } = options;
  for (const node of files) {
    const pieces: Uint8Array[] = [];
    try {
      for await (const piece of readFileContent({ reader, node, ahead: 2, signal })) {
        pieces.push(piece);
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      onDamage(`segment ${node.name} of the catalogue`, error);
      continue;
    }
    yield Buffer.concat(pieces);
  }
}

function isDamage(error: unknown): error is HoldfastError {
  return isListingDamage(error) || isHoldfastError(error, "STORAGE_NOT_FOUND");
}
