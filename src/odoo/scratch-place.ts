// A folder for what is thrown away: a database and files that are recovered to be looked at. It is removed whatever happens; what
// a killed process left behind is removed by the next one, which can tell that its owner is gone: a socket in it has a listener
// as long as that lives, in whatever container, and a number of a process may be somebody else's by then. Nothing that has no
// mark of ours is ever removed.

import { chown, lstat, mkdtemp, readdir, readFile, rm, statfs, writeFile } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { HoldfastError, errnoOf, messageOf } from "../base/errors.ts";
import { objectIn } from "../base/json-object.ts";
import type { Machine } from "../repository/repository.ts";
import type { ServerAccount } from "../postgres/server-process.ts";

/** Short, because the path of a server's socket has to be. */
const PREFIX = "holdfast-scratch-";
const MARK = ".holdfast-scratch.json";
const ALIVE = ".alive";
/** Bytes of the path of a socket. */
const SOCKET_PATH_MAX = 103;

type Owner = Pick<Machine, "hostname" | "pid" | "uid" | "isAlive">;

export interface ScratchPlace extends AsyncDisposable {
  readonly path: string;
  /** Removes it with all that is in it. */
  remove(): Promise<void>;
}

export interface ScratchPlaceOptions {
  /** The folder to make it in. */
  readonly parent: string;
  readonly machine: Owner;
  /** Who may enter it beside root: whoever the server runs as. */
  readonly account: ServerAccount | undefined;
}

/** Makes a place that only its owner may enter. Throws TARGET_UNWRITABLE. */
export async function makeScratchPlace(options: ScratchPlaceOptions): Promise<ScratchPlace> {
  const { parent, machine, account } = options;
  let path: string | undefined;
  let listener: Server | undefined;
  const remove = async (): Promise<void> => {
    if (path !== undefined) await removeAll(path);
    listener?.close();
  };
  try {
    path = await mkdtemp(join(parent, PREFIX));
    const { hostname, pid } = machine;
    listener = await listenIn(path);
    await writeFile(join(path, MARK), JSON.stringify({ hostname, pid }), { mode: 0o600 });
    if (account) await chown(path, account.uid, account.gid);
    return { path, remove, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove().catch(() => {});
    throw new HoldfastError(
      "TARGET_UNWRITABLE",
      `no scratch folder can be made in ${parent}: ${messageOf(error)}`,
      { hint: "Name a folder that this user may write with --scratch.", cause: error },
    );
  }
}

/** Removes the places whose owners are gone; their paths. What cannot be removed is left. */
export async function removeLeftPlaces(options: {
  readonly parent: string;
  readonly machine: Owner;
  readonly account: ServerAccount | undefined;
}): Promise<string[]> {
  const { parent, machine, account } = options;
  const removed: string[] = [];
  let names: string[];
  try {
    names = await readdir(parent);
  } catch {
    return removed;
  }
  for (const name of names.filter((each) => each.startsWith(PREFIX))) {
    const path = join(parent, name);
    if (!(await isLeft(path, machine, account))) continue;
    try {
      await removeAll(path);
      removed.push(path);
    } catch {
      // Somebody else's turn, or never: it is in nobody's way but for its size.
    }
  }
  return removed;
}

/** True for a folder of ours whose process is proved to be gone. */
async function isLeft(
  path: string,
  machine: Owner,
  account: ServerAccount | undefined,
): Promise<boolean> {
  try {
    const stats = await lstat(path);
    // In a folder that all may write, anybody can make one of that name.
    const isOurs = stats.uid === machine.uid || stats.uid === account?.uid;
    if (!stats.isDirectory() || !isOurs) return false;
    const mark = objectIn(await readFile(join(path, MARK), "utf8"));
    const { hostname, pid } = mark ?? {};
    if (hostname !== machine.hostname || typeof pid !== "number") return false;
    const isListening = await hasListener(join(path, ALIVE));
    if (isListening !== undefined) return !isListening;
    return pid !== machine.pid && !machine.isAlive(pid);
  } catch {
    return false;
  }
}

/** Listens on a socket in the folder for as long as this process lives; undefined where its path is too long. */
async function listenIn(folder: string): Promise<Server | undefined> {
  const path = join(folder, ALIVE);
  if (Buffer.byteLength(path) > SOCKET_PATH_MAX) return undefined;
  const server = createServer((socket) => socket.destroy());
  // That somebody looked must not keep us, or end us.
  server.unref();
  return await new Promise((resolve) => {
    // Not every file system has sockets.
    server.once("error", () => resolve(undefined));
    server.listen(path, () => resolve(server));
  });
}

/** Whether anybody listens; undefined when there is no socket, or nobody can tell. */
async function hasListener(path: string): Promise<boolean | undefined> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error) => {
      const errno = errnoOf(error);
      resolve(errno === "ECONNREFUSED" ? false : errno === "ENOENT" ? undefined : true);
    });
  });
}

async function removeAll(path: string): Promise<void> {
  // A server that is just ending may still write.
  await rm(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}

/**
 * Throws TARGET_UNWRITABLE when `bytes` do not fit into what is free at `path`. A file system that does not tell is taken to
 * have room.
 */
export async function requireSpace(path: string, bytes: number): Promise<void> {
  let free: number;
  try {
    const { bavail, bsize } = await statfs(path);
    free = bavail * bsize;
  } catch (error) {
    if (errnoOf(error) === "ENOSYS") return;
    throw error;
  }
  if (free >= bytes) return;
  throw new HoldfastError(
    "TARGET_UNWRITABLE",
    `${path} has ${mebibytes(free)} free, and this takes about ${mebibytes(bytes)}`,
    { hint: "Name a folder with more room with --scratch, or read fewer files with --sample." },
  );
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
