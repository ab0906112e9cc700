// Settings from flags and environment variables, with restic's names and precedence: a flag beats a variable.
// HOLDFAST_X beats RESTIC_X. A variable that is set to nothing is not set. An invalid value is an error at once: a
// backup must not run for a night with a setting that was ignored.

import { parseDuration } from "../base/duration.ts";
import { HoldfastError } from "../base/errors.ts";
import { parseOptions } from "../storage/options.ts";
import type { OptionValues } from "../storage/options.ts";
import type { CompressionMode } from "../restic/compression.ts";

/** process.env, or a part of it. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Global flags as the command line gives them. */
export interface GlobalFlags {
  cacheDir?: string | undefined;
  /** False with --no-cache. */
  cache?: boolean | undefined;
  compression?: string | undefined;
  /** MiB. */
  packSize?: string | undefined;
  readConcurrency?: string | undefined;
  host?: string | undefined;
  cacert?: readonly string[] | undefined;
  tlsClientCert?: string | undefined;
  insecureTls?: boolean | undefined;
  /** KiB a second. */
  limitUpload?: string | undefined;
  limitDownload?: string | undefined;
  /** A duration: "5m". */
  stuckRequestTimeout?: string | undefined;
  httpUserAgent?: string | undefined;
  /** Options of storages: "gs.connections=8". */
  option?: readonly string[] | undefined;
  /** A decryption Secret of Flux's: its manifest, or a folder of its entries. */
  sopsKeys?: string | undefined;
  /** False with --no-lock. */
  lock?: boolean | undefined;
  /** A duration: "5m". */
  retryLock?: string | undefined;
  /** False with --no-extra-verify. */
  extraVerify?: boolean | undefined;
}

export interface Settings {
  compression: CompressionMode;
  /** Target size of packs in bytes; undefined for the default. */
  packSize: number | undefined;
  /** Files to read at once; undefined for the default. */
  readConcurrency: number | undefined;
  /** Hostname to record; undefined for that of the machine. */
  host: string | undefined;
  /** Folder of all caches, shared with restic; undefined for no cache. */
  cacheFolder: string | undefined;
  /** Frames of progress a second; 0 for the default. */
  progressFps: number;
  /** Files with certificates of authorities to trust. */
  caCertificates: readonly string[];
  /** File with a certificate and its key, to show to servers. */
  clientCertificate: string | undefined;
  /** Trust any certificate. */
  insecureTls: boolean;
  /** Most bytes a second to and from the storage; undefined for no limit. */
  uploadRate: number | undefined;
  downloadRate: number | undefined;
  /** Milliseconds of silence after which a request fails; undefined for the default. */
  requestSilence: number | undefined;
  /** How to introduce ourselves to servers; undefined for the default. */
  userAgent: string | undefined;
  /** Options of storages by their full names. */
  storageOptions: OptionValues;
  /** A decryption Secret of Flux's, for SOPS files: its manifest, or a folder of its entries. */
  sopsKeys: Choice | undefined;
  /** Lock the repository. */
  lock: boolean;
  /** Milliseconds to wait for a lock that another process holds. */
  retryLock: number;
  /** Check blobs before they are stored. */
  extraVerify: boolean;
  /** Print stack traces. */
  debug: boolean;
  /** The zone that local times are shown in. */
  timeZone: string | undefined;
  /** False for terminals that cannot redraw lines. */
  canRedraw: boolean;
}

const COMPRESSION_MODES: readonly CompressionMode[] = ["auto", "off", "fastest", "better", "max"];
const PACK_SIZE_MIN = 4;
const PACK_SIZE_MAX = 128;

