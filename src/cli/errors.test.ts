import { test } from "node:test";
import assert from "node:assert/strict";
import { ERROR_CODES, HoldfastError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { reportError } from "./errors.ts";
import type { ReportOptions } from "./errors.ts";
import { EXIT_MEANINGS, exitStatus } from "./exit-status.ts";
import { recordOutput } from "../../test/cli/recorded-output.ts";

function report(error: unknown, options: ReportOptions = {}): { status: number; text: string } {
  const { output, stdout, stderr } = recordOutput();
  const status = reportError(error, output, options);
  assert.equal(stdout(), "");
  return { status, text: stderr() };
}

test("an error is told in one text, with its hint", () => {
  const error = new HoldfastError("SOURCE_EMPTY", "/data is empty", {
    hint: "Is the volume mounted?",
  });
  assert.deepEqual(report(error), {
    status: 1,
    text: "Fatal: /data is empty\nhint: Is the volume mounted?\n",
  });
  assert.equal(
    report(new HoldfastError("STORAGE_FULL", "no space left")).text,
    "Fatal: no space left\n",
  );
});

test("scripts find restic's words and exit codes", () => {
  const hint = "Is there a repository at the following location?\n/srv/repository";
  const missing = new HoldfastError(
    "REPO_NOT_FOUND",
    "unable to open config file: it does not exist",
    { hint },
  );
  const expected =
    "Fatal: repository does not exist: unable to open config file: it does not exist\n" +
    "Is there a repository at the following location?\n/srv/repository\n";
  assert.deepEqual(report(missing), { status: 10, text: expected });

  const plain = new HoldfastError("REPO_NOT_FOUND", "repository does not exist", {
    hint: "Run init.",
  });
  assert.deepEqual(report(plain, { location: "/srv/repository" }), {
    status: 10,
    text:
      "Fatal: repository does not exist\nIs there a repository at the following location?\n/srv/repository\n" +
      "hint: Run init.\n",
  });

  const locked = new HoldfastError("REPO_LOCKED", "repository is already locked by PID 1 on vm");
  assert.deepEqual(report(locked), {
    status: 11,
    text: "Fatal: unable to create lock in backend: repository is already locked by PID 1 on vm\n",
  });
  const wrong = new HoldfastError("WRONG_PASSWORD", "wrong password or no key found");
  assert.deepEqual(report(wrong), { status: 12, text: "Fatal: wrong password or no key found\n" });
  const incomplete = new HoldfastError("INCOMPLETE", "at least one source file could not be read");
  assert.deepEqual(report(incomplete), {
    status: 3,
    text: "Warning: at least one source file could not be read\n",
  });
});

test("--json makes it a message on stderr", () => {
  const { output, stdout, stderr } = recordOutput({ json: true });
  const error = new HoldfastError("WRONG_PASSWORD", "wrong password or no key found", {
    hint: "Check it.",
  });
  assert.equal(reportError(error, output), 12);
  assert.equal(stdout(), "");
  assert.equal(
    stderr(),
    '{"message_type":"exit_error","code":12,"message":"Fatal: wrong password or no key found","hint":"Check it."}\n',
  );
});

test("stopping is not a failure of its own kind", () => {
  const aborted = Object.assign(new Error("The operation was aborted"), { name: "AbortError" });
  assert.deepEqual(report(aborted), { status: 130, text: "Cancelled: stopped\n" });
  const stopped = new HoldfastError("CANCELLED", "stopped: SIGTERM");
  assert.deepEqual(report(stopped), { status: 130, text: "Cancelled: stopped: SIGTERM\n" });
});

test("what was not foreseen is called a defect, without a stack trace", () => {
  for (const error of [
    new TypeError("x is not a function"),
    new HoldfastError("BUG", "x is not a function"),
  ]) {
    const { status, text } = report(error);
    assert.equal(status, 1);
    assert.match(
      text,
      /^Fatal: unexpected error \(this is a defect\): x is not a function\nhint: Please report /,
    );
    assert.doesNotMatch(text, /\bat /);
  }
  assert.match(report("a string").text, /this is a defect\): a string\n/);
});

test("HOLDFAST_DEBUG shows the stack traces of an error and its causes", () => {
  const cause = new Error("socket hang up");
  const { text } = report(new HoldfastError("STORAGE_FAILED", "failed", { cause }), {
    debug: true,
  });
  assert.match(
    text,
    /^Fatal: failed\nHoldfastError: failed\n {4}at [^]*caused by: Error: socket hang up\n {4}at /,
  );
});

test("every code has an exit status whose meaning is known", () => {
  const known = new Set(EXIT_MEANINGS.map(([status]) => status));
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    assert.ok(known.has(exitStatus(new HoldfastError(code, "x"))), code);
  }
});
