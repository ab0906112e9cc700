// The version of the program, from its package.

import { readFileSync } from "node:fs";

/** As in package.json. */
export const PROGRAM_VERSION: string = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  }
).version;
