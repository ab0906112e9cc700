import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { restoreCommand } from "./restore-command.ts";

test("the usual command", () => {
  const { command, variables } = restoreCommand({
    program: "/usr/local/bin/holdfast",
    location: "gs://company-backups/base",
    server: "odoo-db",
    options: new Map([["gs.connections", "8"]]),
  });
  assert.equal(
    command,
    "/usr/local/bin/holdfast pg wal-fetch --archive gs://company-backups/base --server odoo-db -o gs.connections=8 %f %p",
  );
  assert.deepEqual(variables, []);
});

test("no credential is in it: it comes from the environment", () => {
  const { command, variables } = restoreCommand({
    program: "holdfast",
    location: "rest:https://user:hidden@example.org/base",
    server: "a",
    options: new Map([
      ["s3.session-token", "hidden"],
      ["s3.endpoint", "https://user:hidden@storage.example.org"],
      ["rclone.args", "serve restic --stdio --sftp-pass hidden"],
      ["rclone.program", "/usr/bin/rclone"],
    ]),
  });
  assert.doesNotMatch(command, /hidden/);
  assert.match(command, /rclone.program=\/usr\/bin\/rclone/);
  assert.deepEqual(variables, [
    "HOLDFAST_ARCHIVE",
    "HOLDFAST_S3_SESSION_TOKEN",
    "HOLDFAST_S3_ENDPOINT",
    "HOLDFAST_RCLONE_ARGS",
  ]);
});

test("any path and name arrives at the program as it is, through PostgreSQL and the shell", () => {
  const text = fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 12 })
    .filter((word) => !/[\0\n\r]/.test(word) && word.isWellFormed());
  fc.assert(
    fc.property(text, text, (server, folder) => {
      const location = `/${folder.replaceAll(":", "")}`;
      const { command } = restoreCommand({
        program: "/bin/echo",
        location,
        server,
        options: new Map(),
      });
      // PostgreSQL replaces %f, %p and %%.
      const given = command.replace(/%(.)/g, (_, letter: string) =>
        letter === "%" ? "%" : letter,
      );
      const printed = execFileSync("/bin/sh", ["-c", given], { encoding: "utf8" });
      assert.equal(printed, `pg wal-fetch --archive ${location} --server ${server} f p\n`);
    }),
    { numRuns: 40 },
  );
});
