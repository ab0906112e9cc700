// What PostgreSQL is told by the exit status of `pg wal-fetch`: 0 and 1 only when they are true, and at least 126 whatever
// else happens, because 1 to 125 end a recovery and open the database. Every case is a real process.

import assert from "node:assert/strict";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { HOLDFAST, runProgram, startProgram, type ProgramOptions } from "./program.ts";
import { makeSegment, MADE_SIZE, MADE_SYSTEM_ID } from "./segments.ts";
import { until } from "./servers.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-status-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const archive = join(folder, "archive");
const name = (segment: number): string =>
  `0000000100000000${segment.toString(16).padStart(8, "0")}`.toUpperCase();

function store(path: string, content: Uint8Array): void {
  const full = join(archive, "one/wals", path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, content);
}

const IN_FOLDER = "0000000100000000";
store(`${IN_FOLDER}/${name(1)}.gz`, gzipSync(makeSegment({ name: name(1) })));
store(
  `${IN_FOLDER}/${name(8)}.partial.gz`,
  gzipSync(makeSegment({ name: name(8), pages: 3 }).subarray(0, 3 * 8192)),
);
store(`${IN_FOLDER}/${name(3)}.gz`, gzipSync(makeSegment({ name: name(3) })).subarray(0, 5000));
store(`${IN_FOLDER}/${name(3)}.partial`, makeSegment({ name: name(3), pages: 2 }));
store(`${IN_FOLDER}/${name(4)}.gz`, gzipSync(makeSegment({ name: name(7) })));
store(`${IN_FOLDER}/${name(5)}`, makeSegment({ name: name(5) }).subarray(0, MADE_SIZE - 8192));
store("00000002.history", Buffer.from("1\t0/500000\tno recovery target specified\n"));
store("00000003.history.gz", gzipSync("2\t0/700000\tno recovery target specified\n"));
store("00000004.history", Buffer.from("not a history"));
mkdirSync(join(archive, "empty"));

let targets = 0;
function target(): string {
  return join(folder, `target-${(targets += 1)}`);
}

const there = ["--archive", archive, "--server", "one"];

async function fetch(words: readonly string[], options: ProgramOptions = {}) {
  const path = target();
  const run = await runProgram(
    ["pg", "wal-fetch", ...words.map((word) => (word === "%p" ? path : word))],
    options,
  );
  const left = readdirSync(folder).filter(
    (each) => each.startsWith("target") && each.includes("holdfast"),
  );
  assert.deepEqual(left, [], "a temporary file is left");
  return { ...run, content: existsSync(path) ? readFileSync(path) : undefined };
}

async function noAnswer(
  what: string,
  words: readonly string[],
  options: ProgramOptions = {},
  told?: RegExp,
): Promise<void> {
  const run = await fetch(words, options);
  assert.equal(run.signal, null, what);
  assert.ok((run.status ?? 0) >= 126, `${what}: status ${run.status}\n${run.stderr}`);
  assert.equal(run.content, undefined, `${what}: a file appeared`);
  if (told) assert.match(run.stderr, told, what);
}

test("0: what the archive holds is there", async () => {
  const run = await fetch([name(1), "%p", ...there]);
  assert.deepEqual([run.status, run.stderr], [0, ""]);
  assert.deepEqual(run.content, makeSegment({ name: name(1) }));
  for (const [timeline, text] of [
    ["00000002", "1\t0/500000\tno recovery target specified\n"],
    ["00000003", "2\t0/700000\tno recovery target specified\n"],
  ]) {
    const found = await fetch([`${timeline}.history`, "%p", ...there]);
    assert.deepEqual([found.status, found.content?.toString()], [0, text]);
  }
});

test("0: a beginning is filled up with zeros, and -v says so", async () => {
  const run = await fetch([name(8), "%p", ...there, "-v"]);
  assert.equal(run.status, 0);
  assert.deepEqual(run.content, makeSegment({ name: name(8), pages: 3 }));
  assert.match(run.stdout, /only its beginning is there: .*\.partial\.gz, filled up with/);
});

