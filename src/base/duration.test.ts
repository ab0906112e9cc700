import { test } from "node:test";
import assert from "node:assert/strict";
import { isHoldfastError } from "./errors.ts";
import { parseDuration } from "./duration.ts";

test("durations have a unit, or several", () => {
  const durations = {
    "0": 0,
    "0s": 0,
    "300ms": 300,
    "5m": 300_000,
    "1h30m": 5_400_000,
    "1.5h": 5_400_000,
    ".5s": 500,
  };
  for (const [text, milliseconds] of Object.entries(durations)) {
    assert.equal(parseDuration(text, "--retry-lock"), milliseconds, text);
  }
});

test("anything else is a usage error that names its source", () => {
  for (const text of ["", "5", "m", "-5m", "5 m", "5d", "5m!", "1h30"]) {
    assert.throws(
      () => parseDuration(text, "--retry-lock"),
      (error: unknown) =>
        isHoldfastError(error, "USAGE") && error.message.startsWith("--retry-lock: "),
      text,
    );
  }
});
