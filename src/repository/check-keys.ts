// The key files, as a check looks at them.

import { mapLimit } from "../base/concurrency.ts";
import { isHoldfastError } from "../base/errors.ts";
import { sha256Hex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { decodeKeyFile } from "../restic/key-file.ts";
import type { CheckFindings } from "./check-findings.ts";
import { keyOf } from "./layout.ts";
import type { Repository } from "./repository.ts";

export interface KeyContent {
  id: Id;
  bytes: Uint8Array;
}

/** The key files that are there. */
export async function readKeys(
  repository: Repository,
  signal?: AbortSignal,
): Promise<KeyContent[]> {
  const files = await repository.list("key", signal);
  const { connections } = repository.storage.traits;
  const read = await mapLimit(files, connections, async ({ id }, _, own) => {
    try {
      return { id, bytes: await repository.storage.get(keyOf("key", id), { signal: own }) };
    } catch (error) {
      if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return undefined;
      throw error;
    }
  });
  return read.filter((key) => key !== undefined);
}

/** Damaged key files lock nobody out today who has another one; whoever has only that password is. */
export function checkKeys(keys: readonly KeyContent[], findings: CheckFindings): void {
  for (const { id, bytes } of keys) {
    try {
      if (sha256Hex(bytes) === id) decodeKeyFile(bytes);
      else findings.add("KEY_DAMAGED", `key ${id}: its content does not match its name`);
    } catch (error) {
      if (!isHoldfastError(error, "KEY_DAMAGED")) throw error;
      findings.add("KEY_DAMAGED", `key ${id}: ${error.message}`);
    }
  }
}
