// From what a person typed to the repositories of an instance: the main one, and the captures beside it. The password is asked
// for once. Readers write nothing, but for a lock, which --no-lock leaves out; only `openCaptureWriter` makes a repository.

import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import {
  captureLocationOf,
  ensureCaptureRepository,
  openCaptureRepository,
} from "../odoo/capture-repository.ts";
import { acquireLock } from "../repository/locks.ts";
import type { HeldLock } from "../repository/lock-holder.ts";
import type { Repository } from "../repository/repository.ts";
import { redactLocation } from "../storage/location.ts";
import { openStorage } from "../storage/open-storage.ts";
import type { Storage } from "../storage/storage.ts";
import type { Context } from "./command.ts";
import { namedCaptures, type InstanceFlags } from "./instance-options.ts";
import { namedLocation, openWithPassword, storageOptions } from "./session.ts";

export interface OpenInstanceOptions {
  /** "read" locks both repositories unless --no-lock says otherwise; "none" (the default) writes nothing at all. */
  readonly lock?: "none" | "read";
}

/** The repositories of an instance, opened to be read. */
export interface OpenedInstance extends AsyncDisposable {
  /** The main one, with the full snapshots. */
  readonly repository: Repository;
  /** Undefined where nothing was ever captured. */
  readonly captures: Repository | undefined;
  /** Aborts when the program is asked to stop, or when a lock is lost. */
  readonly signal: AbortSignal;
  /** Releases the locks; also what `await using` does. Never fails. */
  close(): Promise<void>;
}

/**
 * Opens the named repository and its captures. REPO_NOT_FOUND also for captures that were named and are not there; those that
 * nobody named may be missing, or out of reach, which is told.
 */
export async function openInstance(
  context: Context,
  flags: InstanceFlags,
  { lock = "none" }: OpenInstanceOptions = {},
): Promise<OpenedInstance> {
  const { repository, password } = await openWithPassword(context);
  const captures = await openCaptures(context, flags, { main: repository, password });
  const locks: HeldLock[] = [];
  const close = async (): Promise<void> => {
    for (const held of locks.splice(0)) await held.release();
  };
  try {
    if (lock === "read" && context.settings.lock) {
      for (const each of captures ? [repository, captures] : [repository]) {
        locks.push(await lockToRead(context, each));
      }
    }
  } catch (error) {
    await close();
    throw error;
  }
  const signal = AbortSignal.any([context.signal, ...locks.map((held) => held.signal)]);
  return { repository, captures, signal, close, [Symbol.asyncDispose]: close };
}

/** The repositories of an instance, opened to capture. No lock is taken: that is for whoever captures. */
export async function openCaptureWriter(
  context: Context,
  flags: InstanceFlags,
): Promise<{ repository: Repository; captures: Repository }> {
  const location = namedCaptures(context, flags) ?? captureLocationOf(await namedLocation(context));
  const { repository: main, password } = await openWithPassword(context);
  const storage = await openCaptureStorage(context, location, true);
  const { machine, signal, settings } = context;
  const { compression, cacheFolder } = settings;
  const captures = await ensureCaptureRepository({
    main,
    storage,
    password,
    machine,
    compression,
    cacheFolder,
    signal,
  });
  return { repository: main, captures };
}

async function openCaptures(
  context: Context,
  flags: InstanceFlags,
  { main, password }: { main: Repository; password: string },
): Promise<Repository | undefined> {
  const { machine, signal, settings, output } = context;
  const named = namedCaptures(context, flags);
  let location: string;
  try {
    location = named ?? captureLocationOf(await namedLocation(context));
  } catch (error) {
    // Nothing can be beside a whole bucket.
    if (isHoldfastError(error, "USAGE")) return undefined;
    throw error;
  }
  const { compression, cacheFolder } = settings;
  const options = { main, password, machine, compression, cacheFolder, signal };
  let opened: Repository | undefined;
  try {
    const storage = await openCaptureStorage(context, location, false);
    opened = await openCaptureRepository({ ...options, storage });
  } catch (error) {
    const isAbsent = isHoldfastError(error, "STORAGE_NOT_FOUND");
    // Who may only read one prefix of a bucket is refused beside it, whether there is something or not.
    const isDenied = named === undefined && isHoldfastError(error, "STORAGE_DENIED");
    if (!isAbsent && !isDenied) throw error;
    if (isDenied) output.warn(`captures cannot be read: ${messageOf(error)}`);
  }
  if (opened !== undefined || named === undefined) return opened;
  throw new HoldfastError("REPO_NOT_FOUND", `no captures are at ${redactLocation(named)}`, {
    hint: "Is --captures or HOLDFAST_CAPTURES right? `holdfast capture` makes the repository.",
  });
}

async function openCaptureStorage(
  context: Context,
  location: string,
  create: boolean,
): Promise<Storage> {
  const options = await storageOptions(context);
  return context.closers.add(await openStorage(location, { ...options, create }));
}

function lockToRead(context: Context, repository: Repository): Promise<HeldLock> {
  const { output, settings, signal } = context;
  return acquireLock(repository, {
    exclusive: false,
    retryFor: settings.retryLock,
    onNotice: (message) => output.warn(message),
    signal,
  });
}
