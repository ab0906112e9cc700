// One runner for each state folder. What shows that one is at work is a socket in the folder: it dies with its process, also
// where all processes have the number 1, as in containers.

import { mkdir, unlink } from "node:fs/promises";
import type { Server } from "node:net";
import { join } from "node:path";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import { answersAt, listenAt } from "../base/listening-socket.ts";

const SOCKET = "in-use";
/** A socket's path has room for 107 bytes. */
const PATH_MAX = 107;
const ATTEMPTS = 3;

/** A state folder that nobody else uses. */
export interface StateClaim {
  close(): Promise<void>;
}

/** Claims the folder, which is made where it is missing. Throws USAGE when another runner uses it, TARGET_UNWRITABLE. */
export async function claimState(folder: string): Promise<StateClaim> {
  const path = join(folder, SOCKET);
  if (Buffer.byteLength(path) > PATH_MAX) {
    throw new HoldfastError("USAGE", `the path of the state folder is too long: ${folder}`, {
      hint: `Give one of at most ${PATH_MAX - SOCKET.length - 1} bytes.`,
    });
  }
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (let attempt = 1; ; attempt++) {
      try {
        const server = await listenAt(path);
        return { close: async () => await closed(server) };
      } catch (error) {
        if (errnoOf(error) !== "EADDRINUSE" || attempt === ATTEMPTS) throw error;
      }
      if (await answersAt(path)) {
        throw new HoldfastError(
          "USAGE",
          `another \`holdfast run\` uses the state folder ${folder}`,
          {
            hint: "Stop it, or give this one another folder with --state.",
          },
        );
      }
      // Left by one that was killed.
      await unlink(path).catch(() => undefined);
    }
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    throw new HoldfastError("TARGET_UNWRITABLE", `${folder} cannot be used: ${messageOf(error)}`, {
      hint: "Give a folder that may be written, with --state or `state` of the plan.",
      cause: error,
    });
  }
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
