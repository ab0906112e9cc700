// The capture repository: a sibling of the main one, so that what everybody's tools do there (`restore latest`, `forget`,
// locks) never meets a capture. It has the main one's password and chunker polynomial: content has the same blob ids in both.

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { initRepository } from "../repository/init.ts";
import { openRepository } from "../repository/open.ts";
import type { OpenOptions } from "../repository/open.ts";
import type { Repository } from "../repository/repository.ts";
import { parseLocation, redactLocation, type Scheme } from "../storage/location.ts";
import type { Storage } from "../storage/storage.ts";

/** What the name of the capture repository ends in. */
const SUFFIX = "-captures";

/** How often a repository is opened that somebody else is making at the same moment. */
const ATTEMPTS = 3;

/**
 * What stands before the path below a bucket, a host or nothing, and the path: it has at least one character that is no slash.
 * A name alone is a bucket to some of rclone's remotes and a folder to others, so there it takes two.
 */
const PATHS: Readonly<Record<Scheme, RegExp>> = {
  local: /^()(.*)$/s,
  gs: /^(\/\/[^/]+\/|[^:/]+:)(.*)$/s,
  s3: /^((?:https?:)?(?:\/\/)?[^/]*\/[^/]+\/)(.*)$/is,
  rest: /^(https?:\/\/[^/]+\/|https?\+unix:\/\/[^:]*:)(.*)$/is,
  rclone: /^((?:.*:)?\/*[^/:]+\/)([^:]*)$/s,
  b2: /^([^:]+:)(.*)$/s,
  azure: /^([^:]+:)(.*)$/s,
  swift: /^([^:]+:)(.*)$/s,
  sftp: /^(\/\/[^/]+\/|[^:/]+:)(.*)$/s,
};

/**
 * Where captures are when nothing else is said: "-captures" behind the path of the repository. USAGE when the location has
 * no path of its own, because a sibling of a bucket would be another bucket.
 */
export function captureLocationOf(location: string): string {
  const { scheme, target } = parseLocation(location);
  const trimmed = target.replace(/\/+$/, "");
  const path = PATHS[scheme].exec(trimmed)?.[2] ?? "";
  const name = path.slice(path.lastIndexOf("/") + 1);
  if (name !== "" && name !== "." && name !== "..") {
    const prefix = location.slice(0, location.length - target.length);
    return `${prefix}${trimmed}${SUFFIX}`;
  }
  const shown = redactLocation(location);
  throw new HoldfastError("USAGE", `captures have no place beside ${shown}: it has no path`, {
    hint: "Say where they are with --captures or HOLDFAST_CAPTURES.",
  });
}

export interface CaptureRepositoryOptions extends Pick<
  OpenOptions,
  "machine" | "compression" | "cacheFolder" | "signal"
> {
  /** The repository that the captures are beside. */
  readonly main: Repository;
  /** Where they are, opened to be written. */
  readonly storage: Storage;
  /** That of the main repository. */
  readonly password: string;
}

/**
 * Opens the capture repository, and makes it where there is none. WRONG_PASSWORD when it has another password than the main
 * one, and what `openRepository` throws.
 */
export async function ensureCaptureRepository(
  options: CaptureRepositoryOptions,
): Promise<Repository> {
  for (let attempt = 1; ; attempt++) {
    const opened = await openCaptureRepository(options);
    if (opened !== undefined) return opened;
    const { main, storage, password, machine, signal } = options;
    const { version, chunkerPolynomial } = main.config;
    try {
      await initRepository({ storage, password, machine, version, chunkerPolynomial, signal });
    } catch (error) {
      // Somebody made it at this very moment.
      if (!isHoldfastError(error, "REPO_EXISTS") || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Opens the capture repository; undefined where there is none. */
export async function openCaptureRepository(
  options: Omit<CaptureRepositoryOptions, "main"> & { readonly main: Repository | undefined },
): Promise<Repository | undefined> {
  const { main, ...open } = options;
  let opened: Repository;
  try {
    opened = await openRepository(open);
  } catch (error) {
    if (isHoldfastError(error, "REPO_NOT_FOUND")) return undefined;
    throw error;
  }
  if (main === undefined || opened.config.id !== main.config.id) return opened;
  throw new HoldfastError(
    "USAGE",
    `captures cannot be in the repository itself: ${opened.storage.location}`,
    { hint: "Give captures a place of their own, or leave --captures out." },
  );
}