test("1: the archive is there and surely holds neither the segment nor a beginning of it", async () => {
  for (const each of [name(9), "0000000100000005000000FF", "00000005.history"]) {
    const run = await fetch([each, "%p", ...there]);
    assert.deepEqual([run.status, run.stderr, run.content], [1, "", undefined], each);
  }
});

test("126 and more: there is no archive where it was looked for", async () => {
  await noAnswer(
    "misspelt server",
    [name(9), "%p", "--archive", archive, "--server", "on"],
    {},
    /there is no archive/,
  );
  await noAnswer("empty server", [name(9), "%p", "--archive", archive, "--server", "empty"]);
  await noAnswer("missing history", [
    "00000002.history",
    "%p",
    "--archive",
    archive,
    "--server",
    "on",
  ]);
  await noAnswer("missing folder", [
    name(1),
    "%p",
    "--archive",
    join(folder, "none"),
    "--server",
    "one",
  ]);
  await noAnswer("a file", [name(1), "%p", "--archive", HOLDFAST, "--server", "one"]);
  await noAnswer("nothing named", [name(1), "%p"], {}, /no archive is named/);
  await noAnswer("unknown kind", [name(1), "%p", "--archive", "azure:x", "--server", "one"]);
  await noAnswer("hostile server", [name(1), "%p", "--archive", archive, "--server", "../one"]);
});

test("126 and more: what is there is damaged, or is not what it is named after", async () => {
  await noAnswer(
    "cut short, with a partial beside it",
    [name(3), "%p", ...there],
    {},
    /no sound gzip/,
  );
  await noAnswer("another segment", [name(4), "%p", ...there], {}, /not the WAL it is named after/);
  await noAnswer(
    "too short",
    [name(5), "%p", ...there],
    {},
    /1040384 bytes, and a segment 1048576/,
  );
  await noAnswer("no history", ["00000004.history", "%p", ...there]);
  const data = join(folder, "data");
  mkdirSync(join(data, "global"), { recursive: true });
  const control = Buffer.alloc(8192);
  control.writeBigUInt64LE(MADE_SYSTEM_ID + 1n);
  writeFileSync(join(data, "global/pg_control"), control);
  await noAnswer("another cluster", [name(1), "%p", ...there], { cwd: data }, /system identifier/);
});

/** An archive with these segments of timeline 1, stored an hour ago, and these histories. */
function archiveWith(
  segments: Readonly<Record<string, Buffer>>,
  histories: Readonly<Record<string, string>> = {},
): string[] {
  const at = mkdtempSync(join(folder, "holed-"));
  const wals = join(at, "one/wals");
  mkdirSync(join(wals, IN_FOLDER), { recursive: true });
  const past = new Date(Date.now() - 3_600_000);
  for (const [each, content] of Object.entries(segments)) {
    writeFileSync(join(wals, IN_FOLDER, each), content);
    utimesSync(join(wals, IN_FOLDER, each), past, past);
  }
  for (const [each, content] of Object.entries(histories)) {
    writeFileSync(join(wals, each), content);
    utimesSync(join(wals, each), past, past);
  }
  return ["--archive", at, "--server", "one"];
}

/** A data directory of a cluster with segments of a megabyte. */
function dataDirectory(inWal: Readonly<Record<string, Buffer>> = {}): string {
  const data = mkdtempSync(join(folder, "data-"));
  mkdirSync(join(data, "pg_wal"));
  for (const [each, content] of Object.entries(inWal))
    writeFileSync(join(data, "pg_wal", each), content);
  return data;
}

test("126 and more: the log has a hole, which is not its end", async () => {
  const whole = (segment: number): Buffer => makeSegment({ name: name(segment) });
  const begun = makeSegment({ name: name(2), pages: 3 });
  const later = archiveWith({ [name(1)]: whole(1), [name(3)]: whole(3) });
  await noAnswer("later WAL", [name(2), "%p", ...later], {}, /the log has a hole: .* has no 0+1/);
  const beginning = archiveWith({ [name(3)]: whole(3), [`${name(2)}.partial`]: begun });
  await noAnswer("only its beginning", [name(2), "%p", ...beginning], {}, /only the beginning of/);
  const far = archiveWith({ [name(0xff)]: whole(0xff) });
  await noAnswer("far away", [name(2), "%p", ...far], {}, /has a hole/);
  // Timeline 2 went on where timeline 1 is missing; with segments of 16 megabytes that is segment 5.
  const history = { "00000002.history": "1\t0/5000028\tno recovery target specified\n" };
  const forked = archiveWith({ [name(1)]: whole(1) }, history);
  await noAnswer(
    "a later fork",
    [name(4), "%p", ...forked],
    {},
    /timeline 2 left timeline 1 behind it/,
  );
  for (const end of [5, 6]) {
    const run = await fetch([name(end), "%p", ...forked]);
    assert.deepEqual([run.status, run.stderr], [1, ""], `${end} is behind the fork`);
  }
});

