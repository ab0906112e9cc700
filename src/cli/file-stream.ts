// Standard output that is a file. Node writes a piece to a file once and takes no notice of what the system left of it, so that
// a full disk would cut off data and end in success.

import { fstatSync, writeSync } from "node:fs";
import type { OutputStream } from "./output.ts";

/** A stream into `descriptor` that writes all of a piece or throws; undefined where that is no file. */
export function fileStream(descriptor: number): OutputStream | undefined {
  if (!isFile(descriptor)) return undefined;
  return {
    write(data) {
      let rest = typeof data === "string" ? Buffer.from(data, "utf8") : data;
      while (rest.length > 0) rest = rest.subarray(writeSync(descriptor, rest));
      return true;
    },
  };
}

function isFile(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isFile();
  } catch {
    return false;
  }
}
