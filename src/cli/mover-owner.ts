// Whose files they are, looked up before anything is written, by a mover whose user is a guess of the operator's: it alone can look into
// the repository and the volume. Where they are somebody else's it ends, and says whose; the operator starts it again as that user.
//
// It looks at a part: enough to tell the owner, not so much that a large volume waits.

import { accessSync, constants, lstatSync, readdirSync } from "node:fs";
import type { Stats } from "node:fs";
import { HoldfastError } from "../base/errors.ts";
import { joinPath, nativePath } from "../files/entry-table.ts";
import { GUESSED, IDENTITY, VARIABLE } from "../operator/mover-variables.ts";
import type { FileOwner } from "../operator/mover-verdict.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { textToByteString } from "../restic/byte-string.ts";
import { decodeTree } from "../restic/tree.ts";
import type { FoundSnapshot } from "../repository/snapshots.ts";
import type { Mover } from "./mover-run.ts";

/** Each directory of a snapshot may be a request to its storage. */
const TREES_MAX = 64;
const ENTRIES_MAX = 20_000;
/** Kubernetes takes no higher number; some file systems have them. */
const ID_MAX = 2 ** 31 - 1;
/** As VolSync leaves it out: root's, and of the file system. */
const LEFT_OUT = "lost+found";

class OwnerCount {
  readonly #counts = new Map<string, number>();
  total = 0;

  add({ uid, gid }: FileOwner): void {
    const key = `${uid}:${gid}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    this.total++;
  }

  /** Who owns most; the entries of others. */
  most(): { readonly owner: FileOwner; readonly others: number } | undefined {
    const [first] = [...this.#counts].toSorted(([, a], [, b]) => b - a);
    if (first === undefined) return undefined;
    const [uid = 0, gid = 0] = first[0].split(":").map(Number);
    return { owner: { uid, gid }, others: this.total - first[1] };
  }
}

/**
 * Before a restore that cannot give files to their owners: throws OTHER_OWNER when most are another's than the mover's. Warns of
 * what remains: files of several owners, and of root where no mover may be root.
 */
export async function lookBeforeRestore(
  mover: Mover,
  reader: BlobReader,
  { snapshot }: FoundSnapshot,
  signal: AbortSignal,
): Promise<void> {
  const kind = mover.environment[VARIABLE.identity] ?? "";
  if (!GUESSED.has(kind) && kind !== IDENTITY.owner) return;
  const count = await ownersOf(reader, snapshot.tree, signal);
  const most = count.most();
  if (most === undefined) return;
  const { owner, others } = most;
  if (!isOurs(mover, owner) && kind !== IDENTITY.owner && mayBecome(mover, owner)) {
    throw otherOwner(mover, owner);
  }
  const foreign = isOurs(mover, owner) ? others : count.total;
  if (foreign === 0) return;
  const { uid, gid } = mover.context.machine;
  const whose = isOurs(mover, owner) ? "several users" : `${owner.uid}:${owner.gid}`;
  mover.warn(
    new HoldfastError(
      "OTHER_OWNER",
      `of ${count.total} files and directories that were looked at in the snapshot, ${foreign} belong to others than ${uid}:${gid}, as whom all are restored: they are of ${whose}`,
      {
        hint: 'To restore owners, allow privileged movers in the namespace (annotation volsync.backube/privileged-movers: "true"), or set moverSecurityContext to the owner that matters.',
      },
    ),
  );
}

async function ownersOf(
  reader: BlobReader,
  tree: FoundSnapshot["snapshot"]["tree"],
  signal: AbortSignal,
): Promise<OwnerCount> {
  const count = new OwnerCount();
  const trees = [tree];
  for (let read = 0; read < trees.length && read < TREES_MAX; read++) {
    for (const node of decodeTree(await reader.read("tree", trees[read]!, signal))) {
      if (read === 0 && node.name === LEFT_OUT) continue;
      if (count.total >= ENTRIES_MAX) return count;
      count.add(node);
      if (node.subtree !== null) trees.push(node.subtree);
    }
  }
  return count;
}

/** Before a backup: throws OTHER_OWNER when there is something that the mover cannot read, and its owner could. */
export function lookBeforeBackup(mover: Mover): void {
  if (!GUESSED.has(mover.environment[VARIABLE.identity] ?? "")) return;
  const most = ownersOfUnreadable(textToByteString(mover.dataFolder)).most();
  if (most === undefined || isOurs(mover, most.owner)) return;
  if (mayBecome(mover, most.owner)) throw otherOwner(mover, most.owner);
}

function ownersOfUnreadable(folder: string): OwnerCount {
  const count = new OwnerCount();
  const folders = [folder];
  let seen = 0;
  if (!isReadable(folder, lstatSync(nativePath(folder)))) count.add(lstatSync(nativePath(folder)));
  for (let read = 0; read < folders.length && seen < ENTRIES_MAX; read++) {
    const parent = folders[read]!;
    for (const name of namesIn(parent)) {
      if (read === 0 && name === LEFT_OUT) continue;
      if (++seen > ENTRIES_MAX) break;
      const path = joinPath(parent, name);
      const stat = lstatSync(nativePath(path), { throwIfNoEntry: false });
      if (stat === undefined) continue;
      const readable = isReadable(path, stat);
      if (!readable) count.add(stat);
      else if (stat.isDirectory()) folders.push(path);
    }
  }
  return count;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(nativePath(folder), { encoding: "latin1" });
  } catch {
    return [];
  }
}

function isReadable(path: string, stat: Stats): boolean {
  if (!stat.isDirectory() && !stat.isFile()) return true;
  const { R_OK, X_OK } = constants;
  try {
    accessSync(nativePath(path), stat.isDirectory() ? R_OK | X_OK : R_OK);
    return true;
  } catch {
    return false;
  }
}

function isOurs({ context: { machine } }: Mover, { uid, gid }: FileOwner): boolean {
  return machine.uid === uid && machine.gid === gid;
}

function mayBecome({ environment }: Mover, { uid, gid }: FileOwner): boolean {
  if (Math.max(uid, gid) > ID_MAX) return false;
  return uid !== 0 || environment[VARIABLE.rootAllowed] === "1";
}

/** Fills in whose files they are. */
function otherOwner({ context: { machine }, facts }: Mover, owner: FileOwner): HoldfastError {
  facts.owner = owner;
  return new HoldfastError(
    "OTHER_OWNER",
    `the files belong to ${owner.uid}:${owner.gid}, and this mover is ${machine.uid}:${machine.gid}`,
    { hint: "The operator starts it again as that user. By hand, run it as that user." },
  );
}

/** What helps where files cannot be read or written. */
export function rightsHint({ environment }: Mover): string {
  if (environment[VARIABLE.identity] !== IDENTITY.unprivileged) {
    return "Set moverSecurityContext to the user and group that own the files, or allow privileged movers in the namespace.";
  }
  const namespace = (environment[VARIABLE.claim] ?? "").split("/")[0] || "NAMESPACE";
  return `The application runs as root, which movers of this namespace may not. To allow it: kubectl label namespace ${namespace} pod-security.kubernetes.io/enforce=baseline --overwrite. Or set moverSecurityContext to a user who can read the files.`;
}
