// What the layers below need to know of this machine and this process.

import { hostname, userInfo } from "node:os";
import { systemClock, systemRandom } from "../base/clock.ts";
import { errnoOf } from "../base/errors.ts";
import type { Machine } from "../repository/repository.ts";

/** This machine, as locks, keys and snapshots record it. */
export function thisMachine(): Machine {
  return {
    clock: systemClock,
    random: systemRandom,
    hostname: hostname(),
    username: userName(),
    // Not from userInfo, which fails where the number has no entry.
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    pid: process.pid,
    isAlive: (pid) => {
      try {
        process.kill(pid, 0);
        return true;
      } catch (error) {
        // Somebody else's process is alive, too.
        return errnoOf(error) === "EPERM";
      }
    },
  };
}

/** A container may run under a number that no name belongs to. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return process.env["USER"] ?? "";
  }
}
