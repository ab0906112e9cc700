// How a mover gets at its repository: opened within a minute or told why not, made where the storage surely holds none, and freed
// of locks whose pods the operator proved dead.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unlessCancelled } from "../base/cancellation.ts";
import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import { initRepository } from "../repository/init.ts";
import { CONFIG_KEY } from "../repository/layout.ts";
import { acquireLock, listLocks, removeLocks } from "../repository/locks.ts";
import type { HeldLock } from "../repository/lock-holder.ts";
import { openRepository } from "../repository/open.ts";
import type { Repository } from "../repository/repository.ts";
import { parseTime } from "../restic/go-time.ts";
import { redactLocation } from "../storage/location.ts";
import { openStorage } from "../storage/open-storage.ts";
import { checkedRcloneConfig } from "../storage/rclone-programs.ts";
import type { Storage } from "../storage/storage.ts";
import { VARIABLE } from "../operator/mover-variables.ts";
import { shortId } from "./format.ts";
import type { Mover } from "./mover-run.ts";
import { findRepositorySource, readPassword } from "./repository-source.ts";
import { namedLocation, openNamedStorage, storageOptions } from "./session.ts";

/** Within this the repository answers, or the run fails: as long as VolSync waits. */
const OPEN_MS = 60_000;
/** Another one that makes a repository has put its config there within these looks. */
const MAKING_LOOKS = 6;
const MAKING_LOOK_MS = 500;
/** More locks than this tell no more. */
const LOCKS_MAX = 8;

/**
 * Opens the repository; `init` makes it where there is none. WRONG_PASSWORD, REPO_NOT_FOUND, STORAGE_* and so on, each by its
 * own name; STORAGE_UNAVAILABLE after a minute without an answer.
 */
export async function openForMover(
  given: Mover,
  { init }: { init: boolean },
): Promise<{ repository: Repository; created: boolean }> {
  given.context.output.print("== Initialize Dir =======");
  const mover = await withoutPrograms(given);
  try {
    return { repository: await openInTime(mover), created: false };
  } catch (error) {
    // Only a storage that answered "there is none" is no doubt: a repository is never made beside one that cannot be reached.
    if (!init || !isHoldfastError(error, "REPO_NOT_FOUND")) throw error;
  }
  let created = true;
  try {
    await makeRepository(mover);
  } catch (error) {
    if (!isHoldfastError(error, "REPO_EXISTS")) throw error;
    // Another mover makes it in this moment: volumes that share a repository begin at once.
    await untilMade(mover, error);
    created = false;
  }
  return { repository: await openInTime(mover), created };
}

/** rclone, where it is run, reads its configuration as it was checked. SECRET_INVALID. */
async function withoutPrograms(mover: Mover): Promise<Mover> {
  const { context } = mover;
  const { environment, closers } = context;
  if (!(await namedLocation(context)).trim().startsWith("rclone:")) return mover;
  const text = await checkedRcloneConfig(environment);
  if (text === undefined) return mover;
  const folder = await mkdtemp(join(tmpdir(), "holdfast-rclone-"));
  closers.add({ close: () => rm(folder, { recursive: true, force: true }) });
  const file = join(folder, "rclone.conf");
  await writeFile(file, text, { mode: 0o600 });
  return {
    ...mover,
    context: { ...context, environment: { ...environment, RCLONE_CONFIG: file } },
  };
}

/** Waits for the config of a repository that another one is making; `error` when it never comes, as where it was lost. */
async function untilMade({ context }: Mover, error: HoldfastError): Promise<void> {
  const { clock, signal } = context;
  const storage = await openNamedStorage(context);
  for (let looks = 0; looks < MAKING_LOOKS; looks++) {
    try {
      await storage.stat(CONFIG_KEY, { signal });
      return;
    } catch (missing) {
      if (!isHoldfastError(missing, "STORAGE_NOT_FOUND")) throw missing;
    }
    await clock.sleep(MAKING_LOOK_MS, signal);
  }
  throw error;
}

async function openInTime({ context }: Mover): Promise<Repository> {
  const limit = AbortSignal.timeout(OPEN_MS);
  const signal = AbortSignal.any([context.signal, limit]);
  let last: unknown;
  try {
    // Its own signal is that of the whole run.
    const opening = openPatiently(context, (error) => (last = error));
    const storage = await unlessCancelled(opening, signal);
    const { settings, machine } = context;
    const { compression, cacheFolder } = settings;
    const password = await passwordOf(context);
    try {
      return await openRepository({ storage, password, machine, compression, cacheFolder, signal });
    } catch (error) {
      throw isHoldfastError(error, "WRONG_PASSWORD") ? wrongPassword(error, password) : error;
    }
  } catch (error) {
    if (!limit.aborted || context.signal.aborted) throw error;
    const why = last === undefined ? "" : `: ${messageOf(last)}`;
    throw new HoldfastError(
      "STORAGE_UNAVAILABLE",
      `the repository did not answer within ${OPEN_MS / 1000} s${why}`,
      {
        hint: "Check RESTIC_REPOSITORY, the network policy of the namespace, and whether the storage is up.",
        retryable: true,
        cause: error,
      },
    );
  }
}

