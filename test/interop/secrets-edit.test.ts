// `secrets edit` with editors that are scripts, on files of real sops: what is saved, what is left behind, and where the text was
// while it was being edited.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { after, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openWorkbench, PROGRAM } from "../faults/workbench.ts";
import type { Run } from "../faults/workbench.ts";
import { peer, skipWithout } from "../peers.ts";

const bench = await openWorkbench({ after });
/** In memory, and nobody else's: other tests edit at the same time. */
const memory = mkdtempSync("/dev/shm/holdfast-test-");
after(() => rmSync(memory, { recursive: true }));
const sops = peer("sops-newest");
const PLAIN = "kind: Secret\n# why\nstringData:\n    PASSWORD: GEHEIM\n    OTHER: stays\n";

suite("secrets edit", { skip: skipWithout("sops-newest", "age-keygen") }, () => {
  let keyFile: string;
  const at = (name: string): string => bench.at("git", name);
  const text = (name: string): string => readFileSync(at(name), "utf8");
  /** An editor that runs `script` with the file as $1. */
  const editor = (script: string): string => {
    writeFileSync(at("editor"), `#!/bin/sh\nset -e\n${script}\n`, { mode: 0o755 });
    chmodSync(at("editor"), 0o755);
    return at("editor");
  };
  const edit = (script: string, words: string[], status = 0, env = {}): Promise<Run> =>
    bench.holdfast(["secrets", "edit", ...words], {
      cwd: at("."),
      env: {
        SOPS_AGE_KEY_FILE: keyFile,
        XDG_RUNTIME_DIR: memory,
        EDITOR: editor(script),
        ...env,
      },
      status,
    });
  const env = (): NodeJS.ProcessEnv => ({
    ...process.env,
    SOPS_AGE_KEY_FILE: keyFile,
    XDG_RUNTIME_DIR: memory,
  });
  const theirs = (name: string): string =>
    execFileSync(sops.path, ["decrypt", at(name)], { env: env() }).toString();
  const remains = (): string[] => readdirSync(memory);

  before(() => {
    mkdirSync(at("."), { recursive: true });
    keyFile = bench.at("key.txt");
    execFileSync(peer("age-keygen").path, ["-o", keyFile], { stdio: "ignore" });
    const recipient = /age1\w+/.exec(readFileSync(keyFile, "utf8"))![0];
    writeFileSync(
      at(".sops.yaml"),
      `creation_rules:\n  - path_regex: enc\n    encrypted_regex: ^(data|stringData)$\n    age: ${recipient}\n`,
    );
    writeFileSync(at("a.enc.yaml"), PLAIN, { mode: 0o640 });
    execFileSync(sops.path, ["encrypt", "-i", at("a.enc.yaml")], { cwd: at(".") });
    chmodSync(at("a.enc.yaml"), 0o640);
  });

  test("saves what was changed and keeps the rest, and real sops opens it", async () => {
    const old = text("a.enc.yaml").split("\n");
    const run = await edit("sed -i 's/GEHEIM/ANDERS/' \"$1\"", ["a.enc.yaml"]);
    assert.equal(theirs("a.enc.yaml"), PLAIN.replace("GEHEIM", "ANDERS"));
    const now = text("a.enc.yaml").split("\n");
    const changed = now.filter((line, index) => line !== old[index]);
    assert.deepEqual(
      changed.map((line) => line.trim().split(":")[0]).filter((name) => name !== "lastmodified"),
      ["PASSWORD", "mac"],
    );
    assert.equal(statSync(at("a.enc.yaml")).mode & 0o777, 0o640);
    assert.ok(!`${run.stdout}${run.stderr}`.includes("ANDERS"));
    // What sops edited is edited here, and the other way round.
    const tool = editor("sed -i 's/ANDERS/WIEDER/' \"$1\"");
    execFileSync(sops.path, ["edit", at("a.enc.yaml")], { env: { ...env(), EDITOR: tool } });
    await edit('echo "    NEW: x" >> "$1"', ["a.enc.yaml"]);
    assert.equal(theirs("a.enc.yaml"), `${PLAIN.replace("GEHEIM", "WIEDER")}    NEW: x\n`);
  });

  test("has the text in memory alone, in a folder that nobody else enters, and leaves nothing", async () => {
    await edit(
      `stat -f -c %T "$1" > '${at("where")}'; stat -c %a "$(dirname "$1")" "$1" >> '${at("where")}'
       cp "$1" "$1~"; basename "$1" >> '${at("where")}'`,
      ["a.enc.yaml"],
      200,
    );
    assert.equal(text("where"), "tmpfs\n700\n600\na.enc.yaml\n");
    assert.deepEqual(remains(), []);
    const nowhere = { XDG_RUNTIME_DIR: at("."), EDITOR: "true" };
    await edit("", ["a.enc.yaml"], 200, nowhere);
  });

  test("leaves the file as it was when nothing was changed, or cannot be saved", async () => {
    const old = text("a.enc.yaml");
    const same = await edit("true", ["a.enc.yaml"], 200);
    assert.match(same.stdout, /was not changed/);
    const failed = await edit('echo x > "$1"; exit 3', ["a.enc.yaml"], 1);
    assert.match(failed.stderr, /ended with status 3; the file is as it was/);
    const broken = await edit("printf 'a: [\\nGEHEIM' > \"$1\"", ["a.enc.yaml"], 1);
    assert.ok(/a\.enc\.yaml, line 2/.test(broken.stderr) && !broken.stderr.includes("GEHEIM"));
    await edit("printf 'a: b\\nsops: {mac: x}\\n' > \"$1\"", ["a.enc.yaml"], 203);
    const gone = await edit('rm "$1"', ["a.enc.yaml"], 1);
    assert.match(gone.stderr, /editor left no file; a\.enc\.yaml is as it was/);
    await edit("", ["a.enc.yaml"], 1, { EDITOR: at("absent") });
    const none = await edit("", ["a.enc.yaml"], 1, { EDITOR: "", PATH: at(".") });
    assert.match(none.stderr, /no editor/);
    assert.equal(text("a.enc.yaml"), old);
    writeFileSync(at("changed.enc.yaml"), old.replace("kind: Secret", "kind: secret"));
    await edit("true", ["changed.enc.yaml"], 51);
    await edit('sed -i s/secret/Secret/ "$1"', ["changed.enc.yaml", "--ignore-mac"]);
    assert.match(theirs("changed.enc.yaml"), /kind: Secret/);
    assert.deepEqual(remains(), []);
  });

  test("encrypts a plain file when it is saved, and makes a new one", async () => {
    writeFileSync(at("plain.enc.yaml"), PLAIN);
    await edit("true", ["plain.enc.yaml"]);
    assert.equal(theirs("plain.enc.yaml"), PLAIN);
    await edit("true", ["new.enc.yaml"], 200);
    assert.ok(!existsSync(at("new.enc.yaml")));
    await edit("printf 'data:\\n    x: new\\n' > \"$1\"", ["new.enc.yaml"]);
    assert.match(theirs("new.enc.yaml"), /x: new/);
    const ruled = await edit(`touch '${at("edited")}'`, ["no-rule.yaml"], 1);
    assert.match(ruled.stderr, /has no rule for no-rule\.yaml/);
    assert.ok(!existsSync(at("edited")), "nobody types what cannot be saved");
  });

  test("knows every format of sops", async () => {
    for (const [name, plain] of [
      ["enc.json", '{\n\t"a": "GEHEIM",\n\t"b": [1, {"c": true}]\n}\n'],
      ["enc.env", "# why\nA=GEHEIM\nB=x\n"],
      ["enc.bin", "GEHEIM\n\0"],
      ["enc.yml", "a: GEHEIM\n---\nb: [1, 2]\n"],
      ["enc-empty.yml", "a: GEHEIM\n---\n# only this\n---\nb: c\n---\n"],
    ] as const) {
      writeFileSync(at(name), plain);
      const recipient = /age1\w+/.exec(text(".sops.yaml"))![0];
      execFileSync(sops.path, [
        "--config",
        "/dev/null",
        "encrypt",
        "-i",
        "--age",
        recipient,
        at(name),
      ]);
      const old = theirs(name);
      await edit('sed -i s/GEHEIM/ANDERS/ "$1"', [name]);
      assert.equal(theirs(name), old.replace("GEHEIM", "ANDERS"), name);
      rmSync(at(name));
    }
  });

  test("does not overwrite what somebody else saved meanwhile", async () => {
    const target = at("plain.enc.yaml");
    const lost = await edit(
      `echo "    MINE: m" >> "$1"; echo "# theirs" >> '${target}'`,
      ["plain.enc.yaml"],
      1,
    );
    assert.match(lost.stderr, /changed by somebody else meanwhile/);
    assert.match(text("plain.enc.yaml"), /# theirs\n$/);
    assert.match(lost.stderr, /What you saved is in plain\.edited\.enc\.yaml, encrypted/);
    assert.match(theirs("plain.enc.yaml"), /GEHEIM/);
    assert.match(theirs("plain.edited.enc.yaml"), /MINE: m/);
    const again = await edit(
      `echo "    SECOND: m" >> "$1"; echo "# again" >> '${target}'`,
      ["plain.enc.yaml"],
      1,
    );
    assert.match(again.stderr, /in plain\.edited-2\.enc\.yaml/);
    assert.match(theirs("plain.edited-2.enc.yaml"), /SECOND: m/);
    const made = `echo 'data: {x: mine}' > "$1"; echo theirs > '${at("raced.enc.yaml")}'`;
    await edit(made, ["raced.enc.yaml"], 1);
    assert.equal(text("raced.enc.yaml"), "theirs\n");
    assert.match(theirs("raced.edited.enc.yaml"), /x: mine/);
  });

  test("an interrupt is the editor's; a request to end leaves nothing in memory", async () => {
    const old = text("a.enc.yaml");
    const tool = editor(`trap : INT; touch '${at("started")}'; n=0
      while [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); [ -e '${at("go")}' ] && exit 0; done; exit 9`);
    const start = (): ReturnType<typeof spawn> =>
      spawn(PROGRAM, ["secrets", "edit", "a.enc.yaml"], {
        cwd: at("."),
        env: { ...env(), EDITOR: tool },
        stdio: "ignore",
      });
    const untilStarted = async (): Promise<void> => {
      while (!existsSync(at("started"))) await sleep(20);
      rmSync(at("started"));
    };
    const interrupted = start();
    await untilStarted();
    interrupted.kill("SIGINT");
    await sleep(200);
    writeFileSync(at("go"), "");
    assert.deepEqual(await once(interrupted, "exit"), [200, null]);
    rmSync(at("go"));
    for (const signal of ["SIGTERM", "SIGQUIT"] as const) {
      const ended = start();
      await untilStarted();
      assert.equal(remains().length, 1);
      ended.kill(signal);
      assert.deepEqual(await once(ended, "exit"), [130, null]);
      assert.deepEqual(remains(), []);
    }
    assert.equal(text("a.enc.yaml"), old);
  });
});