test("1: what the server has itself it may take from there, but not what only has the name", async () => {
  const hole = archiveWith({ [name(3)]: makeSegment({ name: name(3) }) });
  const own = dataDirectory({ [name(2)]: makeSegment({ name: name(2) }) });
  const recycled = dataDirectory({ [name(2)]: makeSegment({ name: name(0) }) });
  const words = ["pg", "wal-fetch", name(2), "pg_wal/RECOVERYXLOG", ...hole];
  assert.equal((await runProgram(words, { cwd: own })).status, 1);
  assert.equal((await runProgram(words, { cwd: recycled })).status, 126);
});

test("0: a segment that others overtook on their way is waited for", async () => {
  const words = archiveWith({});
  const wals = join(words[1]!, "one/wals", IN_FOLDER);
  writeFileSync(join(wals, name(3)), makeSegment({ name: name(3) }));
  const { child, ended } = startProgram(["pg", "wal-fetch", name(2), target(), ...words]);
  let told = "";
  child.stderr!.on("data", (text: string) => (told += text));
  await until("the program to wait", () => Promise.resolve(told.includes("waiting: ")));
  // As archives get it: whole at once.
  const coming = join(folder, "coming");
  writeFileSync(coming, gzipSync(makeSegment({ name: name(2) })));
  renameSync(coming, join(wals, `${name(2)}.gz`));
  assert.equal((await ended).status, 0);
  await noAnswer("not for ever", [name(1), "%p", ...words, "--timeout", "3s"], {}, /has a hole/);
});

test("126 and more: the words on the command line make no sense", async () => {
  await noAnswer("no path", [name(1), ...there]);
  await noAnswer("no words", []);
  await noAnswer("too many words", [name(1), "%p", "x", ...there]);
  await noAnswer("unknown option", [name(1), "%p", ...there, "--quick"], {}, /unknown option/);
  await noAnswer(
    "unknown option as JSON",
    [name(1), "%p", ...there, "--quick", "--json"],
    {},
    /"code":126/,
  );
  await noAnswer("option without value", [name(1), "%p", "--archive"]);
  await noAnswer("timeout", [name(1), "%p", ...there, "--timeout", "soon"]);
  await noAnswer("prefetch", [name(1), "%p", ...there, "--prefetch", "65"]);
  await noAnswer("global option", [name(1), "%p", ...there, "--pack-size", "3"]);
  await noAnswer("no name of WAL", ["pg_control", "%p", ...there]);
  await noAnswer("path as name", ["../one/wals/00000002.history", "%p", ...there]);
  await noAnswer("compressed name", [`${name(1)}.gz`, "%p", ...there]);
  for (const words of [["pg", "wal-ftch"], ["pgg", "wal-fetch"], ["wal-fetch"]]) {
    const { status } = await runProgram([...words, name(1), target(), ...there]);
    assert.ok((status ?? 0) >= 126, `${words.join(" ")}: status ${status}`);
  }
});

test("126 and more: the file cannot be written", async () => {
  for (const path of [join(folder, "none", "x"), "/proc/self/x", archive]) {
    const { status, stderr } = await runProgram(["pg", "wal-fetch", name(1), path, ...there]);
    assert.ok((status ?? 0) >= 126, `${path}: status ${status}`);
    assert.match(stderr, /cannot write/);
  }
});

test("126 and more: the storage does not answer", async () => {
  const env = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", AWS_REGION: "us-east-1" };
  const words = ["--archive", "s3:http://127.0.0.1:1/bucket/base", "--server", "one"];
  const quick = ["--timeout", "200ms"];
  await noAnswer(
    "nobody listens",
    [name(1), "%p", ...words, ...quick],
    { env },
    /could not be found out in 200ms/,
  );
  await noAnswer("no credentials", [name(1), "%p", ...words, ...quick]);
});

