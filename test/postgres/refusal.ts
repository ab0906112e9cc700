// What a server's refusal has to be, wherever it is met: a code, words that name what mends it, and never a secret.

import assert from "node:assert/strict";
import { isHoldfastError } from "../../src/base/errors.ts";

export interface Refusal {
  readonly code: string;
  /** In the message or the hint. */
  readonly says: RegExp;
  readonly retryable?: boolean;
}

/** Rejects as it should, with a hint, and with none of `secrets` anywhere in what could be shown. */
export async function refused(
  work: Promise<unknown>,
  { code, says, retryable = false }: Refusal,
  secrets: readonly string[] = [],
): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(isHoldfastError(error), String(error));
    const { message, hint = "", stack = "" } = error;
    assert.equal(error.code, code, `${message} / ${hint}`);
    assert.match(`${message} / ${hint}`, says);
    assert.equal(error.retryable, retryable, message);
    assert.notEqual(hint, "");
    for (const secret of secrets)
      assert.ok(!`${message}${hint}${stack}${JSON.stringify(error)}`.includes(secret));
    return true;
  });
}
