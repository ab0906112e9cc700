// What a survey can tell beside the living: how far the server is ahead of the archive, and which files that rows refer to
// are at the source. Looks at names alone; whether contents are sound is for `verify`.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import type { Connection } from "../postgres/connection.ts";
import type { JointPosition } from "./capture-mark.ts";
import { readReferences } from "./read-references.ts";
import { REFERENCE } from "./references.ts";
import { Sha1Set } from "./sha1-set.ts";
import { EMPTY_SHA1, isSha1, isStoreFolder } from "./store-name.ts";

export interface LiveSurvey {
  readonly database: string;
  readonly position: JointPosition;
  /** Files that rows refer to, and rows whose content is somewhere else. */
  readonly referenced: number;
  readonly elsewhere: number;
  /** Referenced files that the filestore does not have; undefined when no filestore was named. */
  readonly missing: readonly string[] | undefined;
  /** How many of the missing are bundles that Odoo makes again. */
  readonly regenerable: number;
}

/** Asks the database, and looks into the filestore when one is named. */
export async function surveyLive(options: {
  readonly connection: Connection;
  readonly filestore: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<LiveSurvey> {
  const { connection, filestore, signal } = options;
  const { database, position, files, external, cloud } = await readReferences(connection, {
    signal,
  });
  const elsewhere = [...external.values()].reduce((sum, count) => sum + count, cloud);
  const common = { database, position, referenced: files.names.size, elsewhere };
  if (filestore === undefined) return { ...common, missing: undefined, regenerable: 0 };
  // Rows first, names after: a file that is written meanwhile is there, and one that goes is not referred to for long.
  const there = await listNames(filestore, signal);
  const missing: string[] = [];
  let regenerable = 0;
  for (const sha1 of files.names) {
    if (sha1 === EMPTY_SHA1 || there.has(sha1)) continue;
    missing.push(sha1);
    const flags = files.flags[files.names.indexOf(sha1)]!;
    if ((flags & REFERENCE.regenerable) !== 0) regenerable++;
  }
  return { ...common, missing, regenerable };
}

/** The names of all files of a filestore. Throws SOURCE_MISSING, SOURCE_UNREADABLE. */
async function listNames(folder: string, signal: AbortSignal | undefined): Promise<Sha1Set> {
  const names = new Sha1Set();
  for (const one of await list(folder)) {
    throwIfCancelled(signal);
    if (!isStoreFolder(one)) continue;
    // A folder that has gone meanwhile had nothing in it.
    for (const name of await list(join(folder, one), ["ENOENT", "ENOTDIR"]))
      if (isSha1(name)) names.add(name);
  }
  return names;
}

async function list(folder: string, passing: readonly string[] = []): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (passing.includes(errnoOf(error) ?? "")) return [];
    const code = errnoOf(error) === "ENOENT" ? "SOURCE_MISSING" : "SOURCE_UNREADABLE";
    throw new HoldfastError(code, `the filestore cannot be listed: ${messageOf(error)}`, {
      hint: "Name the folder that holds ab/ab12…, and run as a user who may read it.",
      cause: error,
    });
  }
}
