// A socket to a server that has let us in: `pg` dials, negotiates TLS and authenticates (passwords, SCRAM, certificates),
// then its socket is taken from it. TLS is asked for as libpq does by `sslmode`, host after host. The environment of the
// process is never looked at: what is not in the settings does not exist.

import type { Duplex } from "node:stream";
import { cancelled, throwIfCancelled } from "../../base/cancellation.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { attemptError } from "./attempt-error.ts";
import { ReadMemory } from "./read-memory.ts";
import { sqlStateOf } from "./server-error.ts";
import type { Asker } from "./server-error.ts";

/** How to use TLS: libpq's `sslmode`, and the content of the files that it names. */
export interface TlsSettings {
  readonly mode: "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full";
  /** Certificates of the authorities to trust, PEM; those of the system when undefined. */
  readonly ca?: string | undefined;
  /** Our certificate and its key, PEM. */
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  readonly keyPassword?: string | undefined;
}

export interface HostSettings {
  /** A name or an address; with a slash at its beginning the folder of a socket. */
  readonly host: string;
  readonly port: number;
  readonly password?: string | undefined;
}

export interface ConnectionSettings {
  /** Tried in this order. */
  readonly hosts: readonly HostSettings[];
  readonly user: string;
  readonly database: string;
  readonly tls: TlsSettings;
  readonly applicationName?: string;
  /** Milliseconds for one host; 0 for no limit. */
  readonly connectTimeout?: number;
  /** Settings of the session, as `PGOPTIONS` has them. */
  readonly options?: string | undefined;
}

interface OpenOptions {
  settings: ConnectionSettings;
  replication: boolean;
  signal?: AbortSignal | undefined;
}

export interface OpenedSocket {
  readonly stream: Duplex;
  /** What it reads into; undefined with TLS. */
  readonly memory: ReadMemory | undefined;
  readonly place: string;
}

const CONNECT_TIMEOUT_MS = 30_000;
/** A server that vanished without a word is noticed by these. */
const KEEP_ALIVE_MS = 30_000;

/** The parts of a client of `pg` that we take over. */
interface ClientParts {
  readonly connection: { readonly stream: Duplex };
}

/** A socket to the first host that lets us in. Throws what the last one that spoke said. */
export async function openSocket(options: OpenOptions): Promise<OpenedSocket> {
  let failure: HoldfastError | undefined;
  for (const host of options.settings.hosts) {
    const place = placeOf(host);
    for (const withTls of attempts(host, options.settings.tls)) {
      try {
        return { ...(await dial(host, withTls, options)), place };
      } catch (error) {
        const { signal } = options;
        if (signal?.aborted) throw cancelled(signal);
        const { user, database } = options.settings;
        const asker: Asker = { user, database, replication: options.replication, place };
        const found = attemptError(error, asker);
        // What a server said tells more than that another one is silent.
        if (failure === undefined || !isHoldfastError(found, "POSTGRES_UNREACHABLE"))
          failure = found;
        // The other way is worth a try only where TLS, or its absence, may have been what was wrong.
        if (found.code !== "POSTGRES_SETTING" && sqlStateOf(found) !== "28000") break;
      }
    }
  }
  throw failure ?? new HoldfastError("USAGE", "no host of a PostgreSQL server is given");
}

function placeOf({ host, port }: HostSettings): string {
  if (host.startsWith("/")) return host;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function attempts({ host }: HostSettings, { mode }: TlsSettings): boolean[] {
  if (host.startsWith("/") || mode === "disable") return [false];
  if (mode === "allow") return [false, true];
  return mode === "prefer" ? [true, false] : [true];
}

async function dial(
  { host, port, password }: HostSettings,
  withTls: boolean,
  { settings, replication, signal }: OpenOptions,
): Promise<Omit<OpenedSocket, "place">> {
  const { default: pg } = await import("pg");
  throwIfCancelled(signal);
  const { user, database, tls, applicationName = "holdfast", options } = settings;
  const memory = withTls ? undefined : new ReadMemory();
  const client = new pg.Client({
    ...(memory && { stream: () => memory.socket }),
    host,
    port,
    user,
    database,
    // A function keeps the library from looking for one elsewhere.
    password: () => password as string,
    ssl: withTls ? tlsOptions(tls) : false,
    application_name: applicationName,
    client_encoding: "utf8",
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    connectionTimeoutMillis: settings.connectTimeout ?? CONNECT_TIMEOUT_MS,
    ...(options === undefined ? {} : { options }),
    ...(replication ? { replication: "true" } : {}),
  } as ConstructorParameters<typeof pg.Client>[0]);
  // Told a second time, after `connect` has rejected with it.
  client.on("error", () => {});
  const parts = client as unknown as ClientParts;
  const onAbort = (): void => void parts.connection.stream.destroy();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await client.connect();
  } catch (error) {
    parts.connection.stream.destroy();
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
  // The server waits for a command now, so nothing is on its way that the library could still want.
  const { stream } = parts.connection;
  stream.removeAllListeners("data");
  stream.pause();
  return { stream, memory };
}

function tlsOptions({ mode, ca, certificate, key, keyPassword }: TlsSettings): object {
  const isVerified = mode === "verify-ca" || mode === "verify-full";
  return {
    // As libpq: with authorities at hand, "require" means to check the chain.
    rejectUnauthorized: isVerified || (mode === "require" && ca !== undefined),
    ...(mode === "verify-full" ? {} : { checkServerIdentity: () => undefined }),
    ...(ca === undefined ? {} : { ca }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key, passphrase: keyPassword }),
  };
}
