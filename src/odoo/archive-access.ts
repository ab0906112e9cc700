// Whether the account that runs a recovered server can read the archive. PostgreSQL refuses to run as root, so that a root's
// server runs as somebody else, and fetches its WAL as that user: an archive in a folder that only root may read would fail
// after the base backup is restored, with what PostgreSQL says about it. Looks at owners and modes; opens nothing.

import { existsSync, readdirSync, statSync, type Stats } from "node:fs";
import { dirname, join } from "node:path";
import { HoldfastError } from "../base/errors.ts";
import type { Archive } from "../postgres/archive.ts";
import type { ServerAccount } from "../postgres/server-process.ts";

/**
 * Throws STORAGE_DENIED when the archive is a folder in which `account` cannot read the segment that the recovery begins with.
 * Later ones are not looked at: whether they are needed is known when the target is reached.
 */
export function requireReadableArchive(
  { location }: Pick<Archive, "location">,
  { account, segment }: { readonly account: ServerAccount | undefined; readonly segment: string },
): void {
  if (account === undefined || !location.startsWith("/")) return;
  const wals = join(location, "wals");
  for (let folder = wals; ; folder = dirname(folder)) {
    const needed = folder === wals ? 0o5 : 0o1;
    if (!allows(statSync(folder, { throwIfNoEntry: false }), needed, account))
      throw denied(folder, account);
    if (folder === dirname(folder)) break;
  }
  for (const path of filesOf(wals, segment)) {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!allows(stats, stats?.isDirectory() === true ? 0o5 : 0o4, account))
      throw denied(path, account);
  }
}

/** The folder of a segment, and the segment in it, whatever it is compressed with. */
function filesOf(wals: string, segment: string): string[] {
  const folder = join(wals, segment.slice(0, 16));
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const own = names.filter((name) => name === segment || name.startsWith(`${segment}.`));
  return [folder, ...own.map((name) => join(folder, name))];
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
