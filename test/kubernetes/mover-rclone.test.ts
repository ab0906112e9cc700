// A mover that has rclone at hand, and a configuration file that somebody mounted into it: rclone is run with what was checked of that
// file, and not at all where it would run programs. What plays rclone writes down what it was given.

import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { codesOf, openMoverBench } from "./mover-bench.ts";
import type { MoverRun } from "./mover-bench.ts";
import type { Scope } from "../faults/workbench.ts";

interface Tried {
  readonly run: MoverRun;
  /** `path:content` of the configuration that rclone was given; undefined: it was not run. */
  readonly given: string | undefined;
  readonly file: string;
}

async function tryWith(scope: Scope, configuration: string): Promise<Tried> {
  const bench = await openMoverBench(scope);
  bench.plant({ a: "a" });
  const seen = bench.at("seen");
  const program = bench.at("rclone");
  writeFileSync(
    program,
    `#!/bin/sh\necho "$RCLONE_CONFIG" > ${seen}\ncat "$RCLONE_CONFIG" >> ${seen}\nexit 1\n`,
  );
  chmodSync(program, 0o755);
  const file = bench.at("mounted.conf");
  writeFileSync(file, configuration);
  const env = { RCLONE_CONFIG: file, HOLDFAST_RCLONE_PROGRAM: program, RESTIC_CACHE_DIR: "" };
  const run = await bench.mover(["backup"], { repository: "rclone:box:files", env });
  return { run, given: existsSync(seen) ? readFileSync(seen, "utf8") : undefined, file };
}

test("rclone reads what was checked, not the file that may have changed since", async (t) => {
  const { given, file } = await tryWith(t, "[box]\ntype = sftp\nhost = example.org\n");
  const [path, ...lines] = given!.split("\n");
  assert.notEqual(path, file);
  assert.deepEqual(lines, ["[box]", "type = sftp", "host = example.org", ""]);
  assert.ok(!existsSync(path!), "what was written for rclone is left behind");
});

test("a file that names a program: rclone is not run, and trying again is no use", async (t) => {
  const { run, given } = await tryWith(t, "[box]\ntype = sftp\nssh = /bin/false\n");
  assert.equal(given, undefined);
  assert.equal(run.status, 78);
  assert.deepEqual(codesOf(run), ["SECRET_INVALID"]);
});
