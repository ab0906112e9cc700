// Copies volumes, which are directories in a test cluster.

import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The name of the test cluster's storage driver. */
export const DRIVER = "test.csi.holdfast.dev";

/** Copies a volume as it is: owners, modes, times, extended attributes, links. */
export async function copyTree(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await run("cp", ["-aT", "--reflink=auto", from, to]);
}
