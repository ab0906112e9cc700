// What a storage of S3 is opened with in tests: an environment of its own, a meter to read, and a transport that a test
// may put something between.

import { randomBytes } from "node:crypto";
import { systemClock } from "../../src/base/clock.ts";
import type { BackendContext } from "../../src/storage/backend.ts";
import { openSockets } from "../../src/storage/http/sockets.ts";
import type { Transport } from "../../src/storage/http/transport.ts";
import { Meter } from "../../src/storage/meter.ts";

export interface TestContext extends BackendContext {
  /** What people were told. */
  readonly notices: string[];
}

export interface TestContextFields extends Partial<BackendContext> {
  /** Puts something between the storage and its sockets. */
  around?: (transport: Transport) => Transport;
  /** Options of the command line by name. */
  options?: Readonly<Record<string, string>>;
}

export function testContext(fields: TestContextFields = {}): TestContext {
  const { around = (transport) => transport, options = {}, ...given } = fields;
  const meter = new Meter();
  const notices: string[] = [];
  const silence = 20_000;
  return {
    env: {},
    clock: systemClock,
    random: (length) => randomBytes(length),
    create: false,
    option: (name) => options[name],
    meter,
    retry: { clock: systemClock },
    upload: undefined,
    download: undefined,
    silence,
    openSockets: (connections) =>
      around(
        openSockets({
          connections,
          clock: systemClock,
          meter,
          silence,
          userAgent: "holdfast/test",
        }),
      ),
    notice: (text) => void notices.push(text),
    signal: undefined,
    notices,
    ...given,
  };
}
