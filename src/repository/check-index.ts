// The first half of a check: index files, what they say of packs, and whether the packs are there in the size that the index
// implies. Reads no pack.

import type { Id } from "../base/bytes.ts";
import type { ReadablePack } from "./check-data.ts";
import type { CheckFindings } from "./check-findings.ts";
import { loadIndex } from "./index-loader.ts";
import type { RepositoryFile } from "./layout.ts";
import { PackTable } from "./pack-table.ts";
import type { Repository } from "./repository.ts";

/** The part of a check's options that is needed here. */
interface Watch {
  onPhase?: (phase: "index" | "packs", total: number, bytes: number) => void;
  onDone?: (count: number, bytes: number) => void;
  signal?: AbortSignal | undefined;
}

export interface LoadedIndexes {
  table: PackTable;
  /** Index files there are, and those of them that could be loaded. */
  files: number;
  loaded: number;
}

/** Loads every index file that can be loaded; reports the others, and packs that the files do not agree about. */
export async function loadIndexes(
  repository: Repository,
  files: readonly RepositoryFile[],
  findings: CheckFindings,
  { onPhase, onDone, signal }: Watch,
): Promise<LoadedIndexes> {
  onPhase?.("index", files.length, 0);
  const listedBy: Id[] = [];
  const { index, files: loaded } = await loadIndex(repository, {
    files,
    signal,
    onFile: (id, { begin, end }) => {
      for (let pack = begin; pack < end; pack++) listedBy[pack] = id;
      onDone?.(1, 0);
    },
    onDamage: (_, error) => {
      findings.add("INDEX_DAMAGED", error.message);
      onDone?.(1, 0);
    },
  });
  const table = new PackTable(index);
  const listings = (pack: number): string => {
    const ids = new Set(table.listings(pack).map((number) => listedBy[number]!));
    return `${ids.size} index files: ${[...ids].join(", ")}`;
  };
  for (const pack of table.split) {
    const id = index.packs[pack]!;
    const what = `pack ${id} is described differently in ${listings(pack)}`;
    findings.add("PACK_SPLIT", what, { packs: [id] });
  }
  for (const pack of table.duplicates) {
    const id = index.packs[pack]!;
    findings.add("PACK_DUPLICATE", `pack ${id} is listed in ${listings(pack)}`, { packs: [id] });
  }
  for (const pack of table.packs) {
    if (table.content(pack) !== "mixed") continue;
    const id = index.packs[pack]!;
    findings.add("PACK_MIXED", `pack ${id} holds trees and data`, { packs: [id] });
  }
  return { table, files: files.length, loaded: loaded.length };
}

/** Compares the packs in the storage with the index; those in order can be read. */
export function checkPackFiles(
  files: readonly RepositoryFile[],
  table: PackTable,
  findings: CheckFindings,
  { onDone }: Watch,
): { sound: ReadablePack[]; stored: number } {
  const sizes = new Map<Id, number>();
  const unindexed: Id[] = [];
  for (const { id, size } of files) {
    if (table.numberOf(id) === undefined) unindexed.push(id);
    sizes.set(id, size);
  }
  const sound: ReadablePack[] = [];
  for (const number of table.packs) {
    const id = table.index.packs[number]!;
    const size = sizes.get(id);
    const expected = table.fileBytes(number);
    if (size === undefined) {
      findings.add("PACK_MISSING", `pack ${id} does not exist`, { packs: [id] });
    } else if (size !== expected) {
      const what = `pack ${id} has ${size} bytes, the index implies ${expected}`;
      findings.add("PACK_SIZE", what, { packs: [id] });
    } else {
      sound.push({ number, size });
    }
    onDone?.(1, 0);
  }
  if (unindexed.length > 0) {
    const what = `${unindexed.length} packs are in no index`;
    findings.add("PACK_UNINDEXED", what, { packs: unindexed, count: unindexed.length });
  }
  return { sound, stored: sizes.size };
}
