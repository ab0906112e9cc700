import assert from "node:assert/strict";
import { test } from "node:test";
import { findOption, parseOptions } from "./options.ts";

test("options are read by their full names, whatever the case", () => {
  const values = parseOptions([
    "gs.connections=8",
    "S3.Storage-Class=STANDARD_IA",
    "sftp.command=x=y",
  ]);
  assert.deepEqual(Object.fromEntries(values), {
    "gs.connections": "8",
    "s3.storage-class": "STANDARD_IA",
    "sftp.command": "x=y",
  });
});

test("what nothing reads is refused, and values are not repeated", () => {
  const cases: [string, RegExp][] = [
    ["gs", /the form namespace\.name=value/],
    ["connections=8", /-o connections=….*form/],
    ["gs.connection=SECRET", /-o gs\.connection is not known/],
    ["gcs.connections=SECRET", /no kind of storage called "gcs"/],
    ["=SECRET", /form/],
    ["gs.constructor=SECRET", /-o gs\.constructor is not known/],
    ["constructor.name=SECRET", /no kind of storage called "constructor"/],
  ];
  for (const [text, message] of cases) {
    assert.throws(
      () => parseOptions([text]),
      (error: Error & { code: string; hint?: string }) => {
        assert.equal(error.code, "USAGE");
        assert.match(error.message, message);
        assert.ok(!`${error.message}${error.hint}`.includes("SECRET"));
        return true;
      },
    );
  }
  assert.throws(() => parseOptions(["gs.connections=1", "gs.connections=2"]), /given twice/);
  assert.equal(parseOptions(["gs.connections=1", "gs.connections=1"]).size, 1);
});

test("the command line wins over the variable", () => {
  const env = { HOLDFAST_GS_KMS_KEY: "from the variable", HOLDFAST_GS_REGION: "" };
  assert.equal(findOption("gs.kms-key", undefined, env), "from the variable");
  assert.equal(findOption("gs.kms-key", new Map([["gs.kms-key", "typed"]]), env), "typed");
  assert.equal(findOption("gs.region", undefined, env), undefined);
});
