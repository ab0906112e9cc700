// Opening the storage that a repository location names. Each backend is loaded only when a location asks for it.
// To add one: an entry here, and a test that runs src/storage/conformance.ts on it.

import type { Clock, Random } from "../base/clock.ts";
import { HoldfastError } from "../base/errors.ts";
import { parseLocation } from "./location.ts";
import type { Scheme, StorageLocation } from "./location.ts";
import { retrying } from "./retrying.ts";
import type { RetryingOptions } from "./retrying.ts";
import type { Storage } from "./storage.ts";

export interface OpenStorageOptions {
  /** Where backends look for credentials and settings; the process's own environment is never read. */
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  random: Random;
  /** Make what must exist before the first put (a directory); for the init of a repository only. */
  create?: boolean;
  /** Limits and reports of the retries. */
  retry?: Omit<RetryingOptions, "clock" | "random">;
  signal?: AbortSignal | undefined;
}

/** Opens one kind of location. */
export type OpenBackend = (
  location: StorageLocation,
  options: OpenStorageOptions,
) => Promise<Storage>;

const BACKENDS: Readonly<Record<Scheme, OpenBackend | undefined>> = {
  local: async ({ target }, { create = false, random }) => {
    const { openLocalStorage } = await import("./local.ts");
    return await openLocalStorage({ root: target, create, random });
  },
  rclone: undefined,
  gs: undefined,
  s3: undefined,
  rest: undefined,
  b2: undefined,
  azure: undefined,
  swift: undefined,
  sftp: undefined,
};

/** Opens the storage at a repository location, with passing faults retried. USAGE when it cannot be served. */
export async function openStorage(text: string, options: OpenStorageOptions): Promise<Storage> {
  const location = parseLocation(text);
  const open = BACKENDS[location.scheme];
  if (open === undefined) {
    const message = `repositories at "${location.scheme}:" locations are not supported yet`;
    throw new HoldfastError("USAGE", message, { hint: supported() });
  }
  const { clock, random, retry } = options;
  return retrying(await open(location, options), { ...retry, clock, random });
}

function supported(): string {
  const schemes = Object.entries(BACKENDS).filter(([, open]) => open !== undefined);
  return `use a location of one of these kinds: ${schemes.map(([scheme]) => scheme).join(", ")}`;
}
