// Deletes what a retention policy lets go of in an archive, and what is left over there
// (docs/formats/barman.md#deletion). What may go is decided by src/barman/expiry.ts, the order by
// src/barman/expiry-steps.ts. Never deletes what was not planned from a catalogue read just before, and never WAL of a
// backup that is still there.

import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import type { Catalogue } from "../barman/catalogue.ts";
import { ancestors, expirySteps, type ExpiryStep } from "../barman/expiry-steps.ts";
import { planExpiry, type ExpiryPlan } from "../barman/expiry.ts";
import { findLeftovers, type Leftover } from "../barman/leftovers.ts";
import type { RetentionPolicy } from "../barman/retention.ts";
import type { ListedObject } from "../barman/wal-listing.ts";
import { loadCatalogue, requireArchive, type Archive } from "./archive.ts";

export interface ExpireSettings {
  readonly policy: RetentionPolicy;
  /** So many backups stay in any case. */
  readonly minimum?: number;
  /** From which age what is left over may go; milliseconds. */
  readonly grace?: number;
}

/** What would go now, and why the rest stays. */
export interface ExpirePreview {
  readonly catalogue: Catalogue;
  readonly plan: ExpiryPlan;
  readonly leftovers: readonly Leftover[];
  readonly steps: readonly ExpiryStep[];
}

/** What could not be deleted, and what the storage said about it. */
export interface Refusal {
  /** The backup whose objects stay; undefined for WAL. */
  readonly backup: string | undefined;
  readonly path: string;
  readonly message: string;
}

export interface ExpireReport {
  /** The ids of backups and leftovers of which nothing is there any more. */
  readonly backups: readonly string[];
  readonly objects: number;
  readonly bytes: number;
  readonly refusals: readonly Refusal[];
}

/** In one request where the storage can. */
const BATCH = 1000;

interface Deletion {
  readonly archive: Archive;
  readonly signal?: AbortSignal | undefined;
  /** Called for what has just been deleted. */
  readonly onDeleted?: ((objects: readonly ListedObject[]) => void) | undefined;
}

