// Where secrets must not turn up: in anything the program says, however much it is asked to say and whatever goes wrong; in a file
// that it leaves; in the arguments or variables of programs that it runs.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { openWorkbench, PASSWORD } from "../faults/workbench.ts";
import { peer, skipWithout } from "../peers.ts";

const bench = await openWorkbench({ after });
const SECRET = "GEHEIM-4711";
/** In memory, and nobody else's: other tests edit at the same time. */
const memory = mkdtempSync("/dev/shm/holdfast-test-");
after(() => rmSync(memory, { recursive: true }));

/** Every file below `folder` that holds `text`. */
function holding(folder: string, text: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile() && readFileSync(path).includes(text));
}

suite("a secret is kept", { skip: skipWithout("age-keygen") }, () => {
  const at = (name: string): string => bench.at("kept", name);
  let env: Record<string, string>;

  before(() => {
    for (const name of ["home", "tmp", "git", "tools"]) mkdirSync(at(name), { recursive: true });
    execFileSync(peer("age-keygen").path, ["-o", at("key.txt")], { stdio: "ignore" });
    const recipient = /age1\w+/.exec(readFileSync(at("key.txt"), "utf8"))![0];
    writeFileSync(
      at("git/.sops.yaml"),
      `creation_rules:\n  - encrypted_regex: ^(data|stringData)$\n    age: ${recipient}\n`,
    );
    // What a program that is run was given.
    writeFileSync(
      at("tools/recorder"),
      `#!/bin/sh\n{ echo "$@"; env; } >> '${at("given")}'\necho "said ${SECRET}" >&2\nexit 1\n`,
    );
    chmodSync(at("tools/recorder"), 0o755);
    env = {
      HOME: at("home"),
      XDG_CACHE_HOME: at("home/cache"),
      XDG_RUNTIME_DIR: memory,
      TMPDIR: at("tmp"),
      SOPS_AGE_KEY_FILE: at("key.txt"),
      EDITOR: "true",
    };
  });

  test("by every command, in success and in failure", async () => {
    const manifest = [
      "kind: Secret",
      "stringData:",
      `  RESTIC_REPOSITORY: ${bench.repository}`,
      `  RESTIC_PASSWORD: ${PASSWORD}`,
      `  AWS_SECRET_ACCESS_KEY: ${SECRET}`,
      "  OTHER: other",
      "",
    ].join("\n");
    const file = at("git/s.enc.yaml");
    const run = async (words: string[], status: number, input?: string): Promise<string> => {
      const options = { cwd: at("git"), env, status, ...(input !== undefined && { input }) };
      const { stdout, stderr } = await bench.holdfast(words, options);
      const said = `${stdout}${stderr}`;
      for (const secret of [SECRET, PASSWORD]) assert.ok(!said.includes(secret), said);
      return said;
    };
    // Made through standard input, so that the only plain copy is in this process.
    writeFileSync(file, "stringData: {A: x}\n");
    await run(["secrets", "encrypt", "-i", file], 0);
    const whole = await bench.holdfast(["secrets", "edit", file], {
      cwd: at("git"),
      env: { ...env, EDITOR: "sh -c 'cat >/dev/null'", TEXT: manifest },
      status: 200,
    });
    assert.ok(!whole.stderr.includes(SECRET));
    writeFileSync(at("tools/write"), `#!/bin/sh\nprintf %s "$TEXT" > "$1"\n`, { mode: 0o755 });
    await bench.holdfast(["secrets", "edit", file], {
      cwd: at("git"),
      env: { ...env, EDITOR: at("tools/write"), TEXT: manifest },
      status: 0,
    });
    const sound = readFileSync(file, "utf8");
    await run(["-vvv", "secrets", "check"], 0);
    await run(["--json", "-vvv", "secrets", "check"], 0);
    await run(["-vvv", "secrets", "set", file, "stringData.OTHER"], 0, `${SECRET}\n`);
    await run(["-vvv", "secrets", "edit", file], 200);
    await run(["-vvv", "--from-secret", file, "snapshots"], 0);
    await run(["-vvv", "--from-secret", file, "backup", "."], 0);
    await run(["--json", "-vvv", "--from-secret", file, "check", "--read-data"], 0);
    await run(["secrets", "get", file, "stringData.AWS_SECRET_ACCESS_KEY.deeper"], 1);
    // A repository that is not there, and one whose storage refuses.
    await run(["-vvv", "--from-secret", file, "-r", at("nowhere"), "snapshots"], 10);
    // Programs that are run for keys are told what is encrypted, and fail.
    writeFileSync(
      at("git/pgp.enc.yaml"),
      sound.replace(/age:\n/, "pgp:\n").replace("recipient:", "fp:"),
    );
    await run(["-vvv", "secrets", "decrypt", "pgp.enc.yaml"], 128);
    // Damage of every kind.
    const damages: [string, number][] = [
      [sound.replace("kind: Secret", "kind: secret"), 51],
      [sound.replace(/OTHER: ENC.*/, `OTHER: ${SECRET}`), 25],
      [sound.replace(/OTHER: ENC.*/, `OTHER: [${SECRET}`), 1],
      [sound.replace(/^sops:/m, "nothing:").replace(/OTHER: ENC.*/, `OTHER: ${SECRET}`), 1],
      [`stringData:\n  A: ${SECRET}\n  A: ${SECRET}\n`, 1],
    ];
    for (const [text, status] of damages) {
      writeFileSync(at("git/damaged.enc.yaml"), text);
      await run(["-vvv", "secrets", "decrypt", "damaged.enc.yaml"], status);
      await run(
        ["-vvv", "--from-secret", "damaged.enc.yaml", "snapshots"],
        status === 1 ? 1 : status,
      );
      await run(["-vvv", "secrets", "check", "damaged.enc.yaml"], 1);
      writeFileSync(at("git/damaged.enc.yaml"), "");
    }
    for (const folder of ["home", "tmp", "git"]) {
      for (const secret of [SECRET, PASSWORD]) assert.deepEqual(holding(at(folder), secret), []);
    }
    // The folder of an editor goes with it.
    assert.deepEqual(readdirSync(memory), []);
  });

  test("from programs that are run for a password or a key", async () => {
    const program = at("tools/recorder");
    const options = {
      cwd: at("git"),
      env: {
        ...env,
        SOPS_AGE_KEY_FILE: "/nowhere",
        SOPS_AGE_KEY_CMD: program,
        PATH: `${at("tools")}:${process.env["PATH"]}`,
      },
      status: 128,
    };
    const said = await bench.holdfast(["-vvv", "secrets", "decrypt", "s.enc.yaml"], options);
    assert.ok(
      !`${said.stdout}${said.stderr}`.includes(SECRET),
      "what such a program says may be the key",
    );
    const secret = ["--from-secret", "s.enc.yaml", "--password-command", program, "snapshots"];
    await bench.holdfast(secret, { ...options, env, status: 1 });
    const given = readFileSync(at("given"), "utf8");
    assert.ok(given !== "" && !given.includes(SECRET), "no child sees what was loaded");
  });
});
