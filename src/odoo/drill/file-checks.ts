// The files of a drill: every file that rows refer to is looked for in the pool, and all of them, or a sample, are recovered as a
// recovery would do it: read, hashed and written.

import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { Random } from "../../base/clock.ts";
import type { Progress } from "../../base/progress.ts";
import type { ServerAccount } from "../../postgres/server-process.ts";
import type { Repository } from "../../repository/repository.ts";
import { openPool, type Pool } from "../pool.ts";
import { recoverFiles, type FilesReport, type Names } from "../recover-files.ts";
import { REFERENCE, type FileReferences, type References } from "../references.ts";
import { requireSpace } from "../scratch-place.ts";
import { NAMES_MAX, type DrillCheck, type DrillFiles, type LostKind } from "./report.ts";
import { chooseSample } from "./rotation.ts";

/** What captures recorded about the source. */
export interface LostNames {
  readonly missing: Names;
  readonly corrupt: Names;
}

export interface FileCheckOptions {
  readonly repository: Repository;
  readonly captures: Repository | undefined;
  readonly lost: LostNames;
  readonly references: References;
  /** Where they are written. */
  readonly folder: string;
  readonly sample?: number | undefined;
  readonly after?: string | undefined;
  readonly account: ServerAccount | undefined;
  readonly random: Random;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

export async function checkFiles(
  options: FileCheckOptions,
): Promise<{ checks: DrillCheck[]; files: DrillFiles }> {
  const { repository, captures, references, folder, sample, after, lost, signal } = options;
  const damage: string[] = [];
  const torn: string[] = [];
  const pool = await openPool({
    sources: [
      { repository, kind: "snapshots" },
      ...(captures === undefined ? [] : [{ repository: captures, kind: "captures" as const }]),
    ],
    wanted: references.files.names,
    onDamage: (what, error) => {
      // A full snapshot reads files while Odoo writes them; a capture holds whole ones only.
      const isTorn = error.code === "ODOO_FILE_TORN" && what.includes(" in snapshot ");
      (isTorn ? torn : damage).push(`${what}: ${error.message}`);
    },
    signal,
  });
  const absent = absentFiles(references.files, pool, lost);
  const chosen = chooseSample(references.files, {
    budget: sample,
    after,
    isThere: (sha1) => pool.has(sha1),
  });
  await mkdir(dirname(folder), { recursive: true });
  await requireSpace(dirname(folder), chosen.bytes);
  const report = await recoverFiles({
    files: chosen.files,
    pool,
    folder,
    missingAtSource: lost.missing,
    corruptAtSource: lost.corrupt,
    account: options.account,
    durable: false,
    random: options.random,
    progress: options.progress,
    signal,
  });
  const files = filesOf({ references, absent, report, rotation: chosen.rotation });
  return {
    files,
    checks: [presence(files, references.unknown.length), content(files, { damage, torn })],
  };
}

type Lists = Record<LostKind, string[]>;

/** What is nowhere in the pool, by kind. */
function absentFiles(files: FileReferences, pool: Pool, lost: LostNames): Lists {
  const lists: Lists = {
    missing: [],
    corrupt: [],
    missing_at_source: [],
    corrupt_at_source: [],
    regenerable: [],
  };
  let number = 0;
  for (const sha1 of files.names) {
    const flags = files.flags[number++]!;
    if (pool.has(sha1)) continue;
    if ((flags & REFERENCE.regenerable) !== 0) lists.regenerable.push(sha1);
    else if (lost.corrupt.has(sha1)) lists.corrupt_at_source.push(sha1);
    else if (lost.missing.has(sha1)) lists.missing_at_source.push(sha1);
    else lists.missing.push(sha1);
  }
  return lists;
}

function filesOf(parts: {
  readonly references: References;
  readonly absent: Lists;
  readonly report: FilesReport;
  readonly rotation: string | null;
}): DrillFiles {
  const { references, absent, report, rotation } = parts;
  const { names, sizes } = references.files;
  const lists: Lists = {
    missing: [...absent.missing, ...report.missing],
    corrupt: [...absent.corrupt, ...report.corrupt],
    missing_at_source: [...absent.missing_at_source, ...report.missingAtSource],
    corrupt_at_source: [...absent.corrupt_at_source, ...report.corruptAtSource],
    regenerable: [...absent.regenerable, ...report.regenerable],
  };
  const counts = Object.fromEntries(
    Object.entries(lists).map(([kind, list]) => [kind, list.length]),
  ) as Record<LostKind, number>;
  const listed = Object.fromEntries(
    Object.entries(lists).map(([kind, list]) => [kind, list.toSorted().slice(0, NAMES_MAX)]),
  ) as Lists;
  const nowhere = Object.values(absent).reduce((sum, list) => sum + list.length, 0);
  return {
    referenced: names.size,
    referenced_bytes: sizes.reduce((sum, size) => sum + Math.max(0, size), 0),
    present: names.size - nowhere,
    read: report.ok,
    read_bytes: report.bytes,
    ...listed,
    counts,
    rotation,
    external: [...references.external.values()].reduce((sum, n) => sum + n, references.cloud),
  };
}

function presence({ referenced, present, counts }: DrillFiles, unknown: number): DrillCheck {
  const { missing, missing_at_source: lost, regenerable } = counts;
  const parts = [`${present} of ${referenced} files that rows refer to are in the backups`];
  if (missing > 0) parts.push(`${missing} are missing`);
  if (lost > 0) parts.push(`${lost} were missing at the source already`);
  if (regenerable > 0) parts.push(`${regenerable} are bundles that Odoo makes again`);
  if (unknown > 0) parts.push(`${unknown} names in rows mean nothing and were not looked for`);
  return {
    name: "references",
    result: missing > 0 ? "failed" : unknown > 0 ? "not checked" : "ok",
    detail: parts.join(", "),
  };
}

function content(
  files: DrillFiles,
  { damage, torn }: { damage: readonly string[]; torn: readonly string[] },
): DrillCheck {
  const { referenced, referenced_bytes: bytes, read, read_bytes: readBytes, counts } = files;
  const parts = [
    `${read} of ${referenced} files (${readBytes} of ${bytes} bytes) read, hashed and written`,
  ];
  if (counts.corrupt > 0) parts.push(`${counts.corrupt} have no good copy`);
  if (counts.corrupt_at_source > 0)
    parts.push(`${counts.corrupt_at_source} were corrupt at the source already`);
  if (torn.length > 0) parts.push(`${torn.length} torn copies in full snapshots were passed over`);
  if (damage.length > 0) parts.push(`damage was found: ${damage.slice(0, 3).join("; ")}`);
  const isBad = counts.corrupt > 0 || damage.length > 0;
  const nothing = read === 0 && referenced > 0 && !isBad;
  return {
    name: "content",
    result: isBad ? "failed" : nothing ? "not checked" : "ok",
    detail: parts.join(", "),
  };
}
