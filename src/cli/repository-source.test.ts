import { test } from "node:test";
import assert from "node:assert/strict";
import { isHoldfastError } from "../base/errors.ts";
import type { Environment } from "./environment.ts";
import {
  findRepositorySource,
  otherWays,
  readLocation,
  readNewPassword,
  readPassword,
} from "./repository-source.ts";
import type { PasswordSource, RepositoryFlags, SecretIo } from "./repository-source.ts";

const REPOSITORY = { RESTIC_REPOSITORY: "/srv/repository" };

function passwordOf(flags: RepositoryFlags, environment: Environment): PasswordSource {
  return findRepositorySource(flags, { ...REPOSITORY, ...environment }).password;
}

function isUsage(pattern: RegExp) {
  return (error: unknown) => isHoldfastError(error, "USAGE") && pattern.test(error.message);
}

/** Files and programs by name, and what a person types. */
function ioOver(contents: Record<string, string | Uint8Array>, typed?: string[]): SecretIo {
  const find = (name: string): Promise<Uint8Array> => {
    const content = contents[name];
    if (content !== undefined) return Promise.resolve(Buffer.from(content as string));
    return Promise.reject(Object.assign(new Error("no such file"), { code: "ENOENT" }));
  };
  return {
    readFile: find,
    run: (program, args) => find([program, ...args].join(" ")),
    ask: typed && (() => Promise.resolve(typed.shift() ?? "")),
    readLine: () => Promise.resolve("from stdin"),
    readAll: () => Promise.resolve(Buffer.from("from stdin")),
  };
}

test("the location comes from a flag or a variable, directly or in a file", async () => {
  const locate = (flags: RepositoryFlags, environment: Environment) =>
    readLocation(findRepositorySource(flags, environment), ioOver({ "/file": " s3:x/y \n" }));
  assert.equal(await locate({ repo: "/flag" }, REPOSITORY), "/flag");
  assert.equal(await locate({}, REPOSITORY), "/srv/repository");
  assert.equal(await locate({}, { RESTIC_REPOSITORY_FILE: "/file" }), "s3:x/y");
  assert.equal(await locate({ repositoryFile: "/file" }, REPOSITORY), "s3:x/y");
  assert.equal(await locate({}, { ...REPOSITORY, HOLDFAST_REPOSITORY_FILE: "/file" }), "s3:x/y");
  await assert.rejects(
    locate({ repositoryFile: "/absent" }, {}),
    isUsage(/^--repository-file: \/absent does not exist$/),
  );
});

test("a location that is missing, empty or given twice is a usage error", async () => {
  const find = (flags: RepositoryFlags, environment: Environment) => () =>
    findRepositorySource(flags, environment);
  assert.throws(find({}, {}), isUsage(/^Please specify repository location/));
  assert.throws(find({ repo: "/a", repositoryFile: "/b" }, {}), isUsage(/mutually exclusive/));
  assert.throws(
    find({}, { ...REPOSITORY, RESTIC_REPOSITORY_FILE: "/b" }),
    isUsage(/^RESTIC_REPOSITORY and RESTIC_REPOSITORY_FILE are mutually exclusive/),
  );
  const empty = findRepositorySource({ repositoryFile: "/empty" }, {});
  await assert.rejects(
    readLocation(empty, ioOver({ "/empty": "\n" })),
    isUsage(/names no repository/),
  );
});

test("the source of a copy has flags and variables of its own", () => {
  const environment = {
    ...REPOSITORY,
    RESTIC_PASSWORD: "main",
    RESTIC_FROM_REPOSITORY: "/from",
    RESTIC_FROM_PASSWORD_FILE: "/from-password",
    RESTIC_FROM_KEY_HINT: "abcd",
  };
  const source = findRepositorySource({}, environment, "from");
  assert.deepEqual(source, {
    location: { text: "/from" },
    password: { kind: "file", name: "/from-password", source: "RESTIC_FROM_PASSWORD_FILE" },
    keyHint: "abcd",
  });
  assert.throws(
    () => findRepositorySource({}, REPOSITORY, "from"),
    isUsage(/specify a source repository/),
  );
});

test("of several passwords the one that restic takes is taken", () => {
  const text = { RESTIC_PASSWORD: "x" };
  const file = { RESTIC_PASSWORD_FILE: "/f" };
  const command = { RESTIC_PASSWORD_COMMAND: "pass 'my odoo'" };
  assert.deepEqual(passwordOf({}, text), { kind: "given", password: "x" });
  assert.deepEqual(passwordOf({}, { ...text, ...file }), {
    kind: "file",
    name: "/f",
    source: "RESTIC_PASSWORD_FILE",
  });
  assert.deepEqual(passwordOf({}, { ...text, ...command }), {
    kind: "command",
    words: ["pass", "my odoo"],
    source: "RESTIC_PASSWORD_COMMAND",
  });
  assert.deepEqual(passwordOf({ passwordFile: "/flag" }, { ...text, ...command }), {
    kind: "file",
    name: "/flag",
    source: "--password-file",
  });
  assert.deepEqual(passwordOf({}, { ...file, HOLDFAST_PASSWORD: "own" }), {
    kind: "given",
    password: "own",
  });
  assert.deepEqual(passwordOf({}, {}), { kind: "ask" });
  assert.deepEqual(passwordOf({ insecureNoPassword: true }, {}), { kind: "none" });
});

