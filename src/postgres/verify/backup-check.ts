// The tars of one backup, read to their ends (docs/formats/barman.md#tars): every file against the manifest where there is
// one. Memory holds a few pieces of each tar that is being read, and the paths of the manifest.

import { parseManifest, type BackupManifest } from "../../barman/backup-manifest.ts";
import { manifestOf, tarsToRestore, type BackupTar } from "../../barman/backup-tars.ts";
import type { CatalogueBackup } from "../../barman/catalogue-backup.ts";
import { readObjectName } from "../../barman/layout.ts";
import type { ListedObject } from "../../barman/wal-listing.ts";
import { eachLimit } from "../../base/concurrency.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { Progress } from "../../base/progress.ts";
import { getStream } from "../../storage/get-stream.ts";
import type { Archive } from "../archive.ts";
import { decompressStream } from "../wal-codec.ts";
import { ContentCheck } from "./content-check.ts";
import type { Findings } from "./findings.ts";

/** A million files make 200 MB. */
const MANIFEST_MAX = 2 ** 31 - 1;

const OF_CONTENT = ["BACKUP_DAMAGED", "STORAGE_NOT_FOUND", "STORAGE_FAILED"] as const;

export interface BackupCheck {
  readonly archive: Archive;
  readonly findings: Findings;
  readonly progress: Progress;
  readonly parallel: number;
  readonly signal?: AbortSignal | undefined;
}

export interface BackupOutcome {
  /** Every file could be held against a checksum. */
  readonly isSummed: boolean;
  readonly files: number;
  /** Of the files, without compression. */
  readonly bytes: number;
  /** What we may not read; empty when everything could be read. */
  readonly denied: readonly string[];
}

/** The tars of a backup, and its manifest, as they are stored. */
export function contentOf(backup: CatalogueBackup): ListedObject[] {
  const manifest = manifestOf(backup);
  const tars = backup.objects.filter(({ path }) => readObjectName(path).kind === "tar");
  return manifest === undefined ? tars : [manifest, ...tars];
}

/** Reads all of the content of `backup`, which has a backup.info. */
export async function checkBackup(
  backup: CatalogueBackup,
  check: BackupCheck,
): Promise<BackupOutcome> {
  const { findings, progress, parallel, signal } = check;
  const denied: string[] = [];
  const tolerant = async (path: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (isHoldfastError(error, "STORAGE_DENIED")) denied.push(path);
      else if (isHoldfastError(error, ...OF_CONTENT)) {
        findings.add(error.message);
        progress.failed();
      } else throw error;
    }
  };
  let manifest: BackupManifest | undefined;
  const object = manifestOf(backup);
  if (object) {
    await tolerant(object.path, async () => {
      manifest = await readManifest(object, check);
    });
    progress.done({ files: 1, bytes: object.size });
  }
  const content = new ContentCheck({ info: backup.info!, manifest, findings });
  let isWhole = false;
  await tolerant(backup.id, async () => {
    const tars = tarsToRestore(backup);
    let whole = 0;
    await eachLimit(
      tars,
      parallel,
      async (tar, _, within) =>
        await tolerant(tar.object.path, async () => {
          await readTar(tar, content, { ...check, signal: within });
          whole++;
        }),
      { signal },
    );
    isWhole = whole === tars.length;
  });
  // Of a tar that stopped in the middle, everything behind it would be missing too.
  if (isWhole) content.finish();
  const sums = manifest === undefined ? [] : [...manifest.files.values()];
  const isSummed = manifest !== undefined && sums.every(({ algorithm }) => algorithm !== "NONE");
  return { isSummed, files: content.files, bytes: content.bytes, denied };
}

async function readManifest(
  { path, size }: ListedObject,
  { archive, signal }: BackupCheck,
): Promise<BackupManifest> {
  if (size > MANIFEST_MAX) {
    throw new HoldfastError("BACKUP_DAMAGED", `${path} has ${size} bytes, too many for a manifest`);
  }
  return parseManifest(await archive.storage.get(path, { signal }), path);
}

async function readTar(
  { name, object }: BackupTar,
  content: ContentCheck,
  { archive, progress, signal }: BackupCheck,
): Promise<void> {
  const { path, size } = object;
  const tar = content.startTar(name.oid, path);
  const stored = getStream(archive.storage, path, { size, signal });
  const counted = (async function* (): AsyncGenerator<Uint8Array, void> {
    for await (const piece of stored) {
      yield piece;
      progress.done({ bytes: piece.length });
    }
  })();
  progress.now(path);
  const { compression } = name;
  const options = { compression, source: path, code: "BACKUP_DAMAGED" } as const;
  for await (const piece of decompressStream(counted, options)) tar.push(piece);
  tar.finish();
  progress.done({ files: 1 });
}
