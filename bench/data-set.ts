// Makes data sets for benchmarks and demonstrations, the same for the same seed on every machine.
//
//   node bench/data-set.ts --profile files --files 20000 --bytes 2e9 --seed 1 --out DIR
//   node bench/data-set.ts --profile M --scale 0.01 --faults 12 --list files.jsonl --out DIR
//   node bench/data-set.ts --change 0.05 --seed 2 --out DIR

import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { contentMaker } from "./data-set/content.ts";
import { generateFilestore, type FilestoreEntry } from "./data-set/filestore.ts";
import { generatePlain } from "./data-set/plain.ts";
import { seededRandom } from "./data-set/random.ts";
import { directorySink } from "./data-set/sink.ts";

interface Profile {
  readonly shape: "mixed" | "even" | "filestore";
  readonly files: number;
  readonly bytes: number;
}

/** What there is to choose from, at scale 1. S to XL are Odoo filestores, from a small firm to a very large one. */
export const PROFILES: Readonly<Record<string, Profile>> = {
  files: { shape: "mixed", files: 20_000, bytes: 2e9 },
  small: { shape: "even", files: 200_000, bytes: 1.64e9 },
  tiny: { shape: "even", files: 1_000_000, bytes: 1.02e9 },
  S: { shape: "filestore", files: 12_000, bytes: 2e9 },
  M: { shape: "filestore", files: 200_000, bytes: 60e9 },
  L: { shape: "filestore", files: 1_000_000, bytes: 400e9 },
  XL: { shape: "filestore", files: 5_000_000, bytes: 2e12 },
};

export interface DataSetOptions {
  readonly out: string;
  readonly profile: string;
  readonly seed?: string | undefined;
  /** Multiplies the files and bytes of the profile; 1 by default. */
  readonly scale?: number | undefined;
  readonly files?: number | undefined;
  readonly bytes?: number | undefined;
  /** Share of the files that do not compress, in plain profiles; 0.8 by default. */
  readonly incompressible?: number | undefined;
  /** Files to damage, in filestores. */
  readonly faults?: number | undefined;
}

export interface DataSetSummary {
  readonly files: number;
  readonly bytes: number;
  /** What a database would say about the files; only for filestores. */
  readonly entries: readonly FilestoreEntry[];
}

/** Writes a data set below `out`. Throws RangeError when the options make none. */
export function generateDataSet(options: DataSetOptions): DataSetSummary {
  const profile = PROFILES[options.profile];
  if (!profile) {
    throw new RangeError(
      `no profile ${options.profile}; there are ${Object.keys(PROFILES).join(", ")}`,
    );
  }
  const scale = options.scale ?? 1;
  const files = Math.max(1, Math.round(options.files ?? profile.files * scale));
  const bytes = options.bytes ?? profile.bytes * scale;
  if (!(bytes >= 0)) throw new RangeError("bytes must be a number");

  const random = seededRandom(options.seed ?? "1");
  const sink = directorySink(options.out);
  let entries: readonly FilestoreEntry[] = [];
  if (profile.shape === "filestore") {
    entries = generateFilestore({ files, bytes, faults: options.faults ?? 0 }, random, sink);
  } else {
    const incompressible = options.incompressible ?? 0.8;
    generatePlain({ files, bytes, sizes: profile.shape, incompressible }, random, sink);
  }
  return { files: sink.files, bytes: sink.bytes, entries };
}

/** Rewrites `share` of the files below `folder` with new content of the same size and a later time. */
export function changeDataSet(folder: string, share: number, seed: string): DataSetSummary {
  const random = seededRandom(seed);
  const content = contentMaker(random);
  // Later than anything generated, still in the past, and different for different seeds.
  const sink = directorySink(folder, 1_750_000_000 + random.between(0, 10_000_000));
  const paths = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .toSorted();
  for (const path of paths) {
    if (random.unit() >= share) continue;
    const body = Buffer.alloc(statSync(join(folder, path)).size);
    content.noise(body);
    sink.write(path, body);
  }
  return { files: sink.files, bytes: sink.bytes, entries: [] };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      out: { type: "string" },
      profile: { type: "string", default: "files" },
      seed: { type: "string", default: "1" },
      scale: { type: "string" },
      files: { type: "string" },
      bytes: { type: "string" },
      incompressible: { type: "string" },
      faults: { type: "string" },
      change: { type: "string" },
      list: { type: "string" },
    },
  });
  if (!values.out) throw new Error("--out DIR is missing");
  const number = (text: string | undefined): number | undefined =>
    text === undefined ? undefined : Number(text);
  const begun = performance.now();
  const made = values.change
    ? changeDataSet(values.out, Number(values.change), values.seed)
    : generateDataSet({
        out: values.out,
        profile: values.profile,
        seed: values.seed,
        scale: number(values.scale),
        files: number(values.files),
        bytes: number(values.bytes),
        incompressible: number(values.incompressible),
        faults: number(values.faults),
      });
  if (values.list) {
    writeFileSync(values.list, made.entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
  }
  const seconds = (performance.now() - begun) / 1000;
  console.log(
    `${made.files} files, ${(made.bytes / 1e6).toFixed(1)} MB in ${seconds.toFixed(1)} s ` +
      `(${(made.bytes / 1e6 / seconds).toFixed(0)} MB/s)`,
  );
}