/** Where a mover's password is, and the mistake that `echo PASSWORD | base64` makes. */
function wrongPassword(cause: HoldfastError, password: string): HoldfastError {
  const end = /\s$/.test(password)
    ? "It ends with white space, which counts: `echo` adds a line's end, `printf` does not."
    : "It is taken as it is, white space at its end too.";
  return new HoldfastError("WRONG_PASSWORD", cause.message, {
    hint: `Check RESTIC_PASSWORD in the Secret that the resource names, and whether this is the right repository. ${end}`,
    cause,
  });
}

/** The storage; `failed` is told of each try that is made again. REPO_NOT_FOUND where its place is not there. */
async function openPatiently(
  context: Mover["context"],
  failed: (error: unknown) => void,
): Promise<Storage> {
  const location = await namedLocation(context);
  const options = await storageOptions(context);
  const { retry } = options;
  const onRetry: NonNullable<typeof retry>["onRetry"] = (event) => {
    failed(event.error);
    retry?.onRetry?.(event);
  };
  try {
    const storage = await openStorage(location, { ...options, retry: { ...retry, onRetry } });
    return context.closers.add(storage);
  } catch (error) {
    if (!isHoldfastError(error, "STORAGE_NOT_FOUND")) throw error;
    throw new HoldfastError(
      "REPO_NOT_FOUND",
      `there is no repository at ${redactLocation(location)}`,
      {
        cause: error,
      },
    );
  }
}

async function passwordOf({ flags, environment, secrets }: Mover["context"]): Promise<string> {
  const { password } = findRepositorySource(flags, environment);
  if (password.kind === "ask") {
    throw new HoldfastError("SECRET_INVALID", "RESTIC_PASSWORD is not set", {
      hint: "Add RESTIC_PASSWORD to the Secret.",
    });
  }
  return (await readPassword(password, secrets, "")).password;
}

async function makeRepository({ context }: Mover): Promise<void> {
  const storage = await openNamedStorage(context, true);
  const { machine, signal, output } = context;
  const password = await passwordOf(context);
  const { id } = await initRepository({ storage, password, machine, signal });
  output.print(`created restic repository ${id.slice(0, 10)} at ${storage.location}`);
}

/** Removes locks of pods that the operator names as dead, and no other. */
export async function removeDeadLocks(mover: Mover, repository: Repository): Promise<void> {
  const { output, signal } = mover.context;
  const dead = new Set((mover.environment[VARIABLE.deadOwners] ?? "").split(",").filter(Boolean));
  // Our own pod is alive, whatever was said.
  dead.delete(repository.machine.hostname);
  if (dead.size === 0) return;
  for (const { id, lock } of await listLocks(repository, signal)) {
    if (!dead.has(lock.hostname)) continue;
    await repository.remove("lock", id, signal);
    output.print(
      `removed lock ${shortId(id)} of ${lock.time}: pod ${lock.hostname}, which held it, has ended`,
    );
  }
}

/** restic's `unlock`: stale locks go. */
export async function unlock(mover: Mover, repository: Repository): Promise<void> {
  const { output, signal } = mover.context;
  const removed = await removeLocks(repository, { all: false, signal });
  output.print(`successfully removed ${removed} locks`);
  mover.facts.unlocked = true;
}

/** Runs `work` under a lock; who stands in the way becomes part of the verdict. */
export async function withMoverLock<T>(
  mover: Mover,
  repository: Repository,
  exclusive: boolean,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { output, signal } = mover.context;
  const held = await seeingLocks(mover, repository, () =>
    acquireLock(repository, {
      exclusive,
      retryFor: mover.lockWait,
      onNotice: (message) => output.warn(message),
      signal,
    }),
  );
  return await releasing(held, () => work(held.signal));
}

async function releasing<T>(held: HeldLock, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    await held.release();
  }
}

/** When `work` meets a lock, the verdict tells the operator whose. */
export async function seeingLocks<T>(
  mover: Mover,
  repository: Repository,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isHoldfastError(error, "REPO_LOCKED")) {
      const found = await listLocks(repository, mover.context.signal).catch(() => []);
      mover.facts.locks = found.slice(-LOCKS_MAX).map(({ id, lock }) => ({
        id,
        hostname: lock.hostname,
        exclusive: lock.exclusive,
        time: new Date(Number(parseTime(lock.time) / 1_000_000n)).toISOString(),
      }));
    }
    throw error;
  }
}
