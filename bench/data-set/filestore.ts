// An Odoo filestore: files named after the SHA-1 of their content, in 256 directories, in the mix of a business that
// has used it for years: thumbnails, pictures, PDFs from templates, office documents, mail, asset bundles that differ
// little from version to version, and a few very large files. On request some are damaged the way real ones are.

import { hash } from "node:crypto";
import { contentMaker, MAGIC, type ContentMaker } from "./content.ts";
import type { SeededRandom } from "./random.ts";
import type { FileSink } from "./sink.ts";

export interface FilestoreOptions {
  readonly files: number;
  /** Bytes of all files together, about. */
  readonly bytes: number;
  /** How many files to damage, of each fault in turn. */
  readonly faults?: number;
}

/** What may be wrong with a file of a filestore. The name of each is that of its content before the fault. */
export const FAULTS = ["torn", "truncated", "empty", "wrong-content", "missing", "orphan"] as const;
export type Fault = (typeof FAULTS)[number];

/** One file as the database would know it; an orphan is in no row of the database. */
export interface FilestoreEntry {
  readonly sha1: string;
  readonly size: number;
  readonly kind: string;
  readonly fault?: Fault;
}

/** A kind of file: how many of 1,000 are of it, its sizes, and how it is filled. */
interface Kind {
  readonly name: string;
  readonly perMille: number;
  readonly size: (random: SeededRandom) => number;
  readonly fill: (content: ContentMaker, body: Buffer, state: Shared, random: SeededRandom) => void;
}

/** Content that files have in common. */
interface Shared {
  readonly template: Uint8Array;
  readonly bundle: Buffer;
}

const BUNDLE = { from: 1e6, to: 7e6, changed: 0.015 } as const;
const TEMPLATE_BYTES = 24_000;
const VERY_LARGE = { from: 10e6, to: 40e6 } as const;

const limited = (median: number, sigma: number, most: number) => (random: SeededRandom) =>
  Math.min(Math.round(random.logNormal(median, sigma)) + 64, most);

const KINDS: readonly Kind[] = [
  {
    name: "thumbnail",
    perMille: 474,
    size: limited(3_000, 1.2, 200_000),
    fill: (content, body, _, random) =>
      content.noise(body, random.unit() < 0.5 ? MAGIC.png : MAGIC.jpeg),
  },
  {
    name: "picture",
    perMille: 200,
    size: limited(60_000, 1, 1_000_000),
    fill: (content, body) => content.noise(body, MAGIC.jpeg),
  },
  {
    name: "pdf",
    perMille: 250,
    size: limited(60_000, 1, 20_000_000),
    fill: (content, body, { template }, random) => {
      content.noise(body, MAGIC.pdf);
      if (random.unit() < 0.6) body.set(template.subarray(0, Math.max(0, body.length - 64)));
    },
  },
  {
    name: "office",
    perMille: 40,
    size: limited(150_000, 1, 20_000_000),
    fill: (content, body) => content.noise(body, MAGIC.zip),
  },
  {
    name: "text",
    perMille: 35,
    size: limited(8_000, 1.2, 5_000_000),
    fill: (content, body) => content.text(body),
  },
  {
    name: "bundle",
    perMille: 1,
    size: (random) => random.between(BUNDLE.from, BUNDLE.to),
    fill: (content, body, { bundle }) => {
      // Each version is the one before with a few edits.
      content.edit(bundle, BUNDLE.changed);
      bundle.copy(body);
    },
  },
];

const veryLarge: Kind = {
  name: "very-large",
  perMille: 0,
  size: (random) => random.between(VERY_LARGE.from, VERY_LARGE.to),
  fill: (content, body) => content.noise(body, MAGIC.zip),
};

/** Mean bytes of a file of the mix without very large ones, found by drawing. */
function usualMean(random: SeededRandom): number {
  const draws = 20_000;
  let sum = 0;
  for (let i = 0; i < draws; i++) sum += pickKind(random).size(random);
  return sum / draws;
}

function pickKind(random: SeededRandom): Kind {
  let at = random.unit() * 1000;
  for (const kind of KINDS) {
    at -= kind.perMille;
    if (at < 0) return kind;
  }
  return KINDS[0]!;
}

/** Writes a filestore into `sink` and returns what a database would say about it, in the order of creation. */
export function generateFilestore(
  options: FilestoreOptions,
  random: SeededRandom,
  sink: FileSink,
): FilestoreEntry[] {
  const content = contentMaker(random);
  const shared: Shared = {
    template: Buffer.alloc(TEMPLATE_BYTES),
    bundle: Buffer.alloc(BUNDLE.to),
  };
  content.noise(shared.template, MAGIC.pdf);
  content.text(shared.bundle);

  const usual = usualMean(random);
  const largeMean = (VERY_LARGE.from + VERY_LARGE.to) / 2;
  const largeShare = Math.max(0, (options.bytes / options.files - usual) / (largeMean - usual));
  const faultEvery = options.faults ? Math.max(1, Math.floor(options.files / options.faults)) : 0;

  const buffer = Buffer.alloc(VERY_LARGE.to);
  const entries: FilestoreEntry[] = [];
  for (let i = 0; i < options.files; i++) {
    const kind = random.unit() < largeShare ? veryLarge : pickKind(random);
    const body = buffer.subarray(0, kind.size(random));
    kind.fill(content, body, shared, random);
    const sha1 = hash("sha1", body, "hex");
    const faulty = faultEvery > 0 && i % faultEvery === faultEvery - 1;
    const fault = faulty ? FAULTS[Math.floor(i / faultEvery) % FAULTS.length] : undefined;
    const entry: FilestoreEntry = { sha1, size: body.length, kind: kind.name };
    entries.push(fault ? { ...entry, fault } : entry);
    const stored = damage(body, fault, content);
    if (stored) sink.write(`${sha1.slice(0, 2)}/${sha1}`, stored);
  }
  return entries;
}

/** What is on disk instead of `body`; undefined when nothing is. */
function damage(
  body: Buffer,
  fault: Fault | undefined,
  content: ContentMaker,
): Uint8Array | undefined {
  switch (fault) {
    case "torn":
      // Pages that never reached the disk read as zeros.
      return body.fill(0, Math.floor(body.length / 2));
    case "truncated":
      return body.subarray(0, Math.floor(body.length / 2));
    case "empty":
      return body.subarray(0, 0);
    case "wrong-content":
      content.noise(body);
      return body;
    case "missing":
      return undefined;
    case "orphan":
    case undefined:
      return body;
  }
}
