// A PostgreSQL server as a child of this process, for as long as we want it: started as an account that is not root, with
// its log in our memory, and stopped for certain. A shell of the same account stands between: it stops the server when
// its standard input ends, and that ends with us however we end, by SIGKILL too. Never runs a server as root.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { HoldfastError, messageOf } from "../base/errors.ts";

/** Whom a server runs as; undefined is whoever we are. */
export interface ServerAccount {
  readonly uid: number;
  readonly gid: number;
}

export interface ServerProcessOptions {
  /** Path of the program `postgres`. */
  readonly program: string;
  readonly dataDirectory: string;
  /** Settings of the command line, which win over those in files. */
  readonly settings: Readonly<Record<string, string>>;
  readonly account: ServerAccount | undefined;
  /** The server's own folder for its socket and what else it needs, from `makeServerFolder`; removed when it ends. */
  readonly folder: string;
  /** Removed, too, when this process is gone and can do it no more: a data directory that nobody would ever use. */
  readonly removeWhenOrphaned?: string;
  /** Environment of the server and of the commands that it runs; nothing else is in it. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Called for every line of the log. */
  readonly onLine?: (line: string) => void;
}

/**
 * How a server is stopped: `fast` ends sessions and writes a checkpoint, `immediate` does neither, `kill` is SIGKILL to the
 * server, as if the machine had stopped.
 */
export type StopMode = "fast" | "immediate" | "kill";

export interface ServerProcess {
  /** The folder with the socket. */
  readonly folder: string;
  /** The end of the log. */
  log(): string;
  /** Resolves when the server has ended, with its exit status; 128 and more is a signal. */
  readonly exited: Promise<number>;
  readonly hasExited: boolean;
  /** Stops the server and waits for its end; does nothing when it has ended. */
  stop(mode?: StopMode): Promise<void>;
}

/** A socket's path has room for 107 bytes, and its own name takes 20 of them. */
const FOLDER_BYTES_MAX = 87;
const LOG_LINES = 400;
const SIGNALS: Readonly<Record<StopMode, string>> = {
  fast: "INT",
  immediate: "QUIT",
  kill: "KILL",
};

/**
 * Arguments: the folder to remove at the end, one to remove if we are gone by then, or "", then the command. Standard input:
 * how to stop; its end alone means that we are gone.
 */
const SUPERVISOR = `
folder=$1; orphan=$2; shift 2
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
trap 'kill -INT $server' TERM HUP INT
(
  trap - TERM HUP INT
  read -r how <&3 || { how=INT; : >"$folder/orphaned"; }
  kill -"$how" $server
  tries=0
  while kill -0 $server; do
    tries=$((tries + 1))
    [ $tries -eq 600 ] && kill -QUIT $server
    [ $tries -eq 700 ] && kill -KILL $server
    sleep 0.1
  done
) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait $server; status=$?
while kill -0 $server 2>/dev/null; do wait $server; status=$?; done
kill $watcher 2>/dev/null
[ -z "$orphan" ] || [ ! -e "$folder/orphaned" ] || rm -rf -- "$orphan"
rm -rf -- "$folder"
exit $status
`;

/**
 * Makes the private folder of one server below `temporary`, owned by `account`. Throws TARGET_UNWRITABLE when the path is too
 * long for a socket or the folder cannot be made.
 */
export function makeServerFolder(temporary: string, account: ServerAccount | undefined): string {
  let folder: string;
  try {
    folder = mkdtempSync(join(temporary, "holdfast-pg-"));
    if (account) chownSync(folder, account.uid, account.gid);
  } catch (error) {
    throw new HoldfastError(
      "TARGET_UNWRITABLE",
      `cannot make a folder for a PostgreSQL server in ${temporary}`,
      { hint: "Name a temporary folder that this user may write.", cause: error },
    );
  }
  if (Buffer.byteLength(folder) <= FOLDER_BYTES_MAX) return folder;
  rmSync(folder, { recursive: true });
  throw new HoldfastError(
    "TARGET_UNWRITABLE",
    `the temporary folder ${temporary} has a path that is too long for a socket`,
    { hint: `Name one of at most ${FOLDER_BYTES_MAX - 18} bytes.` },
  );
}

