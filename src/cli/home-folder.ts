// The home of the user that we run as. A container may run under a number that no name belongs to, and without HOME: then there is none,
// and what would be looked for there is not there.

import { homedir } from "node:os";

/** Undefined: there is none. */
export function homeFolder(): string | undefined {
  try {
    return homedir();
  } catch {
    return undefined;
  }
}
