// From what a person typed to an open repository: location, storage, password, lock.

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { acquireLock } from "../repository/locks.ts";
import { openRepository } from "../repository/open.ts";
import type { Repository } from "../repository/repository.ts";
import { redactLocation } from "../storage/location.ts";
import { openStorage } from "../storage/open-storage.ts";
import type { Storage } from "../storage/storage.ts";
import type { Context } from "./command.ts";
import { shortId } from "./format.ts";
import { findRepositorySource, readLocation, readPassword } from "./repository-source.ts";

/** Where the named repository is. */
export function namedLocation(context: Context): Promise<string> {
  const source = findRepositorySource(context.flags, context.environment);
  return readLocation(source, context.secrets);
}

/** The storage of the named repository. `create`: make its place, for init. */
export async function openNamedStorage(context: Context, create = false): Promise<Storage> {
  const { clock, random, environment: env, signal, output } = context;
  const location = await namedLocation(context);
  const onRetry = ({ error }: { error: unknown }): void =>
    output.warn(`${error instanceof Error ? error.message : String(error)}; trying again`);
  try {
    const options = { env, clock, random, create, signal, retry: { onRetry } };
    return await openStorage(location, options);
  } catch (error) {
    if (!isHoldfastError(error, "STORAGE_NOT_FOUND")) throw error;
    throw new HoldfastError("REPO_NOT_FOUND", "unable to open config file: it does not exist", {
      hint: `Is there a repository at the following location?\n${redactLocation(location)}`,
      cause: error,
    });
  }
}

/** Opens the named repository. */
export async function openNamedRepository(
  context: Context,
  onDerive?: () => void,
): Promise<Repository> {
  const source = findRepositorySource(context.flags, context.environment);
  const storage = await openNamedStorage(context);
  const { password } = await readPassword(source.password, context.secrets);
  const { settings, machine, signal, output } = context;
  const { compression, cacheFolder } = settings;
  const { keyHint } = source;
  const options = { storage, password, machine, keyHint, compression, cacheFolder, signal };
  const repository = await openRepository({ ...options, ...(onDerive && { onDerive }) });
  const { config } = repository;
  output.terminal(
    `repository ${shortId(config.id)} opened (version ${config.version}, compression level ${compression})`,
  );
  return repository;
}

/** Runs `work` with the opened repository under a lock, which is released whatever happens. */
export async function withRepository<T>(
  context: Context,
  lock: "none" | "shared" | "exclusive",
  work: (repository: Repository, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const repository = await openNamedRepository(context);
  const { output, signal } = context;
  // Only readers may go without: a writer that nobody sees could lose its packs to a prune.
  if (lock === "none" || (lock === "shared" && !context.settings.lock))
    return work(repository, signal);
  const held = await acquireLock(repository, {
    exclusive: lock === "exclusive",
    retryFor: context.settings.retryLock,
    onNotice: (message) => output.warn(message),
    signal,
  });
  try {
    return await work(repository, held.signal);
  } finally {
    await held.release();
  }
}
