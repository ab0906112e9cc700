// Whether the account that runs a recovered server can read the archive. PostgreSQL refuses to run as root, so that a root's
// server runs as somebody else, and fetches its WAL as that user: an archive in a folder that only root may read would fail
// after the base backup is restored, with what PostgreSQL says about it. Looks at owners and modes; opens nothing.

import { readdirSync, statSync, type Stats } from "node:fs";
import { dirname, join } from "node:path";
import { HoldfastError } from "../base/errors.ts";
import type { Archive } from "../postgres/archive.ts";
import type { ServerAccount } from "../postgres/server-process.ts";

/** Throws STORAGE_DENIED when the archive is a folder in which `account` cannot read the newest WAL. */
export function requireReadableArchive(
  { location }: Pick<Archive, "location">,
  account: ServerAccount | undefined,
): void {
  if (account === undefined || !location.startsWith("/")) return;
  const wals = join(location, "wals");
  for (let folder = wals; ; folder = dirname(folder)) {
    const needed = folder === wals ? 0o5 : 0o1;
    if (!allows(statSync(folder, { throwIfNoEntry: false }), needed, account))
      throw denied(folder, account);
    if (folder === dirname(folder)) break;
  }
  for (const path of newestFiles(wals)) {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!allows(stats, stats?.isDirectory() === true ? 0o5 : 0o4, account))
      throw denied(path, account);
  }
}

/** The folder of the newest segments, and what lies in it. */
function newestFiles(wals: string): string[] {
  const isThere = statSync(wals, { throwIfNoEntry: false })?.isDirectory() === true;
  const newest = (isThere ? readdirSync(wals) : [])
    .filter((name) => /^[0-9A-F]{16}$/.test(name))
    .toSorted()
    .at(-1);
  if (newest === undefined) return [];
  const folder = join(wals, newest);
  return [
    folder,
    ...readdirSync(folder)
      .filter(isSegment)
      .map((name) => join(folder, name)),
  ];
}

/** Uploads that are under way have other names. */
function isSegment(name: string): boolean {
  return /^[0-9A-F]{24}(?:\.|$)/.test(name);
}

/** By the mode alone: where an access list says more, PostgreSQL will tell. What is not there is told by others. */
function allows(stats: Stats | undefined, needed: number, account: ServerAccount): boolean {
  if (stats === undefined) return true;
  const { uid, gid, mode } = stats;
  const shift = uid === account.uid ? 6 : gid === account.gid ? 3 : 0;
  return ((mode >> shift) & needed) === needed;
}

function denied(path: string, { uid }: ServerAccount): HoldfastError {
  return new HoldfastError(
    "STORAGE_DENIED",
    `PostgreSQL does not run as root, and user ${uid}, who will run it, cannot read the archive: ${path}`,
    {
      hint: `Run Holdfast as a user that is not root and owns the archive, from \`pg receive\` on; or let user ${uid} read it.`,
    },
  );
}