/** Reads the archive and plans; `now` in milliseconds since 1970. Deletes nothing. Throws ARCHIVE_NOT_FOUND. */
export async function previewExpire(
  options: ExpireSettings & {
    readonly archive: Archive;
    readonly now: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<ExpirePreview> {
  const { archive, now, signal, grace, ...rest } = options;
  const catalogue = await loadCatalogue(archive, { now, signal });
  requireArchive(archive, catalogue);
  const plan = planExpiry({ ...rest, catalogue, now });
  const leftovers = findLeftovers(catalogue, { now, ...(grace !== undefined && { grace }) });
  return { catalogue, plan, leftovers, steps: expirySteps({ catalogue, plan, leftovers }) };
}

/**
 * Throws for an archive in which nothing may be deleted: ARCHIVE_FOREIGN when a backup.info has fields that nobody knows,
 * otherwise the error about what could not be read.
 */
export function requireDeletable({ catalogue, plan }: ExpirePreview, archive: Archive): void {
  if (plan.blocked === undefined) return;
  if (catalogue.readOnly) {
    throw new HoldfastError("ARCHIVE_FOREIGN", `${archive.location}: ${plan.blocked}`, {
      hint: "Let the program that writes these backups expire them, or use a newer Holdfast.",
    });
  }
  const [problem] = catalogue.problems;
  throw new HoldfastError(
    problem?.code ?? "BARMAN_INFO_DAMAGED",
    `nothing may be deleted in ${archive.location}: ${plan.blocked}`,
    {
      hint:
        problem?.hint ?? "Move that backup out of the archive, or make its backup.info readable.",
      cause: problem,
    },
  );
}

/**
 * Deletes what `shown` lets go of and a catalogue that is read once more still does. A backup that the storage refuses
 * to delete stays whole, with all its WAL; everything else goes on. Throws as `requireDeletable`.
 */
export async function expire(
  options: ExpireSettings &
    Deletion & {
      readonly shown: ExpirePreview;
      readonly now: () => number;
    },
): Promise<ExpireReport> {
  const { archive, shown, now, signal, onDeleted, ...settings } = options;
  // Somebody may have looked at the plan for a while.
  const fresh = await previewExpire({ ...settings, archive, now: now(), signal });
  requireDeletable(fresh, archive);
  const run = new Run({ archive, signal, onDeleted }, fresh.catalogue);
  const agreed = bothWant(shown.steps, fresh.steps);
  for (const step of agreed.filter(({ kind }) => kind === "info")) await run.takeInfo(step);
  for (const step of agreed.filter(({ kind }) => kind === "data")) await run.takeData(step);
  if (run.isSurprised) return run.report();
  const plan = planExpiry({
    ...settings,
    catalogue: fresh.catalogue,
    now: now(),
    stays: run.stays,
  });
  const { catalogue, leftovers } = fresh;
  const wal = expirySteps({ catalogue, plan, leftovers }).filter(({ kind }) => kind === "wal");
  for (const step of bothWant(agreed, wal)) await run.takeWal(step);
  return run.report();
}

/** The steps of `fresh`, without what is not in `shown`. */
function bothWant(shown: readonly ExpiryStep[], fresh: readonly ExpiryStep[]): ExpiryStep[] {
  const paths = new Set(shown.flatMap(({ objects }) => objects.map(({ path }) => path)));
  return fresh
    .map((step) => ({ ...step, objects: step.objects.filter(({ path }) => paths.has(path)) }))
    .filter(({ objects }) => objects.length > 0);
}

/** The deletions of one run. */
class Run {
  /** Backups that could not be deleted, and what they are built on. */
  readonly stays = new Set<string>();
  /** True when a backup appeared of which the catalogue does not know what it needs. */
  isSurprised = false;
  readonly #deletion: Deletion;
  readonly #byId: ReadonlyMap<string, Catalogue["backups"][number]>;
  readonly #touched = new Set<string>();
  readonly #refusals: Refusal[] = [];
  #objects = 0;
  #bytes = 0;

  constructor(deletion: Deletion, { backups }: Catalogue) {
    this.#deletion = deletion;
    this.#byId = new Map(backups.map((backup) => [backup.id, backup]));
  }

  report(): ExpireReport {
    const refused = new Set(this.#refusals.map(({ backup }) => backup));
    return {
      backups: [...this.#touched].filter((id) => !refused.has(id)).toSorted(),
      objects: this.#objects,
      bytes: this.#bytes,
      refusals: this.#refusals,
    };
  }

  /** Makes a backup none: from here on nobody takes its folder for one. */
  async takeInfo({ backup, objects }: ExpiryStep): Promise<void> {
    if (backup === undefined || this.stays.has(backup)) return;
    // Somebody may have asked for it meanwhile.
    const path = `base/${backup}/annotations/keep`;
    if (await this.#isThere(path)) {
      this.#stay({ backup, path, message: "it is kept now" });
      return;
    }
    const { storage } = this.#deletion.archive;
    const { signal } = this.#deletion;
    const [info] = objects;
    const content = info && (await this.#read(info.path));
    const refusal = await this.#take(objects, backup);
    if (refusal) this.#stay(refusal);
    else if (info && content && (await this.#isThere(path))) {
      // In the very moment: whoever asked for it may have been told that it is kept.
      await storage.put(info.path, content, { signal });
      this.#uncount(info);
      this.#stay({ backup, path, message: "it is kept now" });
    }
  }

  async takeData({ backup, objects }: ExpiryStep): Promise<void> {
    if (backup === undefined || this.stays.has(backup)) return;
    // What looked cut off may have come to its end meanwhile.
    const path = `base/${backup}/backup.info`;
    if (await this.#isThere(path)) {
      this.isSurprised = true;
      this.#stay({ backup, path, message: "it is a backup now" });
    } else await this.#take(objects, backup);
  }

  async takeWal({ objects }: ExpiryStep): Promise<void> {
    await this.#take(objects, undefined);
  }

  #stay(refusal: Refusal): void {
    const backup = this.#byId.get(refusal.backup ?? "");
    if (!this.#refusals.includes(refusal)) this.#refusals.push(refusal);
    if (refusal.backup !== undefined) this.stays.add(refusal.backup);
    // An increment is worth nothing without these.
    for (const id of backup ? ancestors(backup, this.#byId) : []) this.stays.add(id);
  }

  async #isThere(path: string): Promise<boolean> {
    const { archive, signal } = this.#deletion;
    return (await orMissing(archive.storage.stat(path, { signal }))) !== undefined;
  }

  async #read(path: string): Promise<Uint8Array | undefined> {
    const { archive, signal } = this.#deletion;
    return await orMissing(archive.storage.get(path, { signal }));
  }

  /** Deletes `objects` in their order, up to the first that the storage refuses to delete; that refusal. */
  async #take(
    objects: readonly ListedObject[],
    backup: string | undefined,
  ): Promise<Refusal | undefined> {
    for (let at = 0; at < objects.length; at += BATCH) {
      const batch = objects.slice(at, at + BATCH);
      const refusal = await this.#takeBatch(batch, backup);
      if (refusal) return refusal;
    }
    if (backup !== undefined) this.#touched.add(backup);
    return undefined;
  }

  async #takeBatch(
    batch: readonly ListedObject[],
    backup: string | undefined,
  ): Promise<Refusal | undefined> {
    const { archive, signal } = this.#deletion;
    const paths = batch.map(({ path }) => path);
    try {
      await archive.storage.deleteMany(paths, { signal });
      this.#count(batch);
      return undefined;
    } catch (error) {
      if (!isHoldfastError(error, "STORAGE_DENIED")) throw error;
    }
    // Some may be old enough to go where others are not: one at a time it shows which.
    for (const object of batch) {
      try {
        await archive.storage.delete(object.path, { signal });
        this.#count([object]);
      } catch (error) {
        if (!isHoldfastError(error, "STORAGE_DENIED")) throw error;
        const refusal = { backup, path: object.path, message: messageOf(error) };
        this.#refusals.push(refusal);
        return refusal;
      }
    }
    return undefined;
  }

  /** It is there again. */
  #uncount({ size }: ListedObject): void {
    this.#objects -= 1;
    this.#bytes -= size;
  }

  #count(objects: readonly ListedObject[]): void {
    this.#objects += objects.length;
    this.#bytes += objects.reduce((sum, { size }) => sum + size, 0);
    this.#deletion.onDeleted?.(objects);
  }
}

/** Undefined for what is not there. */
async function orMissing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return undefined;
    throw error;
  }
}
