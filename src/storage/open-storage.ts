// Opening the storage that a location names. Each backend is loaded only when a location asks for it.
// To add one: an entry here, its options below, and a test that runs src/storage/conformance.ts on it.

import type { Clock, Random } from "../base/clock.ts";
import { HoldfastError } from "../base/errors.ts";
import { RateLimit } from "../base/rate-limit.ts";
import type { BackendContext } from "./backend.ts";
import { openSockets } from "./http/sockets.ts";
import { withConnections, withRates } from "./limited.ts";
import { parseLocation } from "./location.ts";
import type { LocationPurpose, Scheme } from "./location.ts";
import { Meter } from "./meter.ts";
import { connectionsOf } from "./option-values.ts";
import { findOption } from "./options.ts";
import type { OptionValues } from "./options.ts";
import { retrying } from "./retrying.ts";
import type { RetryingOptions } from "./retrying.ts";
import type { Storage } from "./storage.ts";

export interface OpenStorageOptions {
  /** Where backends look for credentials and settings; the process's own environment is never read. */
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  random: Random;
  /** What the location is for; some forms mean one thing for repositories and another for archives. */
  purpose?: LocationPurpose;
  /** Make what must exist before the first put (a directory); for the init of a repository only. */
  create?: boolean;
  /** Options of backends by their full names, as parseOptions gives them. */
  options?: OptionValues;
  /** Bytes a second; no limit by default. */
  uploadRate?: number | undefined;
  downloadRate?: number | undefined;
  tls?: TlsOptions;
  /** Milliseconds without a byte after which a request fails; five minutes by default, as restic's. */
  silence?: number | undefined;
  /** Counts what is asked of the service. */
  meter?: Meter;
  /** Told what a person may want to know and is no error. */
  onNotice?: (text: string) => void;
  /** Limits and reports of the retries. */
  retry?: Omit<RetryingOptions, "clock" | "random">;
  /** How this program introduces itself to servers. */
  userAgent?: string;
  signal?: AbortSignal | undefined;
}

export interface TlsOptions {
  /** Certificates of the authorities to trust in place of the system's, PEM. */
  readonly ca?: readonly string[];
  /** A certificate with its key to show to servers, PEM. */
  readonly clientCertificate?: string | undefined;
  readonly insecure?: boolean;
}

type OpenBackend = (
  target: string,
  context: BackendContext,
  purpose: LocationPurpose,
) => Promise<Storage>;

const SILENCE_MS = 5 * 60_000;

const BACKENDS: Readonly<Record<Scheme, OpenBackend | undefined>> = {
  local: async (target, { create, random, option, upload, download }) => {
    const { openLocalStorage } = await import("./local.ts");
    const storage = await openLocalStorage({ root: target, create, random });
    const connections = connectionsOf(option("local.connections"), "local.connections");
    const rated = withRates(storage, { upload, download });
    return connections === undefined ? rated : withConnections(rated, connections);
  },
  gs: async (target, context) => {
    const { openGcsStorage } = await import("./gcs.ts");
    const { gcsFromLocation } = await import("./gcs/settings.ts");
    return await openGcsStorage(gcsFromLocation(target, context), context);
  },
  s3: async (target, context, purpose) => {
    const { openS3Storage } = await import("./s3.ts");
    const { s3FromLocation } = await import("./s3/settings.ts");
    return await openS3Storage(s3FromLocation(target, purpose, context), context);
  },
  rest: async (target, context) => {
    const { openRestStorage } = await import("./rest.ts");
    const { restFromLocation } = await import("./rest/settings.ts");
    return await openRestStorage(restFromLocation(target, context), context);
  },
  rclone: async (target, context) => {
    const { openRcloneStorage } = await import("./rclone.ts");
    return await openRcloneStorage(target, context);
  },
  b2: undefined,
  azure: undefined,
  swift: undefined,
  sftp: undefined,
};

/** Opens the storage at a location, with passing faults retried. USAGE when it cannot be served. */
export async function openStorage(text: string, options: OpenStorageOptions): Promise<Storage> {
  const { purpose = "repository" } = options;
  const location = parseLocation(text);
  const open = BACKENDS[location.scheme];
  if (open === undefined) {
    const message = `locations of "${location.scheme}:" are not supported`;
    throw new HoldfastError("USAGE", message, { hint: supported(location.scheme) });
  }
  const context = contextOf(options);
  return retrying(await open(location.target, context, purpose), context.retry);
}

/** What a backend is given, from the options of one opening. */
export function contextOf(options: OpenStorageOptions): BackendContext {
  const { env, clock, random, tls = {}, userAgent = "holdfast" } = options;
  const { silence = SILENCE_MS, meter = new Meter() } = options;
  const rate = (bytes: number | undefined): RateLimit | undefined =>
    bytes === undefined ? undefined : new RateLimit(bytes, clock);
  const upload = rate(options.uploadRate);
  const download = rate(options.downloadRate);
  return {
    env,
    clock,
    random,
    create: options.create ?? false,
    option: (name) => findOption(name, options.options, env),
    meter,
    retry: { ...options.retry, clock, random },
    upload,
    download,
    silence,
    openSockets: (connections) =>
      openSockets({
        connections,
        clock,
        meter,
        silence,
        userAgent,
        env,
        ca: tls.ca,
        clientCertificate: tls.clientCertificate,
        insecureTls: tls.insecure,
        upload,
        download,
      }),
    notice: options.onNotice ?? ((): void => {}),
    signal: options.signal,
  };
}

function supported(scheme: Scheme): string {
  const schemes = Object.entries(BACKENDS).filter(([, open]) => open !== undefined);
  const kinds = `Use a location of one of these kinds: ${schemes.map(([name]) => name).join(", ")}.`;
  const mayRclone = ["b2", "azure", "swift", "sftp"].includes(scheme);
  return mayRclone ? `${kinds} rclone reaches many more: rclone:REMOTE:PATH.` : kinds;
}
