// Whom a PostgreSQL server runs as: it refuses to be root. Below root it is whoever we are; root chooses an account that
// can own the data directory.

import { readFileSync, statSync } from "node:fs";
import type { ServerAccount } from "./server-process.ts";

/** Found on most machines, in this order; the last is nobody's number almost everywhere. */
const NAMES: readonly string[] = ["postgres", "nobody"];
const NOBODY: ServerAccount = { uid: 65534, gid: 65534 };

/**
 * The account for a server on `dataDirectory`: its owner, if that is not root, or else `postgres` or `nobody`. Undefined
 * when we are not root and can be nobody else.
 */
export function serverAccount(uid: number, dataDirectory?: string): ServerAccount | undefined {
  if (uid !== 0) return undefined;
  const owner = dataDirectory === undefined ? undefined : ownerOf(dataDirectory);
  if (owner !== undefined && owner.uid !== 0) return owner;
  for (const name of NAMES) {
    const account = accountOf(name);
    if (account !== undefined) return account;
  }
  return NOBODY;
}

function ownerOf(path: string): ServerAccount | undefined {
  const { uid, gid } = statSync(path, { throwIfNoEntry: false }) ?? {};
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

function accountOf(name: string): ServerAccount | undefined {
  let lines: string[];
  try {
    lines = readFileSync("/etc/passwd", "utf8").split("\n");
  } catch {
    return undefined;
  }
  const fields = lines.find((line) => line.startsWith(`${name}:`))?.split(":") ?? [];
  const [uid, gid] = [Number(fields[2]), Number(fields[3])];
  return uid > 0 && Number.isInteger(gid) ? { uid, gid } : undefined;
}
