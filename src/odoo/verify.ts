// Compares what a database refers to with the files that are there, both ways: rows without a file, files with another content
// than their name promises, files without a row. The files are those of a folder (a live filestore or a recovered one) or of a
// pool (a snapshot, or everything that is stored). Looks and changes nothing. What was not looked at is not called good.

import type { Progress } from "../base/progress.ts";
import type { Connection } from "../postgres/connection.ts";
import {
  bundleRepair,
  pathsBefore,
  readRecords,
  type AttachmentRecord,
} from "./attachment-records.ts";
import type { Pool } from "./pool.ts";
import { readReferences } from "./read-references.ts";
import { pathOf, REFERENCE, type FileReferences, type References } from "./references.ts";
import { EMPTY_SHA1 } from "./store-name.ts";
import type { Condition, Examined } from "./verify/examine-file.ts";
import { examineFiles } from "./verify/examine-threads.ts";
import { examinePool } from "./verify/pool-check.ts";
import { listStore, measure } from "./verify/store-listing.ts";

export type { Condition } from "./verify/examine-file.ts";

/** Findings whose records are looked up, of those that are lost and of those that are not; all others are told by their names. */
const RECORDS_MAX = 1000;
const EXAMPLES_MAX = 20;

export type VerifySource =
  | { readonly kind: "folder"; readonly folder: string }
  /**
   * The names that the pool was opened for are not limited, so that files without a row can be told. `asOf`: when the pool is
   * that of one snapshot, its time in milliseconds since 1970.
   */
  | { readonly kind: "pool"; readonly pool: Pool; readonly asOf?: number | undefined };

