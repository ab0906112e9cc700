// What a kind of storage is given when it is opened. Nothing of the process is read below: environment, clock, randomness
// and every setting come through here, and every wire is opened with the same certificates, limits and meter.

import type { Clock, Random } from "../base/clock.ts";
import type { RateLimit } from "../base/rate-limit.ts";
import type { Transport } from "./http/transport.ts";
import type { Meter } from "./meter.ts";
import type { RetryingOptions } from "./retrying.ts";

export interface BackendContext {
  /** Where credentials and settings are looked up; the process's own environment is never read. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly random: Random;
  /** Make what must exist before the first put (a directory, a repository on a server); for init only. */
  readonly create: boolean;
  /** The value of an option of the command line, as `gs.connections`; undefined when it was not given. */
  readonly option: (name: string) => string | undefined;
  readonly meter: Meter;
  /** For what a backend has to repeat by itself. */
  readonly retry: RetryingOptions;
  readonly upload: RateLimit | undefined;
  readonly download: RateLimit | undefined;
  /** Milliseconds without a byte after which a request fails. */
  readonly silence: number;
  /** A wire for at most `connections` requests at once. */
  readonly openSockets: (connections: number) => Transport;
  /** Tells the person something that is no error: which way was taken, which setting does nothing. */
  readonly notice: (text: string) => void;
  readonly signal: AbortSignal | undefined;
}
