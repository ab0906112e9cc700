// Lock files (docs/formats/restic.md#locks): who is working in the repository, and since when. Whether a lock still
// counts is decided elsewhere.

import { goJson, JsonFields, jsonBytes } from "./json-fields.ts";

export interface Lock {
  /** RFC 3339: when it was made or last refreshed, by its owner's clock. */
  readonly time: string;
  readonly exclusive: boolean;
  readonly hostname: string;
  readonly username: string;
  readonly pid: number;
  /** Owner's ids; absent means 0. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/** The plaintext of a lock file. */
export function encodeLock(lock: Lock): Buffer {
  const { time, exclusive, hostname, username, pid, uid = 0, gid = 0 } = lock;
  const members = {
    time,
    exclusive,
    hostname,
    username,
    pid,
    ...(uid === 0 ? {} : { uid }),
    ...(gid === 0 ? {} : { gid }),
  };
  return jsonBytes(goJson(members));
}

/** Reads the plaintext of a lock file. Throws LOCK_DAMAGED. */
export function decodeLock(bytes: Uint8Array): Lock {
  const fields = JsonFields.parse(bytes, "LOCK_DAMAGED", "a lock file");
  if (!fields.has("time")) throw fields.damaged("it has no time");
  return {
    time: fields.time("time"),
    exclusive: fields.flag("exclusive"),
    hostname: fields.text("hostname"),
    username: fields.text("username"),
    pid: fields.uint32("pid"),
    uid: fields.uint32("uid"),
    gid: fields.uint32("gid"),
  };
}
