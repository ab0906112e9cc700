// What is typed into a file of secrets is not lost: what can be known is said before the editor opens, what cannot be saved
// goes back to it or is kept, and of two who change one file neither loses. Editors and keys are scripts.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { after, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openWorkbench, PROGRAM, ROOT_ONLY } from "../faults/workbench.ts";
import type { Run, RunOptions } from "../faults/workbench.ts";
import { peer, skipWithout } from "../peers.ts";
import { program } from "../sops-keys/programs.ts";

const bench = await openWorkbench({ after });
const PLAIN = "stringData:\n    ONE: first\n    TWO: second\n";
const SYSTEM_PATH = process.env["PATH"] ?? "";

/** Waits until the terminal that `script`, the process, has made gives keys as they come, and not by lines. */
async function untilRaw(script: number): Promise<void> {
  const [inner] = readFileSync(`/proc/${script}/task/${script}/children`, "utf8").split(" ");
  const terminal = readlinkSync(`/proc/${inner}/fd/0`);
  while (!execFileSync("stty", ["-F", terminal, "-a"]).includes("-icanon")) await sleep(20);
}

suite("what is typed is not lost", { skip: skipWithout("age-keygen") }, () => {
  let keyFile: string;
  const at = (name: string): string => bench.at("git", name);
  const text = (name: string): string => readFileSync(at(name), "utf8");
  const script = (name: string, body: string): string => {
    writeFileSync(at(name), `#!/bin/sh\nset -e\n${body}\n`, { mode: 0o755 });
    return at(name);
  };
  const secrets = (words: string[], options: RunOptions = {}): Promise<Run> =>
    bench.holdfast(["secrets", ...words], {
      cwd: at("."),
      ...options,
      env: { SOPS_AGE_KEY_FILE: keyFile, ...options.env },
    });
  const edit = (body: string, name: string, status: number, env = {}): Promise<Run> =>
    secrets(["edit", name], { env: { EDITOR: script("editor", body), ...env }, status });
  const opened = async (name: string): Promise<string> =>
    (await secrets(["decrypt", name], { status: 0 })).stdout;

  before(async () => {
    mkdirSync(at("."), { recursive: true });
    keyFile = bench.at("key.txt");
    execFileSync(peer("age-keygen").path, ["-o", keyFile], { stdio: "ignore" });
    const recipient = /age1\w+/.exec(readFileSync(keyFile, "utf8"))![0];
    const rule = (path: string, age: string): string =>
      `  - path_regex: ${path}\n    age: ${age}\n`;
    writeFileSync(
      at(".sops.yaml"),
      `creation_rules:\n${rule("bad", `${recipient},age1nobody`)}${rule("", recipient)}`,
    );
    writeFileSync(at("a.yaml"), PLAIN);
    const made = await secrets(["encrypt", "-i", "a.yaml", "--json"], { status: 0 });
    assert.equal(
      made.stdout,
      '{"message_type":"secrets_file","action":"encrypt","file":"a.yaml"}\n',
    );
  });

  test("no editor opens for what cannot be saved", async () => {
    mkdirSync(at("folder"));
    symlinkSync("nowhere", at("dangling.yaml"));
    execFileSync("mkfifo", [at("fifo.yaml")]);
    writeFileSync(at("bad.yaml"), PLAIN);
    for (const [name, why] of [
      ["absent/new.yaml", /absent: ENOENT/],
      ["folder", /folder cannot be written: it is no regular file/],
      ["dangling.yaml", /a link that leads nowhere/],
      ["fifo.yaml", /fifo\.yaml cannot be written: it is no regular file/],
      ["bad.yaml", /age1nobody/],
      ["bad-new.yaml", /age1nobody/],
    ] as const) {
      const run = await edit(`touch '${at("opened")}'`, name, 1);
      assert.match(run.stderr, why);
      assert.ok(!existsSync(at("opened")), name);
    }
    const set = await secrets(["set", "fifo.yaml", "a"], { input: "x", status: 1 });
    assert.match(set.stderr, /no regular file/);
    const inPlace = await secrets(["encrypt", "-i", "folder"], { status: 1 });
    assert.match(inPlace.stderr, /no regular file/);
  });

  test("a program is told what was done", async () => {
    const run = async (words: string[], options: RunOptions): Promise<unknown> =>
      JSON.parse((await secrets([...words, "--json"], options)).stdout);
    const done = { message_type: "secrets_file", file: "a.yaml" };
    const set = await run(["set", "a.yaml", "stringData.ONE"], { input: "x", status: 0 });
    assert.deepEqual(set, { ...done, action: "set", path: "stringData.ONE" });
    const same = { env: { EDITOR: "true" }, status: 200 };
    const changed = { env: { EDITOR: script("editor", 'sed -i s/x/y/ "$1"') }, status: 0 };
    const word = ["edit", "a.yaml"];
    assert.deepEqual(await run(word, same), { ...done, action: "edit", changed: false });
    assert.deepEqual(await run(word, changed), { ...done, action: "edit", changed: true });
  });

  test("Vim is Vim by whatever name, and writes the text nowhere else", async () => {
    mkdirSync(at("path"));
    mkdirSync(at("alternatives"));
    const notes = `echo "$*" > '${at("called")}'`;
    for (const [name, body, isVim] of [
      ["vim.basic", notes, true],
      ["view", `[ "$1" = --version ] && echo 'VIM - Vi IMproved 9.1'; ${notes}`, true],
      ["ex", `[ "$1" = --version ] && exit 1; ${notes}`, false],
      ["nano", notes, false],
    ] as const) {
      rmSync(at("path/vi"), { force: true });
      symlinkSync("../alternatives/vi", at("path/vi"));
      rmSync(at("alternatives/vi"), { force: true });
      symlinkSync(script(`alternatives/${name}`, body), at("alternatives/vi"));
      const env = { PATH: `${at("path")}:${SYSTEM_PATH}`, EDITOR: "vi -x" };
      await secrets(["edit", "a.yaml"], { env, status: 200 });
      assert.equal(/^-n -i NONE .* -x \S+\/a\.yaml\n$/.test(text("called")), isVim, name);
    }
    // One that is started by something else, as by snap.
    const called = script("nvim", notes);
    await secrets(["edit", "a.yaml"], { env: { EDITOR: called }, status: 200 });
    assert.match(text("called"), /^-n -i NONE /);
  });

  test("of two who set values at the same time neither loses", async () => {
    const set = (path: string, value: string, env = {}): Promise<Run> =>
      secrets(["set", "a.yaml", path], { input: value, env, status: 0 });
    // The other one is there between our look at the file and our writing.
    const inner = `SOPS_AGE_KEY_CMD= SOPS_AGE_KEY_FILE='${keyFile}' '${PROGRAM}' secrets set a.yaml stringData.TWO`;
    const key = script(
      "key",
      `[ -e '${at("was")}' ] || { touch '${at("was")}'; echo other | ${inner} >&2; }\ncat '${keyFile}'`,
    );
    await set("stringData.ONE", "mine", { SOPS_AGE_KEY_FILE: "", SOPS_AGE_KEY_CMD: key });
    assert.ok(existsSync(at("was")));
    assert.equal(await opened("a.yaml"), "stringData:\n    ONE: mine\n    TWO: other\n");
  });

  test("without a terminal, what cannot be put in place is kept", { skip: ROOT_ONLY }, async () => {
    const old = text("a.yaml");
    execFileSync("mount", ["--bind", at("a.yaml"), at("a.yaml")]);
    const run = await edit('sed -i s/mine/kept/ "$1"', "a.yaml", 1);
    execFileSync("umount", [at("a.yaml")]);
    assert.match(run.stderr, /a\.yaml cannot be replaced: EBUSY: [^\n]+; it is as it was\n/);
    assert.match(run.stderr, /saved is in a\.edited\.yaml, encrypted/);
    assert.equal(text("a.yaml"), old);
    assert.match(await opened("a.edited.yaml"), /ONE: kept/);
    assert.deepEqual(
      readdirSync(at(".")).filter((name) => name.endsWith(".tmp")),
      [],
    );
  });

  const terminal = { skip: ROOT_ONLY || program("script").skip };
  test("at a terminal it goes back to the editor", { ...terminal, timeout: 300_000 }, async () => {
    const file = at("a.yaml");
    const tool = script(
      "editor",
      `[ -e '${at("once")}' ] && exec umount '${file}'
      touch '${at("once")}'; mount --bind '${file}' '${file}'; echo "    MORE: x" >> "$1"`,
    );
    const sit = async (answer: string): Promise<[status: number, said: string]> => {
      const words = ["-qec", `${PROGRAM} secrets edit a.yaml`, "/dev/null"];
      const env = { ...process.env, SOPS_AGE_KEY_FILE: keyFile, EDITOR: tool };
      const child = spawn("script", words, {
        cwd: at("."),
        env,
        stdio: ["pipe", "pipe", "inherit"],
      });
      let said = "";
      child.stdout.on("data", (data: Buffer) => {
        const isAsked = said.includes("press Enter");
        said += data.toString();
        // The terminal is told only after the person that keys are to come as they are.
        if (!isAsked && said.includes("press Enter"))
          void untilRaw(child.pid!).then(() => child.stdin.write(answer));
      });
      const [status] = (await once(child, "close")) as [number];
      return [status, said];
    };
    const old = text("a.yaml");
    const [stopped, why] = await sit("\x03");
    assert.equal(stopped, 130, why);
    assert.match(why, /hint: It is mounted by itself[^]*Cancelled: stopped; a\.yaml is as it was/);
    assert.equal(text("a.yaml"), old);
    execFileSync("umount", [file]);
    rmSync(at("once"));
    const [saved, said] = await sit("\r");
    assert.equal(saved, 0, said);
    assert.match(said, /a\.yaml is saved/);
    assert.match(await opened("a.yaml"), /MORE: x/);
  });
});
