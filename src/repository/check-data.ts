// Reads packs and checks every byte of them, as many of them as was asked for. A pack that is found damaged is fetched once
// more before it is called so: the fault may lie on the way.

import { eachLimit } from "../base/concurrency.ts";
import { isHoldfastError } from "../base/errors.ts";
import { fromHex } from "../base/bytes.ts";
import type { Random } from "../base/clock.ts";
import type { CheckFindings } from "./check-findings.ts";
import type { CheckLane, CheckPool } from "./check-pool.ts";
import { isPermanent } from "./blob-reader.ts";
import { keyOf } from "./layout.ts";
import type { PackTable } from "./pack-table.ts";
import type { Repository } from "./repository.ts";

/** Which packs to read. */
export type ReadData =
  | { mode: "none" }
  | { mode: "all" }
  /** Those of part 1 ≤ `part` ≤ `of` ≤ 256: over all parts, every pack once. */
  | { mode: "subset"; part: number; of: number }
  /** A random choice: this share of the packs, above 0 and at most 100, one pack at least. */
  | { mode: "subset"; percent: number }
  /** A random choice of this many bytes at most: one pack at least. */
  | { mode: "subset"; bytes: number }
  /**
   * Those that were never proved, then those for which it is longest ago, up to this many bytes: one pack at least, unless
   * `strict`.
   */
  | { mode: "budget"; bytes: number; strict?: boolean };

/** A pack that can be read. */
export interface ReadablePack {
  /** Number in the pack table. */
  number: number;
  /** Bytes. */
  size: number;
}

/** The packs that `readData` means. */
export function choosePacks(
  packs: readonly ReadablePack[],
  readData: ReadData,
  options: {
    firstByte: (pack: number) => number;
    random: Random;
    /** When a pack was proved last, ms since 1970. */
    verifiedAt: (pack: number) => number | undefined;
  },
): ReadablePack[] {
  if (readData.mode === "none") return [];
  if (readData.mode === "all") return [...packs];
  if (readData.mode === "budget") return chooseOldest(packs, readData, options);
  if ("of" in readData) {
    const { part, of } = readData;
    return packs.filter(({ number }) => options.firstByte(number) % of === part - 1);
  }
  const shuffled = shuffle(packs, options.random);
  if ("percent" in readData) {
    const count = Math.floor(packs.length * (readData.percent / 100));
    return shuffled.slice(0, Math.max(1, count));
  }
  return upTo(readData.bytes, shuffled, 1);
}

/**
 * The first of `packs` that have no more than `bytes` together, `least` of them all the same. None is passed over because it is
 * large: or else it would never have its turn.
 */
function upTo(bytes: number, packs: readonly ReadablePack[], least: number): ReadablePack[] {
  let left = bytes;
  const end = packs.findIndex(({ size }) => (left -= size) < 0);
  return packs.slice(0, end < 0 ? packs.length : Math.max(least, end));
}

/** Those that were proved longest ago. */
function chooseOldest(
  packs: readonly ReadablePack[],
  { bytes, strict = false }: { bytes: number; strict?: boolean },
  { verifiedAt, random }: { verifiedAt: (pack: number) => number | undefined; random: Random },
): ReadablePack[] {
  const times = new Map(packs.map(({ number }) => [number, verifiedAt(number) ?? 0]));
  // Of those with the same time, chance decides: what was never read is not read in the order of writing.
  const ordered = shuffle(packs, random).sort(
    (a, b) => times.get(a.number)! - times.get(b.number)!,
  );
  return upTo(bytes, ordered, strict ? 0 : 1);
}

function shuffle<T>(items: readonly T[], random: Random): T[] {
  const shuffled = [...items];
  const draws = random(4 * items.length);
  const view = new DataView(draws.buffer, draws.byteOffset, draws.length);
  for (let last = shuffled.length - 1; last > 0; last--) {
    const other = view.getUint32(4 * last) % (last + 1);
    [shuffled[last], shuffled[other]] = [shuffled[other]!, shuffled[last]!];
  }
  return shuffled;
}

export interface DataCheckOptions {
  repository: Repository;
  table: PackTable;
  pool: CheckPool;
  findings: CheckFindings;
  /** A pack was dealt with; `bytes` of it were checked, none when it could not be fetched. */
  onPack: (pack: ReadablePack, bytes: number, isSound: boolean) => void;
  signal?: AbortSignal | undefined;
}

/** Reads and checks `packs`, none larger than the pool's buffers. */
export async function checkData(
  packs: readonly ReadablePack[],
  options: DataCheckOptions,
): Promise<void> {
  const waiting = packs.values();
  const { lanes } = options.pool;
  const work = async (lane: CheckLane, _: number, signal: AbortSignal): Promise<void> => {
    for (const pack of waiting) {
      if (signal.aborted) return;
      const { bytes, isSound } = await checkOne(pack, lane, options, signal);
      options.onPack(pack, bytes, isSound);
    }
  };
  await eachLimit(lanes, lanes.length, work, { signal: options.signal });
}

async function checkOne(
  pack: ReadablePack,
  lane: CheckLane,
  options: DataCheckOptions,
  signal: AbortSignal,
): Promise<{ bytes: number; isSound: boolean }> {
  const { table, findings } = options;
  const id = table.index.packs[pack.number]!;
  try {
    const problems = await readAndCheck(pack, lane, options, signal);
    if (problems.length === 0) return { bytes: pack.size, isSound: true };
    const again = await readAndCheck(pack, lane, options, signal);
    if (again.length === 0) {
      const what = `pack ${id} is sound, but was not when it was read first`;
      findings.add("READ_UNSTABLE", what, { details: problems });
    } else {
      const more = again.length > 1 ? { details: again } : {};
      findings.add("PACK_DAMAGED", `pack ${id}: ${again[0]}`, { packs: [id], ...more });
    }
    return { bytes: pack.size, isSound: again.length === 0 };
  } catch (error) {
    if (!isPermanent(error)) throw error;
    const missing = isHoldfastError(error, "STORAGE_NOT_FOUND");
    findings.add(missing ? "PACK_MISSING" : "PACK_UNREADABLE", `pack ${id}: ${error.message}`, {
      packs: [id],
    });
    return { bytes: 0, isSound: false };
  }
}

async function readAndCheck(
  pack: ReadablePack,
  lane: CheckLane,
  { repository, table }: DataCheckOptions,
  signal: AbortSignal,
): Promise<string[]> {
  const id = table.index.packs[pack.number]!;
  const length = pack.size;
  const into = await lane.memory();
  await repository.storage.get(keyOf("pack", id), { length, into, signal });
  const entries = table.entries(pack.number).slice();
  return (await lane.checkPack({ length, id: fromHex(id), entries })).problems;
}