export interface VerifyOptions {
  readonly connection: Connection;
  readonly source: VerifySource;
  /** Look at names and sizes alone; of a pool, at names alone. */
  readonly namesOnly?: boolean;
  /** Threads for reading and hashing. */
  readonly threads: number;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** A file that rows refer to and that is not as it should be. */
export interface FileFinding {
  readonly sha1: string;
  /** Below the filestore. */
  readonly path: string;
  /** What rows say; -1 where they do not. */
  readonly size: number;
  readonly condition: Exclude<Condition, { state: "ok" }>;
  /** Nothing is lost: a bundle, which Odoo makes again, or a file of nothing. */
  readonly regenerable: boolean;
  /** It is missing in a snapshot, and every row that refers to it was made after that. */
  readonly newer: boolean;
  /** The rows that refer to it, as far as they were looked up. */
  readonly records: readonly AttachmentRecord[];
}

/** Files that no row refers to: they take room, and nothing is wrong with them. */
export interface Orphans {
  readonly files: number;
  /** Undefined where that is not known without reading. */
  readonly bytes: number | undefined;
  /** Of those: on the list of Odoo's collector, which will take them away. */
  readonly marked: number;
  /** Paths below the folder, or SHA-1s of a pool; at most 20. */
  readonly examples: readonly string[];
}

export interface VerifyReport {
  readonly references: References;
  /** Names only: no content was read. */
  readonly namesOnly: boolean;
  /** Files that are as they should be, as far as was looked. */
  readonly ok: { readonly files: number; readonly bytes: number };
  /** Missing first, then the others, those of regenerable files last. */
  readonly findings: readonly FileFinding[];
  /** Files whose row went while this was running. */
  readonly goneMeanwhile: number;
  readonly orphans: Orphans;
  /** What does not belong into a filestore: names that Odoo would never give, at most 20 of them. */
  readonly strangers: { readonly count: number; readonly examples: readonly string[] };
  /** Makes Odoo build broken bundles again. */
  readonly repairBundles: string | undefined;
}

/** Compares. Throws ODOO_NOT_FOUND, SOURCE_UNREADABLE, what server and storage refuse, CANCELLED; findings are no error. */
export async function verifyAttachments(options: VerifyOptions): Promise<VerifyReport> {
  const { connection, source, namesOnly = false, progress, signal } = options;
  const references = await readReferences(connection, { signal });
  progress.addTotal({ files: references.files.names.size, bytes: knownBytes(references) });
  progress.totalComplete();
  const seen = new Seen(references, progress);
  const looked =
    source.kind === "folder"
      ? await lookAtFolder(options, source.folder, seen)
      : await lookAtPool(options, source.pool, seen);
  const asOf = source.kind === "pool" ? source.asOf : undefined;
  const dated = await withAge(connection, seen.findings(), { asOf, signal });
  const { findings, gone } = await withRecords(connection, dated, signal);
  const bundles = findings
    .filter(({ regenerable }) => regenerable)
    .flatMap(({ records }) => records.filter(({ bundle }) => bundle).map(({ id }) => id));
  return {
    references,
    namesOnly,
    ok: seen.ok,
    findings,
    ...looked,
    goneMeanwhile: looked.goneMeanwhile + gone,
    repairBundles: bundleRepair([...new Set(bundles)].toSorted((a, b) => a - b)),
  };
}

/** What is missing or wrong, should be there, and is not made again by anybody. */
export function lostFiles({ findings }: Pick<VerifyReport, "findings">): FileFinding[] {
  return findings.filter(({ regenerable, newer }) => !regenerable && !newer);
}

/** True when something is lost. */
export function isInconsistent(report: Pick<VerifyReport, "findings">): boolean {
  return lostFiles(report).length > 0;
}

type Looked = Pick<VerifyReport, "goneMeanwhile" | "orphans" | "strangers">;

async function lookAtFolder(options: VerifyOptions, folder: string, seen: Seen): Promise<Looked> {
  const { connection, namesOnly = false, threads, signal } = options;
  const { files } = seen.references;
  const look = async (names: Iterable<string>, isAgain: boolean): Promise<void> => {
    const take = (file: Examined, condition: Condition): void =>
      seen.take(file, condition, isAgain);
    const examined = examinedIn(folder, files, names);
    await examineFiles({ files: examined, namesOnly, threads, take, signal });
  };
  const listing = await listStore({
    folder,
    isReferenced: (sha1, path) => files.names.has(sha1) && pathOf(files, sha1) === path,
    signal,
  });
  await look(files.names, false);
  let { unreferenced } = listing;
  let goneMeanwhile = 0;
  if (seen.size + unreferenced.length > 0) {
    // People work meanwhile: only what is so a second time, by the rows of now, is so.
    const now = (await readReferences(connection, { signal })).files;
    const doubtful = seen.names();
    const again = doubtful.filter((sha1) => now.names.has(sha1));
    goneMeanwhile = doubtful.length - again.length;
    seen.forget();
    await look(again, true);
    unreferenced = unreferenced.filter((path) => {
      const sha1 = path.slice(path.indexOf("/") + 1);
      return !now.names.has(sha1) || pathOf(now, sha1) !== path;
    });
  }
  const marked = unreferenced.filter((path) =>
    listing.marked.has(path.slice(path.indexOf("/") + 1)),
  );
  const orphans = {
    files: unreferenced.length,
    bytes: measure(folder, unreferenced),
    marked: marked.length,
    examples: unreferenced.slice(0, EXAMPLES_MAX),
  };
  return { goneMeanwhile, orphans, strangers: listing.strangers };
}

async function lookAtPool(options: VerifyOptions, pool: Pool, seen: Seen): Promise<Looked> {
  const { namesOnly = false, signal } = options;
  const { files } = seen.references;
  await examinePool({
    pool,
    names: files.names,
    examined: (sha1) => examinedAt("", files, sha1),
    namesOnly,
    take: (file, condition) => seen.take(file, condition, false),
    signal,
  });
  const others = [...pool.names].filter((sha1) => !files.names.has(sha1));
  const orphans = {
    files: others.length,
    bytes: undefined,
    marked: 0,
    examples: others.slice(0, EXAMPLES_MAX),
  };
  return { goneMeanwhile: 0, orphans, strangers: { count: 0, examples: [] } };
}

function* examinedIn(
  folder: string,
  files: FileReferences,
  names: Iterable<string>,
): Generator<Examined, void> {
  for (const sha1 of names) yield examinedAt(folder, files, sha1);
}

function examinedAt(folder: string, files: FileReferences, sha1: string): Examined {
  const expected = files.sizes[files.names.indexOf(sha1)]!;
  return { path: `${folder}/${pathOf(files, sha1)}`, sha1, expected };
}

/** What was seen of the files so far. */
class Seen {
  readonly references: References;
  readonly ok = { files: 0, bytes: 0 };
  readonly #progress: Progress;
  readonly #findings = new Map<string, FileFinding>();

