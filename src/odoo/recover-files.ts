// Exactly the files that a database refers to, out of a pool into a new folder: no other ones, and none that does not match its
// name. What cannot be had is reported by its class, with its name; a report with anything missing is never called complete.

import type { Random } from "../base/clock.ts";
import type { Progress } from "../base/progress.ts";
import type { ServerAccount } from "../postgres/server-process.ts";
import type { Pool, PoolAnswer, VerifiedFile } from "./pool.ts";
import { StoreFolder } from "./recovery/store-folder.ts";
import { pathOf, REFERENCE, type FileReferences } from "./references.ts";

/** Whatever can say that it has a name. */
export interface Names {
  has(sha1: string): boolean;
}

export interface RecoverFilesOptions {
  readonly files: FileReferences;
  /** Names in rows that are none of a filestore's, as `References.unknown` has them: what they mean is not looked for. */
  readonly unknown?: readonly string[] | undefined;
  readonly pool: Pick<Pool, "readMany">;
  /** The new filestore: absent, empty, or left by an earlier recovery that did not come to its end. */
  readonly folder: string;
  /** Files that were not at the source, and those whose content was wrong there, as captures recorded them. */
  readonly missingAtSource?: Names | undefined;
  readonly corruptAtSource?: Names | undefined;
  /** Who owns the files; undefined is whoever we are. */
  readonly account?: ServerAccount | undefined;
  /** False: the machine may not go down before all is written. For what is thrown away anyway. */
  readonly durable?: boolean;
  readonly random: Random;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** What became of the files that are referred to. Lists hold SHA-1s. */
export interface FilesReport {
  /** All of them: the sum of `ok` and the lengths of the lists. */
  readonly referenced: number;
  /** Written, or there already, with the content that the name promises. */
  readonly ok: number;
  /** Bytes of those. */
  readonly bytes: number;
  /** Of `ok`: found whole in what an earlier recovery left here. */
  readonly kept: number;
  /** Of `ok`: taken from captures. All others are from full snapshots. */
  readonly fromCaptures: number;
  /** Of `ok`: the first copy was damaged or of other content, and a further one was good. */
  readonly fromOtherCopy: number;
  /** Not in the pool, and nobody knows why. */
  readonly missing: readonly string[];
  /** Not in the pool, and not at the source either when it was captured. */
  readonly missingAtSource: readonly string[];
  /** In the pool, but no copy has the content that the name promises. */
  readonly corrupt: readonly string[];
  /** Not in the pool, or corrupt there, because the content was wrong at the source already. */
  readonly corruptAtSource: readonly string[];
  /** Not in the pool or corrupt, and Odoo makes them again: asset bundles. */
  readonly regenerable: readonly string[];
  /** Not counted in any of these: names that are none of a filestore's, the first hundred as they stand in the rows. */
  readonly unknown: readonly string[];
}

/** True when nothing is missing but what Odoo makes again, and every name that rows tell was understood. */
export function hasAllFiles(report: FilesReport): boolean {
  const { missing, missingAtSource, corrupt, corruptAtSource, unknown } = report;
  return [missing, missingAtSource, corrupt, corruptAtSource, unknown].every(
    ({ length }) => length === 0,
  );
}

/**
 * Recovers the files. The folder is left with a mark when this fails, and the next recovery into it goes on from there. Throws
 * TARGET_UNWRITABLE, what storages throw, CANCELLED; files that cannot be had are no error here.
 */
export async function recoverFiles(options: RecoverFilesOptions): Promise<FilesReport> {
  const { files, pool, folder: path, account, random, progress, signal, durable = true } = options;
  const folder = StoreFolder.claim({ path, account, random });
  const report = new Report(options);
  const kept = new Uint8Array(files.names.size);
  progress.addTotal({ files: files.names.size, bytes: knownBytes(files) });
  progress.totalComplete();
  if (folder.isResumed) {
    const isWanted = (relative: string): boolean => {
      const sha1 = relative.slice(relative.indexOf("/") + 1);
      return files.names.has(sha1) && pathOf(files, sha1) === relative;
    };
    folder.sweep(isWanted, (sha1, bytes) => {
      kept[files.names.indexOf(sha1)] = 1;
      report.kept(bytes);
      progress.skipped({ files: 1, bytes });
    });
  }
  const wanted = (function* (): Generator<string, void> {
    let number = 0;
    for (const sha1 of files.names) if (kept[number++] === 0) yield sha1;
  })();
  await pool.readMany(
    wanted,
    async (sha1, answer) => {
      if (answer.status === "found") {
        await folder.write(pathOf(files, sha1), piecesOf(answer, signal));
        progress.done({ files: 1, bytes: answer.size });
      } else progress.failed();
      report.add(sha1, answer);
    },
    { signal },
  );
  await folder.complete({ durable, signal });
  return report.finish();
}

function piecesOf(
  file: VerifiedFile,
  signal: AbortSignal | undefined,
): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  return file.bytes === undefined ? file.content({ signal }) : [file.bytes];
}

function knownBytes({ sizes, names }: FileReferences): number {
  let sum = 0;
  for (let number = 0; number < names.size; number++) sum += Math.max(0, sizes[number]!);
  return sum;
}

/** Counts answers. */
class Report {
  readonly #options: RecoverFilesOptions;
  readonly #counts = { ok: 0, bytes: 0, kept: 0, fromCaptures: 0, fromOtherCopy: 0 };
  readonly #lists = {
    missing: [] as string[],
    missingAtSource: [] as string[],
    corrupt: [] as string[],
    corruptAtSource: [] as string[],
    regenerable: [] as string[],
  };

  constructor(options: RecoverFilesOptions) {
    this.#options = options;
  }

  kept(bytes: number): void {
    this.#counts.ok++;
    this.#counts.kept++;
    this.#counts.bytes += bytes;
  }

  add(sha1: string, answer: PoolAnswer): void {
    if (answer.status === "found") {
      this.#counts.ok++;
      this.#counts.bytes += answer.size;
      if (answer.copy.kind === "captures") this.#counts.fromCaptures++;
      if (answer.badCopies > 0) this.#counts.fromOtherCopy++;
    } else this.#lists[this.#classOf(sha1, answer.status)].push(sha1);
  }

  #classOf(sha1: string, status: "missing" | "corrupt"): keyof Report["lists"] {
    const { files, missingAtSource, corruptAtSource } = this.#options;
    const flags = files.flags[files.names.indexOf(sha1)] ?? 0;
    if ((flags & REFERENCE.regenerable) !== 0) return "regenerable";
    if (corruptAtSource?.has(sha1)) return "corruptAtSource";
    if (status === "corrupt") return "corrupt";
    return missingAtSource?.has(sha1) ? "missingAtSource" : "missing";
  }

  get lists(): Pick<
    FilesReport,
    "missing" | "missingAtSource" | "corrupt" | "corruptAtSource" | "regenerable"
  > {
    return this.#lists;
  }

  finish(): FilesReport {
    for (const list of Object.values(this.#lists)) list.sort();
    const { files, unknown = [] } = this.#options;
    return { referenced: files.names.size, ...this.#counts, ...this.#lists, unknown };
  }
}
