// What a storage backend is given, for tests: a clock that waits for real, certainty instead of settings, and everything
// that was told.

import { systemClock, systemRandom } from "../src/base/clock.ts";
import type { BackendContext } from "../src/storage/backend.ts";
import { Meter } from "../src/storage/meter.ts";
import { contextOf } from "../src/storage/open-storage.ts";
import type { OpenStorageOptions } from "../src/storage/open-storage.ts";

export interface TestContext extends BackendContext {
  readonly meter: Meter;
  readonly notices: string[];
}

/** A context with `options` in place of what tests usually take. */
export function backendContext(options: Partial<OpenStorageOptions> = {}): TestContext {
  const notices: string[] = [];
  const meter = new Meter();
  const context = contextOf({
    env: {},
    clock: systemClock,
    random: systemRandom,
    silence: 20_000,
    meter,
    onNotice: (text) => notices.push(text),
    retry: { delayFirst: 1, delayMax: 20, attemptsMax: 8 },
    ...options,
  });
  return { ...context, meter, notices };
}