  constructor(references: References, progress: Progress) {
    this.references = references;
    this.#progress = progress;
  }

  /** Files that are not as they should be. */
  get size(): number {
    return this.#findings.size;
  }

  names(): string[] {
    return [...this.#findings.keys()];
  }

  forget(): void {
    this.#findings.clear();
  }

  take({ sha1, expected }: Examined, condition: Condition, isAgain: boolean): void {
    if (!isAgain) this.#progress.done({ files: 1, bytes: Math.max(0, expected) });
    if (condition.state === "ok") {
      this.ok.files++;
      this.ok.bytes += condition.size;
      return;
    }
    const { files } = this.references;
    const flags = files.flags[files.names.indexOf(sha1)]!;
    // What a file of nothing holds is known.
    const isNothing = sha1 === EMPTY_SHA1 && condition.state === "missing";
    this.#findings.set(sha1, {
      sha1,
      path: pathOf(files, sha1),
      size: expected,
      condition,
      regenerable: isNothing || (flags & REFERENCE.regenerable) !== 0,
      newer: false,
      records: [],
    });
  }

  /** In the order in which they are told. */
  findings(): FileFinding[] {
    const rank = ({ regenerable, condition }: FileFinding): number => {
      if (regenerable) return 2;
      return condition.state === "missing" ? 0 : 1;
    };
    return [...this.#findings.values()].toSorted(
      (a, b) => rank(a) - rank(b) || (a.sha1 < b.sha1 ? -1 : 1),
    );
  }
}

function knownBytes({ files: { sizes } }: References): number {
  return sizes.reduce((sum, size) => sum + Math.max(0, size), 0);
}

/** Tells findings that a snapshot cannot have from those that it should. */
async function withAge(
  connection: Connection,
  findings: readonly FileFinding[],
  { asOf: time, signal }: { asOf: number | undefined; signal: AbortSignal | undefined },
): Promise<readonly FileFinding[]> {
  const missing = findings.filter(({ condition }) => condition.state === "missing");
  if (time === undefined || missing.length === 0) return findings;
  const paths = missing.map(({ path }) => path);
  const old = await pathsBefore(connection, paths, { time, signal });
  return findings.map((finding) =>
    finding.condition.state === "missing" && !old.has(finding.path)
      ? { ...finding, newer: true }
      : finding,
  );
}

/** Adds the rows. A finding that was looked up and has none by now is no finding any more. */
async function withRecords(
  connection: Connection,
  findings: readonly FileFinding[],
  signal: AbortSignal | undefined,
): Promise<{ findings: FileFinding[]; gone: number }> {
  const asked = [true, false].flatMap((wanted) =>
    findings
      .filter(({ regenerable, newer }) => regenerable === wanted && !newer)
      .slice(0, RECORDS_MAX),
  );
  if (asked.length === 0) return { findings: [...findings], gone: 0 };
  const paths = new Set(asked.map(({ path }) => path));
  const records = await readRecords(connection, [...paths], { signal });
  const left = findings
    .map((finding) => ({ ...finding, records: records.get(finding.path) ?? [] }))
    .filter(({ path, records: rows }) => rows.length > 0 || !paths.has(path));
  return { findings: left, gone: findings.length - left.length };
}
