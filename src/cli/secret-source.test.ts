import assert from "node:assert/strict";
import { test } from "node:test";
import { isHoldfastError } from "../base/errors.ts";
import { parseTrees } from "../sops/document.ts";
import type { Environment } from "./environment.ts";
import type { SecretIo } from "./repository-source.ts";
import { parseSecret } from "./secret-source.ts";
import type { SecretMeans } from "./secret-source.ts";
import type { OpenedFile } from "./sops-file.ts";

const MANIFEST = `
kind: Secret
stringData:
  PASSWORD: hunter2
  "with.dot": dotted
  NUMBER: 0644
  LIST: [a]
  EMPTY: ""
  NOTHING:
`;

const absent = (): Error => Object.assign(new Error("no such file"), { code: "ENOENT" });

/** Files and programs by name; the SOPS file is MANIFEST, whatever it is called. */
function meansOver(contents: Record<string, string>, environment: Environment = {}): SecretMeans {
  const find = (name: string): Promise<Uint8Array> => {
    const content = contents[name];
    if (content === undefined) return Promise.reject(absent());
    return Promise.resolve(Buffer.from(content, "latin1"));
  };
  const roots = parseTrees({ name: "secret.yaml", text: MANIFEST }, "yaml");
  const io = {
    readFile: find,
    run: (program: string, args: readonly string[]) => find([program, ...args].join("|")),
  };
  return {
    files: {
      read: find,
      open: () => Promise.resolve({ decrypted: { roots } } as unknown as OpenedFile),
    },
    io: io as Partial<SecretIo> as SecretIo,
    environment,
  };
}

function read(source: string, means: SecretMeans = meansOver({})): Promise<string> {
  return parseSecret(`NAME=${source}`).read(means);
}

function isUsage(message: string | RegExp) {
  return (error: unknown): boolean =>
    isHoldfastError(error, "USAGE") &&
    !`${error.message}${error.hint}`.includes("hunter2") &&
    (typeof message === "string" ? error.message === message : message.test(error.message));
}

test("a value is found in a SOPS file, a variable, a file and a program", async () => {
  assert.equal(await read("sops:s.yaml#stringData.PASSWORD"), "hunter2");
  assert.equal(await read('sops:s.yaml#["stringData"]["with.dot"]'), "dotted");
  assert.equal(await read("env:OTHER", meansOver({}, { OTHER: "a\n" })), "a\n");
  const files = meansOver({
    "/a:b=c": "two\nlines\r\n",
    marked: "\xef\xbb\xbf\xc3\xa9\n\n",
    bare: " x ",
  });
  assert.equal(await read("file:/a:b=c", files), "two\nlines");
  assert.equal(await read("file:marked", files), "é\n");
  assert.equal(await read("file:bare", files), " x ");
  const programs = meansOver({ "pass|show|my password": "secret\n" });
  assert.equal(await read('command:pass show "my password"', programs), "secret");
});

test("what makes no sense is told without what was typed", () => {
  const cases: [given: string, message: string][] = [
    ["hunter2", "--secret: there is no = in it"],
    ["", "--secret: there is no = in it"],
    ["=env:A", "--secret: what stands before the = is no name of a variable"],
    ["hunter2!=x", "--secret: what stands before the = is no name of a variable"],
    ["A=hunter2", "--secret A: no known kind of source"],
    ["A=hunter2:x", "--secret A: no known kind of source"],
    ["A=constructor:x", "--secret A: no known kind of source"],
    ["A=", "--secret A: no known kind of source"],
    ["A=env:", "--secret A: nothing follows env:"],
    ["A=env:not a name", "--secret A: env: wants the name of a variable"],
    ["A=sops:s.yaml", "--secret A: sops: wants a file and a path into it"],
    ["A=sops:s.yaml#", "--secret A: sops: wants a file and a path into it"],
    ["A=sops:#a.b", "--secret A: sops: wants a file and a path into it"],
    ["A=command:'x", "--secret A: a ' is not closed"],
  ];
  for (const [given, message] of cases) {
    assert.throws(() => parseSecret(given), isUsage(message), given);
  }
});

test("what is not there, or no text, is told without the value", async () => {
  const means = meansOver(
    { latin: "hunter2\xff", nul: "hunter2\0", empty: "\n", "prints|nothing": "" },
    { EMPTY: "" },
  );
  const cases: [source: string, message: RegExp][] = [
    ["sops:s.yaml#stringData.ABSENT", /^--secret NAME: s\.yaml has nothing at stringData\.ABSENT$/],
    ["sops:s.yaml#stringData.NUMBER", /at stringData\.NUMBER is no text$/],
    ["sops:s.yaml#stringData.LIST", /is no text$/],
    ["sops:s.yaml#stringData.NOTHING", /is no text$/],
    ["sops:s.yaml#stringData", /is no text$/],
    ["sops:s.yaml#stringData.EMPTY", /the value is empty$/],
    ["env:ABSENT", /^--secret NAME: the variable ABSENT is not set$/],
    ["env:EMPTY", /the value is empty$/],
    ["file:/absent", /^--secret NAME: \/absent does not exist$/],
    ["file:empty", /the value is empty$/],
    ["file:latin", /the value is not UTF-8 text$/],
    ["file:nul", /the value has a NUL/],
    ["command:absent", /^--secret NAME: absent failed: no such file$/],
    ["command:prints nothing", /the value is empty$/],
  ];
  for (const [source, message] of cases) {
    await assert.rejects(read(source, means), isUsage(message), source);
  }
});
