import assert from "node:assert/strict";
import { test } from "node:test";
import { isHoldfastError } from "../base/errors.ts";
import { fatalReason, makeServerFolder, startServerProcess } from "./server-process.ts";

test("the reason is the last fatal line, what belongs to it, and what a command said before", () => {
  const log = `2026-11-26 02:32:37 UTC [1] LOG:  starting PostgreSQL 15.18
cp: cannot stat 'old': No such file or directory
2026-11-26 02:32:38 UTC [2] LOG:  restored log file "000000010000000000000002" from archive
Fatal: the storage did not answer
hint: try again
2026-11-26 02:32:38 UTC [3] FATAL:  the database system is not yet accepting connections
2026-11-26 02:32:38 UTC [3] DETAIL:  Consistent recovery state has not been yet reached.
2026-11-26 02:32:38 UTC [2] FATAL:  could not restore file "000000010000000000000003" from archive: command not found
2026-11-26 02:32:38 UTC [2] HINT:  look there
2026-11-26 02:32:38 UTC [1] LOG:  startup process (PID 2) exited with exit code 1
2026-11-26 02:32:38 UTC [4] FATAL:  the database system is starting up`;
  assert.equal(
    fatalReason(log),
    'could not restore file "000000010000000000000003" from archive: command not found; look there; Fatal: the storage did not answer; hint: try again',
  );
  assert.equal(fatalReason("one\ntwo"), "one; two");
  assert.equal(fatalReason(""), "");
});

test("a folder whose path is too long for a socket is refused, and is not there", () => {
  const long = `/tmp/${"x".repeat(100)}`;
  assert.throws(
    () => makeServerFolder(long, undefined),
    (error) => isHoldfastError(error, "TARGET_UNWRITABLE"),
  );
});

test("a server that cannot be started at all has ended, and its log says why", async () => {
  const server = startServerProcess({
    program: "/nowhere/postgres",
    dataDirectory: "/nowhere/data",
    settings: {},
    account: undefined,
    folder: "/nowhere/folder",
  });
  await assert.rejects(server.exited, (error) => isHoldfastError(error, "POSTGRES_FAILED"));
  assert.ok(server.hasExited);
  assert.match(fatalReason(server.log()), /could not be started: spawn/);
});
