// What a storage of S3 is opened with in tests: a transport that a test may put something between.

import { backendContext } from "../backend-context.ts";
import type { TestContext } from "../backend-context.ts";
import type { BackendContext } from "../../src/storage/backend.ts";
import type { Transport } from "../../src/storage/http/transport.ts";

export interface TestContextFields extends Partial<BackendContext> {
  /** Puts something between the storage and its sockets. */
  around?: (transport: Transport) => Transport;
  /** Options of the command line by name. */
  options?: Readonly<Record<string, string>>;
}

export function testContext(fields: TestContextFields = {}): TestContext {
  const { around = (transport) => transport, options = {}, env = {}, ...given } = fields;
  const context = backendContext({ env, options: new Map(Object.entries(options)) });
  const openSockets = (connections: number): Transport => around(context.openSockets(connections));
  return { ...context, openSockets, ...given } as TestContext;
}