/** Starts the server. It is running, but not yet ready, when this returns; it may as well end at once. */
export function startServerProcess(options: ServerProcessOptions): ServerProcess {
  const { program, dataDirectory, settings, account, folder, environment = {}, onLine } = options;
  const { removeWhenOrphaned = "" } = options;
  const words = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const command = [program, "-D", dataDirectory, ...words];
  const child = spawn("/bin/sh", ["-c", SUPERVISOR, "sh", folder, removeWhenOrphaned, ...command], {
    // Out of reach of the terminal: an interrupt is ours to handle, and then ends the server in order.
    detached: true,
    cwd: folder,
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C", ...environment },
    stdio: ["pipe", "ignore", "pipe"],
    ...(account ? { uid: account.uid, gid: account.gid } : {}),
  });
  const lines: string[] = [];
  createInterface({ input: child.stderr! }).on("line", (line) => {
    lines.push(line);
    if (lines.length > LOG_LINES) lines.shift();
    onLine?.(line);
  });
  // A server that has ended no longer listens to how it should end.
  child.stdin!.on("error", () => {});
  let hasExited = false;
  const exited = ended(child)
    .catch((error: unknown) => {
      // Whoever waits for its answer has to hear that it could not be started at all.
      lines.push(`FATAL:  ${messageOf(error)}: ${messageOf((error as HoldfastError).cause)}`);
      throw error;
    })
    .finally(() => {
      hasExited = true;
      rmSync(folder, { recursive: true, force: true });
    });
  exited.catch(() => {});
  return {
    folder,
    log: () => lines.join("\n"),
    exited,
    get hasExited() {
      return hasExited;
    },
    async stop(mode = "fast") {
      if (!hasExited) child.stdin!.end(`${SIGNALS[mode]}\n`);
      await exited;
    },
  };
}

async function ended(child: ChildProcess): Promise<number> {
  try {
    // "close" comes when the log has been read to its end.
    const [code, signal] = (await once(child, "close")) as [number | null, string | null];
    return code ?? (signal === null ? 1 : 137);
  } catch (error) {
    throw new HoldfastError("POSTGRES_FAILED", `a PostgreSQL server could not be started`, {
      hint: "Make sure that this user may run /bin/sh and change to the server's account.",
      cause: error,
    });
  }
}

/** Lines that a server writes itself; commands that it runs write without this. */
const OWN_LINE =
  /\b(?:DEBUG\d?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|CONTEXT|STATEMENT|LOCATION|QUERY):  /;

/**
 * What a log says of the reason why its server ended: the last fatal line, what belongs to it, and what a command that the
 * server ran said right before. The end of the log when there is no such line.
 */
export function fatalReason(log: string): string {
  // What it answers to those who ask whether it is there yet is no reason.
  const lines = log
    .split("\n")
    .filter(
      (line) => !/\bFATAL: {2}the database system is |Consistent recovery state has/.test(line),
    );
  const at = lines.findLastIndex((line) => /\b(FATAL|PANIC):  /.test(line));
  if (at === -1) return lines.slice(-3).join("; ").trim();
  const more = lines
    .slice(at + 1, at + 4)
    .filter((line) => /\b(DETAIL|HINT):  /.test(line))
    .map((line) => line.replace(/^.*?\b(?:DETAIL|HINT):  /, ""));
  const before = lines.slice(Math.max(0, at - 4), at);
  const said = before.slice(before.findLastIndex((line) => OWN_LINE.test(line)) + 1);
  return [lines[at]!.replace(/^.*?\b(?:FATAL|PANIC):  /, ""), ...more, ...said].join("; ");
}