/** A server that takes connections and says nothing. */
async function silentServer(): Promise<{
  port: number;
  close: () => void;
  connected: () => boolean;
}> {
  let connected = false;
  const server = createServer((socket) => {
    connected = true;
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return { port, close: () => server.close(), connected: () => connected };
}

for (const [signal, told] of [
  ["SIGTERM", 130],
  ["SIGINT", 130],
  ["SIGKILL", 137],
  ["SIGSEGV", 139],
  ["SIGABRT", 134],
] as const) {
  test(`126 and more: the program is ended by ${signal}`, async () => {
    const server = await silentServer();
    const env = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", AWS_REGION: "us-east-1" };
    const location = `s3:http://127.0.0.1:${server.port}/bucket/base`;
    const words = ["pg", "wal-fetch", name(1), target(), "--archive", location, "--server", "one"];
    const { child, ended } = startProgram(words, { env });
    try {
      await until("the program to ask", () => Promise.resolve(server.connected()));
      const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8");
      process.kill(Number(children.trim()), signal);
      assert.deepEqual(
        { ...(await ended), stderr: "", stdout: "" },
        { status: told, signal: null, stderr: "", stdout: "" },
      );
    } finally {
      child.kill("SIGKILL");
      server.close();
    }
  });
}

/** A copy of the starter in a package of its own. */
function otherPackage(title: string, main?: string): string {
  const root = join(folder, title);
  mkdirSync(join(root, "bin"), { recursive: true });
  cpSync(HOLDFAST, join(root, "bin/holdfast"));
  if (main !== undefined) {
    mkdirSync(join(root, "src/cli"), { recursive: true });
    writeFileSync(join(root, "src/cli/main.ts"), main);
  }
  return join(root, "bin/holdfast");
}

test("126 and more: the program does not even start", async () => {
  const words = [name(1), "%p", ...there];
  await noAnswer("not built", words, { program: otherPackage("bare") }, /is not built/);
  const missing = { HOLDFAST_NODE: "/none/node" };
  await noAnswer("HOLDFAST_NODE leads nowhere", words, { env: missing });
  await noAnswer("an option that Node refuses", words, {
    env: { NODE_OPTIONS: "--no-such-option" },
  });
  await noAnswer("a module that is missing", words, {
    env: { NODE_OPTIONS: "--require /none.js" },
  });
  await noAnswer("memory for nothing", words, { env: { NODE_OPTIONS: "--max-old-space-size=1" } });
  const noNode = {
    program: otherPackage("no-node", ""),
    env: { HOLDFAST_NODE: "", PATH: "/none" },
  };
  // Found by its name, because the empty PATH has no `sh`'s helpers either.
  await noAnswer("no Node", words, noNode, /needs Node/);
  const old = join(folder, "old");
  mkdirSync(old);
  writeFileSync(join(old, "node"), "#!/bin/sh\necho v18.0.0\n");
  chmodSync(join(old, "node"), 0o755);
  const env = { HOLDFAST_NODE: "", PATH: `${old}:/usr/bin:/bin` };
  await noAnswer(
    "an old Node",
    words,
    { program: otherPackage("old-node", ""), env },
    /has 18\.0\.0/,
  );
  for (const [title, main] of [
    ["syntax", "this is no program"],
    ["import", 'import "holdfast-none";'],
    ["throw", 'throw new Error("x");'],
    ["reject", 'await import("holdfast-none");'],
    ["failure", "process.exitCode = 1;"],
    ["late", "process.exitCode = 94; setTimeout(() => { throw new Error(); });"],
  ] as const) {
    await noAnswer(title, words, { program: otherPackage(`main-${title}`, main) });
  }
});

test("a link to the starter is as good as the starter", async () => {
  const link = join(folder, "holdfast-link");
  symlinkSync(HOLDFAST, link);
  const run = await fetch([name(9), "%p", ...there], { program: link });
  assert.deepEqual([run.status, run.stderr], [1, ""]);
});