test("passwords that contradict each other are a usage error", () => {
  const both = { RESTIC_PASSWORD_FILE: "/f", RESTIC_PASSWORD_COMMAND: "c" };
  assert.throws(() => passwordOf({}, both), isUsage(/mutually exclusive/));
  assert.throws(
    () => passwordOf({ insecureNoPassword: true }, { RESTIC_PASSWORD: "secret" }),
    (error: unknown) =>
      isUsage(/^--insecure-no-password and RESTIC_PASSWORD/)(error) &&
      !String(error).includes("secret"),
  );
  assert.throws(
    () => passwordOf({ passwordCommand: "pass 'x" }, {}),
    isUsage(/^--password-command: /),
  );
});

test("files and programs give passwords without the white space around them", async () => {
  const io = ioOver({
    "/plain": "  pässwörd \r\n",
    "/utf16": Buffer.from("\ufeffpässwörd\r\n", "utf16le"),
    "pass show odoo": "pässwörd\n",
  });
  const sources = [
    { passwordFile: "/plain" },
    { passwordFile: "/utf16" },
    { passwordCommand: "pass show odoo" },
  ];
  for (const flags of sources) {
    assert.deepEqual(await readPassword(passwordOf(flags, {}), io), {
      password: "pässwörd",
      asked: false,
    });
  }
  assert.deepEqual(await readPassword({ kind: "given", password: " x " }, io), {
    password: " x ",
    asked: false,
  });
});

test("a password that cannot be had is a usage error", async () => {
  const io = ioOver({ "/empty": " \n", "/latin": Buffer.from("p\xe4ss", "latin1") });
  const read = (flags: RepositoryFlags) => readPassword(passwordOf(flags, {}), io);
  await assert.rejects(
    read({ passwordFile: "/absent" }),
    isUsage(/^--password-file: \/absent does not exist$/),
  );
  await assert.rejects(read({ passwordFile: "/empty" }), isUsage(/empty password is not allowed/));
  await assert.rejects(
    read({ passwordFile: "/latin" }),
    isUsage(/^--password-file: \/latin is not UTF-8 text$/),
  );
  await assert.rejects(
    read({ passwordCommand: "nopass" }),
    isUsage(/^--password-command: nopass failed: /),
  );
});

test("a person is asked, or stdin is read where there is no person", async () => {
  assert.deepEqual(await readPassword({ kind: "ask" }, ioOver({}, ["typed"])), {
    password: "typed",
    asked: true,
  });
  assert.deepEqual(await readPassword({ kind: "ask" }, ioOver({})), {
    password: "from stdin",
    asked: false,
  });
  assert.deepEqual(await readPassword({ kind: "none" }, ioOver({})), {
    password: "",
    asked: false,
  });
  await assert.rejects(readPassword({ kind: "ask" }, ioOver({}, [""])), isUsage(/empty password/));
});

test("a new password is typed twice", async () => {
  assert.equal(await readNewPassword({ kind: "ask" }, ioOver({}, ["a", "a"])), "a");
  await assert.rejects(
    readNewPassword({ kind: "ask" }, ioOver({}, ["a", "b"])),
    isUsage(/do not match/),
  );
  assert.equal(await readNewPassword({ kind: "given", password: "g" }, ioOver({}, [])), "g");
});

test("the other ways to say what a variable says", () => {
  assert.deepEqual(otherWays("RESTIC_FROM_PASSWORD_FILE"), [
    "RESTIC_FROM_PASSWORD",
    "RESTIC_FROM_PASSWORD_COMMAND",
    "HOLDFAST_FROM_PASSWORD",
    "HOLDFAST_FROM_PASSWORD_FILE",
    "HOLDFAST_FROM_PASSWORD_COMMAND",
  ]);
  assert.deepEqual(otherWays("HOLDFAST_REPOSITORY"), [
    "RESTIC_REPOSITORY",
    "RESTIC_REPOSITORY_FILE",
    "HOLDFAST_REPOSITORY_FILE",
  ]);
  assert.deepEqual(otherWays("RESTIC_HOST"), ["HOLDFAST_HOST"]);
  assert.deepEqual(otherWays("AWS_SECRET_ACCESS_KEY"), []);
});
