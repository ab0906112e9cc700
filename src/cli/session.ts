// From what a person typed to an open repository: location, storage, password, lock.

import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import { ahead } from "../base/concurrency.ts";
import { acquireLock } from "../repository/locks.ts";
import type { LockOptions } from "../repository/locks.ts";
import { CONFIG_KEY, listFiles } from "../repository/layout.ts";
import { openRepository } from "../repository/open.ts";
import type { Repository } from "../repository/repository.ts";
import { redactLocation } from "../storage/location.ts";
import { openStorage } from "../storage/open-storage.ts";
import type { OpenStorageOptions } from "../storage/open-storage.ts";
import type { Storage } from "../storage/storage.ts";
import { readTlsOptions } from "./certificates.ts";
import type { Context } from "./command.ts";
import { shortId } from "./format.ts";
import { findRepositorySource, readLocation, readPassword } from "./repository-source.ts";
import { PROGRAM_VERSION } from "./version.ts";

/** Where the named repository is. */
export function namedLocation(context: Context): Promise<string> {
  const source = findRepositorySource(context.flags, context.environment, context.role);
  return readLocation(source, context.secrets);
}

/** The storage of the named repository, closed when the run ends. `create`: make its place, for init. */
export async function openNamedStorage(context: Context, create = false): Promise<Storage> {
  const location = await namedLocation(context);
  try {
    const options = { ...(await storageOptions(context)), create };
    return context.closers.add(await openStorage(location, options));
  } catch (error) {
    throw asNoRepository(error, redactLocation(location));
  }
}

/** How storages are opened: everything that flags and variables say about them. */
export async function storageOptions(context: Context): Promise<OpenStorageOptions> {
  const { clock, random, environment: env, signal, output, settings, meter, secrets } = context;
  return {
    env,
    clock,
    random,
    meter,
    options: settings.storageOptions,
    uploadRate: settings.uploadRate,
    downloadRate: settings.downloadRate,
    silence: settings.requestSilence,
    userAgent: settings.userAgent ?? `holdfast/${PROGRAM_VERSION}`,
    tls: await readTlsOptions(settings, secrets),
    retry: {
      onRetry: ({ error, delay }) => {
        const seconds = Math.max(1, Math.round(delay / 1000));
        output.warn(`${messageOf(error)}; trying again in ${seconds} s`);
      },
    },
    onNotice: (text) => output.verbose(text),
    signal,
  };
}

/** REPO_NOT_FOUND for what was not found, any other error as it is. */
function asNoRepository(error: unknown, location: string): unknown {
  if (!isHoldfastError(error, "STORAGE_NOT_FOUND")) return error;
  return new HoldfastError("REPO_NOT_FOUND", "unable to open config file: it does not exist", {
    hint: `Is there a repository at the following location?\n${location}`,
    cause: error,
  });
}

/** How often a person may mistype the password. */
const ATTEMPTS = 3;

/**
 * Opens the named repository. At a terminal the password is asked for up to three times. `onDerive` is called when all
 * that is left is computing.
 */
export async function openNamedRepository(
  context: Context,
  onDerive?: (storage: Storage) => void,
): Promise<Repository> {
  return (await openWithPassword(context, onDerive)).repository;
}

/** As `openNamedRepository`, with the password that opened it: that of the captures beside it, too. */
export async function openWithPassword(
  context: Context,
  onDerive?: (storage: Storage) => void,
): Promise<{ repository: Repository; password: string }> {
  const source = findRepositorySource(context.flags, context.environment, context.role);
  const storage = await openNamedStorage(context);
  const { settings, machine, signal, output, secrets } = context;
  const { compression, cacheFolder } = settings;
  const common = { storage, machine, keyHint: source.keyHint, compression, cacheFolder, signal };
  // Nobody should be asked for the password of a repository that is not there.
  if (source.password.kind === "ask") await requireConfig(storage, signal);
  for (let attempt = 1; ; attempt++) {
    const { password, asked } = await readPassword(source.password, secrets, promptFor(context));
    try {
      const repository = await openRepository({
        ...common,
        password,
        ...(onDerive && { onDerive }),
      });
      tellOpened(context, repository);
      return { repository, password };
    } catch (error) {
      const again = asked && attempt < ATTEMPTS && isHoldfastError(error, "WRONG_PASSWORD");
      if (!again) throw error;
      output.warn("wrong password or no key found. Try again");
    }
  }
}

function promptFor({ role }: Context): string {
  return `enter password for ${role === "from" ? "source " : ""}repository: `;
}

async function requireConfig(storage: Storage, signal: AbortSignal): Promise<void> {
  try {
    await storage.stat(CONFIG_KEY, { signal });
  } catch (error) {
    throw asNoRepository(error, storage.location);
  }
}

function tellOpened({ output, settings }: Context, { config }: Repository): void {
  const details = `version ${config.version}, compression level ${settings.compression}`;
  output.terminal(`repository ${shortId(config.id)} opened (${details})`);
}

/**
 * What a command locks: "none" for those about locks, "read" may be left out with --no-lock, "append" adds without
 * disturbing others, "exclusive" takes something away.
 */
export type LockMode = "none" | "read" | "append" | "exclusive";

/** Runs `work` with the opened repository under a lock, which is released whatever happens. */
export async function withRepository<T>(
  context: Context,
  lock: LockMode,
  work: (repository: Repository, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (lock === "append" || lock === "exclusive") warnNoLock(context);
  const { output, signal } = context;
  const isLocking = lock !== "none" && (lock !== "read" || context.settings.lock);
  let listed: LockOptions["listed"];
  const repository = await openNamedRepository(context, (storage) => {
    // Who else is there can be asked while the key is being derived.
    if (isLocking) listed ??= ahead(listFiles(storage, "lock", signal));
  });
  if (!isLocking) return work(repository, signal);
  const held = await acquireLock(repository, {
    exclusive: lock === "exclusive",
    retryFor: context.settings.retryLock,
    listed,
    onNotice: (message) => output.warn(message),
    signal,
  });
  try {
    return await work(repository, held.signal);
  } finally {
    await held.release();
  }
}

/** Only readers may go without a lock: a writer that nobody sees could lose its packs to a prune. */
export function warnNoLock({ output, settings }: Context): void {
  if (!settings.lock) output.warn("--no-lock is for commands that read: locking all the same");
}
