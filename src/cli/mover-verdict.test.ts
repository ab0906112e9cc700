import assert from "node:assert/strict";
import { test } from "node:test";
import { HoldfastError } from "../base/errors.ts";
import { VERDICT_MAX } from "../operator/mover-verdict.ts";
import type { MoverVerdict } from "../operator/mover-verdict.ts";
import {
  encodeVerdict,
  moverStatus,
  problemOf,
  verdictLines,
  withoutSecrets,
} from "./mover-verdict.ts";

test("a verdict fits whatever it quotes, and stays JSON", () => {
  const problem = {
    code: "INCOMPLETE",
    message: "ä".repeat(50_000),
    hint: "\u0001".repeat(9000),
  } as const;
  const lock = {
    id: "f".repeat(64),
    hostname: "h".repeat(3000),
    exclusive: true,
    time: "2026-01-01T00:00:00Z",
  };
  for (const problems of [[], [problem], Array.from({ length: 40 }, () => problem)]) {
    for (const locks of [[], Array.from({ length: 40 }, () => lock)]) {
      const verdict: MoverVerdict = { v: 1, result: "failed", run: "r", problems, locks };
      const text = encodeVerdict(verdict);
      assert.ok(Buffer.byteLength(text) <= VERDICT_MAX, `${Buffer.byteLength(text)}`);
      const read = JSON.parse(text) as MoverVerdict;
      assert.equal(read.result, "failed");
      assert.equal(read.problems?.[0]?.code, problems[0]?.code);
    }
  }
});

test("secrets are taken out of texts, other variables are not", () => {
  const environment = {
    RESTIC_PASSWORD: "open sesame",
    AWS_SECRET_ACCESS_KEY: "abc/def+ghi",
    RCLONE_CONFIG_X_TOKEN: "tok-123456",
    HOLDFAST_GS_KMS_KEY: "projects/p/cryptoKeys/k",
    RESTIC_REST_PASSWORD: "x",
    RCLONE_CONFIG_X_PASS: "obscured-1",
    RCLONE_CONFIG_X_PASSWORD2: "obscured-2",
    RCLONE_S3_BYPASS_GOVERNANCE_RETENTION: "governance",
  };
  const text = "open sesame abc/def+ghi tok-123456 projects/p/cryptoKeys/k x";
  assert.equal(withoutSecrets(text, environment), "*** *** *** projects/p/cryptoKeys/k x");
  assert.equal(
    withoutSecrets("obscured-1 obscured-2 governance", environment),
    "*** *** governance",
  );
  const error = new HoldfastError("STORAGE_DENIED", "no: open sesame", { hint: "not tok-123456" });
  assert.deepEqual(problemOf(error, environment), {
    code: "STORAGE_DENIED",
    message: "no: ***",
    hint: "not ***",
    retryable: false,
  });
});

test("a status says whether the Job may try again", () => {
  const of = (code: ConstructorParameters<typeof HoldfastError>[0], retryable = false): number =>
    moverStatus(new HoldfastError(code, "", { retryable }));
  assert.equal(of("WRONG_PASSWORD"), 78);
  assert.equal(of("STORAGE_UNAVAILABLE", true), 75);
  // Whose lock it is only the operator can tell.
  assert.equal(of("REPO_LOCKED", true), 78);
  assert.equal(of("INCOMPLETE", true), 78);
  assert.equal(of("LOCK_LOST"), 75);
  assert.equal(of("CANCELLED"), 75);
  assert.equal(moverStatus(new Error("out of memory")), 75);
});

test("the last line for people is the verdict", () => {
  const verdict: MoverVerdict = {
    v: 1,
    result: "ok",
    run: "r",
    problems: [{ code: "SOURCE_EMPTY", message: "the volume is empty\nreally", hint: "Is it?" }],
  };
  assert.deepEqual(verdictLines(verdict), [
    "Warning: SOURCE_EMPTY: the volume is empty. Is it?",
    "Verdict: successful: no snapshot",
  ]);
});
