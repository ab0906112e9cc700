// The options of a prune, which `forget --prune` takes as well: restic's, with restic's checks.

import type { Command } from "commander";
import { parseByteSize } from "../base/byte-size.ts";
import { HoldfastError } from "../base/errors.ts";
import { PACK_SIZE_DEFAULT } from "../repository/writer.ts";
import type { MaxUnused, PruneCriteria } from "../repository/prune.ts";
import type { Context } from "./command.ts";

/** What commander makes of the options of `addPruneOptions`. */
export interface PruneFlags {
  maxUnused: string;
  maxRepackSize?: string;
  repackCacheableOnly?: boolean;
  repackUncompressed?: boolean;
  repackSmallerThan?: string;
  repackSmall?: boolean;
}

/** Adds everything but --dry-run, which a forget has by itself. */
export function addPruneOptions(command: Command): void {
  command
    .option("--max-unused <limit>", "tolerate this much unused data: bytes, x% or unlimited", "5%")
    .option("--max-repack-size <size>", "write at most this much anew, then stop")
    .option("--repack-cacheable-only", "write only packs with directory listings anew")
    .option("--repack-uncompressed", "write all packs with data anew that is not compressed")
    .option("--repack-smaller-than <size>", "write packs below this size anew")
    .option("--repack-small", "accepted; small packs are written anew anyway");
}

/** What the flags ask for. Throws USAGE. */
export function pruneCriteria(flags: PruneFlags, context: Context): PruneCriteria {
  const { settings } = context;
  const repackUncompressed = flags.repackUncompressed === true;
  if (repackUncompressed && settings.compression === "off") {
    throw new HoldfastError(
      "USAGE",
      "disabled compression and `--repack-uncompressed` are mutually exclusive",
    );
  }
  const { maxRepackSize, repackSmallerThan } = flags;
  return {
    maxUnused: parseMaxUnused(flags.maxUnused),
    maxRepackBytes:
      maxRepackSize === undefined ? Infinity : parseByteSize(maxRepackSize, "--max-repack-size"),
    smallPackBytes:
      repackSmallerThan === undefined
        ? undefined
        : parseSmall(repackSmallerThan, settings.packSize ?? PACK_SIZE_DEFAULT),
    repackCacheableOnly: flags.repackCacheableOnly === true,
    repackUncompressed,
  };
}

function parseMaxUnused(text: string): MaxUnused {
  const value = text.trim();
  if (value === "unlimited") return { kind: "unlimited" };
  if (!value.endsWith("%")) return { kind: "bytes", bytes: parseByteSize(value, "--max-unused") };
  const percent = /^\d+(\.\d+)?%$/.test(value) ? Number(value.slice(0, -1)) : NaN;
  if (percent >= 0 && percent < 100) return { kind: "percent", percent };
  throw new HoldfastError("USAGE", `--max-unused: ${JSON.stringify(text)} is no limit`, {
    hint: "Give a share from 0% to below 100%, a size such as 10G, or the word unlimited.",
  });
}

function parseSmall(text: string, packSize: number): number {
  const bytes = parseByteSize(text, "--repack-smaller-than");
  if (bytes > 0 && bytes <= packSize) return bytes;
  throw new HoldfastError(
    "USAGE",
    bytes === 0
      ? "--repack-smaller-than must be larger than zero"
      : "--repack-smaller-than exceeds the size of new packs",
    { hint: "The size of new packs is set by --pack-size." },
  );
}