/** Works out all settings but those of a repository. Throws USAGE for an invalid one. */
export function readSettings(flags: GlobalFlags, environment: Environment): Settings {
  const choose = (flag: string | undefined, option: string, name: string): Choice | undefined =>
    flag === undefined ? lookUp(environment, name) : { value: flag, source: option };
  const certificates = lookUp(environment, "CACERT")?.value.split(",") ?? [];
  const silence = choose(
    flags.stuckRequestTimeout,
    "--stuck-request-timeout",
    "STUCK_REQUEST_TIMEOUT",
  );
  return {
    compression: compressionOf(choose(flags.compression, "--compression", "COMPRESSION")),
    packSize: packSizeOf(choose(flags.packSize, "--pack-size", "PACK_SIZE")),
    readConcurrency:
      countOf(choose(flags.readConcurrency, "--read-concurrency", "READ_CONCURRENCY")) || undefined,
    host: choose(flags.host, "--host", "HOST")?.value,
    cacheFolder: flags.cache === false ? undefined : cacheFolderOf(flags, environment),
    progressFps: framesOf(lookUp(environment, "PROGRESS_FPS")),
    caCertificates: flags.cacert ?? certificates,
    clientCertificate: choose(flags.tlsClientCert, "--tls-client-cert", "TLS_CLIENT_CERT")?.value,
    insecureTls: flags.insecureTls ?? false,
    uploadRate: rateOf(choose(flags.limitUpload, "--limit-upload", "LIMIT_UPLOAD")),
    downloadRate: rateOf(choose(flags.limitDownload, "--limit-download", "LIMIT_DOWNLOAD")),
    requestSilence: silence && parseDuration(silence.value, silence.source),
    userAgent: choose(flags.httpUserAgent, "--http-user-agent", "HTTP_USER_AGENT")?.value,
    storageOptions: parseOptions(flags.option ?? []),
    sopsKeys: choose(flags.sopsKeys, "--sops-keys", "SOPS_KEYS"),
    lock: flags.lock ?? true,
    retryLock: flags.retryLock === undefined ? 0 : parseDuration(flags.retryLock, "--retry-lock"),
    extraVerify: flags.extraVerify ?? true,
    debug: (environment["HOLDFAST_DEBUG"] || "0") !== "0",
    timeZone: environment["TZ"],
    canRedraw: environment["TERM"] !== "dumb",
  };
}

/** A value, and the flag or variable it comes from. */
export interface Choice {
  readonly value: string;
  readonly source: string;
}

/** The variable HOLDFAST_<name>, or else RESTIC_<name>. */
export function lookUp(environment: Environment, name: string): Choice | undefined {
  for (const source of [`HOLDFAST_${name}`, `RESTIC_${name}`]) {
    const value = environment[source];
    if (value) return { value, source };
  }
  return undefined;
}

function compressionOf(choice: Choice | undefined): CompressionMode {
  if (choice === undefined) return "auto";
  const mode = COMPRESSION_MODES.find((each) => each === choice.value);
  return (
    mode ?? refuse(choice, `is no compression mode; use one of ${COMPRESSION_MODES.join(", ")}`)
  );
}

function packSizeOf(choice: Choice | undefined): number | undefined {
  const size = countOf(choice);
  if (choice === undefined || !size) return undefined;
  if (size < PACK_SIZE_MIN || size > PACK_SIZE_MAX) {
    return refuse(choice, `is not a pack size between ${PACK_SIZE_MIN} and ${PACK_SIZE_MAX} MiB`);
  }
  return size * 2 ** 20;
}

/** A whole number; undefined without a choice. */
function countOf(choice: Choice | undefined): number | undefined {
  if (choice === undefined) return undefined;
  const count = /^\d+$/.test(choice.value) ? Number(choice.value) : NaN;
  return count < 2 ** 32 ? count : refuse(choice, "is not a whole number below 2^32");
}

/** Bytes a second of KiB a second; undefined for no limit, which 0 means as well. */
function rateOf(choice: Choice | undefined): number | undefined {
  const kib = countOf(choice);
  return kib ? kib * 1024 : undefined;
}

function framesOf(choice: Choice | undefined): number {
  if (choice === undefined) return 0;
  const frames = Number(choice.value);
  return Number.isNaN(frames) ? refuse(choice, "is not a number") : Math.max(0, frames);
}

/** restic's folder: the layout is the same, so a cache that restic filled serves us, and the other way round. */
function cacheFolderOf(flags: GlobalFlags, environment: Environment): string | undefined {
  const chosen = flags.cacheDir ?? lookUp(environment, "CACHE_DIR")?.value;
  if (chosen !== undefined) return chosen;
  const home = environment["HOME"] && `${environment["HOME"]}/.cache`;
  const base = environment["XDG_CACHE_HOME"] || home;
  return base ? `${base}/restic` : undefined;
}

function refuse({ value, source }: Choice, why: string): never {
  throw new HoldfastError("USAGE", `${source}: "${value}" ${why}`);
}
