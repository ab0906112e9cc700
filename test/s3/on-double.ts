// The storage of S3 opened on the double (test/s3/double.ts), for tests that make the service misbehave.

import assert from "node:assert/strict";
import { after, before, beforeEach } from "node:test";
import { inspect } from "node:util";
import { isHoldfastError } from "../../src/base/errors.ts";
import type { HoldfastError } from "../../src/base/errors.ts";
import { openS3Storage } from "../../src/storage/s3.ts";
import type { S3Options } from "../../src/storage/s3.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { testContext } from "./context.ts";
import type { TestContext } from "../backend-context.ts";
import type { TestContextFields } from "./context.ts";
import { S3Double } from "./double.ts";
import type { Said, Seen } from "./double.ts";

export const KEY_ID = "AKIDNOBODYMAYSEE";
export const SECRET = "secret/nobody+may+see";

/** A double for the tests of one file, as new for each of them. */
export function useDouble(): S3Double {
  const double = new S3Double();
  before(() => double.listen());
  after(() => double.close());
  beforeEach(() => double.reset());
  return double;
}

export async function openOn(
  double: S3Double,
  fields: Partial<S3Options> = {},
  contextFields: TestContextFields = {},
): Promise<{ storage: Storage; context: TestContext }> {
  const context = testContext(contextFields);
  const credentials = { kind: "keys", accessKeyId: KEY_ID, secretAccessKey: SECRET } as const;
  const { endpoint } = double;
  const options = { bucket: "bucket", prefix: "", endpoint, credentials, ...fields };
  return { storage: await openS3Storage(options, context), context };
}

/** What `call` fails with. */
export async function failureOf(call: Promise<unknown>): Promise<HoldfastError> {
  const error = await call.then(
    () => assert.fail("it succeeded"),
    (failure: unknown) => failure,
  );
  assert.ok(isHoldfastError(error), inspect(error));
  return error;
}

/** Answers the first request that `matches` with `said`, and the others as usual. */
export function sayOnce(
  double: S3Double,
  said: Said,
  matches: (seen: Seen) => boolean = () => true,
): void {
  let isSaid = false;
  double.answer = (seen) => {
    if (isSaid || !matches(seen)) return undefined;
    isSaid = true;
    return said;
  };
}
