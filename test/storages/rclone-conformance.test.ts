// The storage contract on rclone itself, over its pipes: on a directory, and on one that it encrypts.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe } from "node:test";
import { backendContext } from "../backend-context.ts";
import { peer } from "../peers.ts";
import { underAnyName } from "../rest/restic-names.ts";
import { storageConformance } from "../../src/storage/conformance.ts";
import type { Open } from "../../src/storage/conformance/expectations.ts";
import { openRcloneStorage } from "../../src/storage/rclone.ts";
import type { Storage } from "../../src/storage/storage.ts";

const rclone = peer("rclone");

/** The environment of a remote in `folder`. */
type Environment = (folder: string) => Record<string, string>;

function openThrough(environment: Environment): Open {
  return async () => {
    const folder = await mkdtemp(join(tmpdir(), "holdfast-rclone-"));
    const env = { RCLONE_CONFIG: "/dev/null", HOME: folder, ...environment(join(folder, "files")) };
    const names = new Map<string, string>();
    const open = async (create: boolean): Promise<Storage> => {
      const options = new Map([
        ["rclone.program", rclone.path],
        ["rclone.native", "never"],
      ]);
      const context = backendContext({ env, create, options });
      return underAnyName(await openRcloneStorage("gcs:bucket/filestore", context), names);
    };
    const again: Storage[] = [];
    return {
      storage: await open(true),
      cleanup: async () => {
        for (const storage of again) await storage.close();
        await rm(folder, { recursive: true, force: true });
      },
      reopen: async () => {
        const storage = await open(false);
        again.push(storage);
        return storage;
      },
    };
  };
}

describe("rclone", { skip: rclone.skip }, () => {
  // It writes files under their final name.
  const limits = { listCount: 600, uploads: false, atomicPuts: false };
  const alias: Environment = (folder) => ({
    RCLONE_CONFIG_GCS_TYPE: "alias",
    RCLONE_CONFIG_GCS_REMOTE: folder,
  });
  const crypt: Environment = (folder) => ({
    RCLONE_CONFIG_GCS_TYPE: "crypt",
    RCLONE_CONFIG_GCS_REMOTE: folder,
    // "secret", obscured.
    RCLONE_CONFIG_GCS_PASSWORD: "_N_5qDhuok_yF2Fqi_jjw6Oz9YoPzw",
  });
  storageConformance("rclone on a directory", openThrough(alias), limits);
  storageConformance("rclone on an encrypted directory", openThrough(crypt), limits);
});
