// The guide's secret as a user of sops has it: encrypted by real sops with age, opened, looked into and checked by the program,
// and used in place of the guide's exports.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { after, before, suite, test } from "node:test";
import { openWorkbench, PASSWORD } from "../faults/workbench.ts";
import type { Run } from "../faults/workbench.ts";
import { peer, skipWithout } from "../peers.ts";

const bench = await openWorkbench({ after });
const sops = peer("sops-newest");
const MANIFEST = "kubernetes/secret-filestore-restic.enc.yaml";

suite("the guide's secret", { skip: skipWithout("sops-newest", "age-keygen") }, () => {
  let keyFile: string;
  const at = (name: string): string => bench.at("git", name);
  const secrets = (...words: string[]): Promise<Run> =>
    bench.holdfast(["secrets", ...words], {
      cwd: bench.at("git"),
      env: { SOPS_AGE_KEY_FILE: keyFile },
    });

  before(() => {
    mkdirSync(at("kubernetes"), { recursive: true });
    keyFile = bench.at("key.txt");
    execFileSync(peer("age-keygen").path, ["-o", keyFile], { stdio: "ignore" });
    const recipient = /age1\w+/.exec(readFileSync(keyFile, "utf8"))![0];
    const manifest = [
      "apiVersion: v1",
      "kind: Secret",
      "metadata:",
      "  name: odoo-filestore-restic",
      "data:",
      `  RESTIC_PASSWORD: ${Buffer.from("not this one").toString("base64")}`,
      `  RESTIC_HOST: ${Buffer.from("from-the-secret").toString("base64")}`,
      "stringData:",
      `  RESTIC_REPOSITORY: ${bench.repository}`,
      `  RESTIC_PASSWORD: ${PASSWORD}`,
      "  # the key of the account",
      "  RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS: |",
      '    {"type": "service_account",',
      '     "private_key": "GEHEIM"}',
      "",
    ].join("\n");
    writeFileSync(at(MANIFEST), manifest);
    const words = ["encrypt", "-i", "--age", recipient, "--encrypted-regex", "^(data|stringData)$"];
    execFileSync(sops.path, [...words, at(MANIFEST)]);
  });

  test("a value and the whole file are what sops prints", async () => {
    const path = '["stringData"]["RESTIC_PASSWORD"]';
    const env = { ...process.env, SOPS_AGE_KEY_FILE: keyFile };
    const theirs = execFileSync(sops.path, ["-d", "--extract", path, at(MANIFEST)], { env });
    assert.equal(theirs.toString(), PASSWORD);
    assert.equal((await secrets("get", MANIFEST, path)).stdout, PASSWORD);
    assert.equal((await secrets("get", MANIFEST, "stringData.RESTIC_PASSWORD")).stdout, PASSWORD);
    const whole = execFileSync(sops.path, ["decrypt", at(MANIFEST)], { env });
    assert.equal((await secrets("decrypt", MANIFEST)).stdout, whole.toString());
    assert.equal((await secrets("get", MANIFEST, "stringData.NOTHING")).status, 1);
  });

  test("the manifest takes the place of the guide's exports", async () => {
    const options = {
      cwd: bench.at("git"),
      env: { SOPS_AGE_KEY_FILE: keyFile, RESTIC_PASSWORD: "wrong", RESTIC_REPOSITORY: "/nowhere" },
      status: 0,
    };
    const run = await bench.holdfast(["--from-secret", MANIFEST, "snapshots", "--json"], options);
    assert.equal(run.stdout, "[]\n");
    writeFileSync(at("file"), "x");
    await bench.holdfast(["backup", "file", "--from-secret", MANIFEST], options);
    const listed = await bench.holdfast(
      ["snapshots", "--json", `--from-secret=${MANIFEST}`],
      options,
    );
    assert.equal(
      (JSON.parse(listed.stdout) as { hostname: string }[])[0]!.hostname,
      "from-the-secret",
    );
    // Without SOPS as well: a plain manifest, and a file of variables.
    writeFileSync(
      at("plain.env"),
      `RESTIC_REPOSITORY=${bench.repository}\nRESTIC_PASSWORD=${PASSWORD}\n`,
    );
    await bench.holdfast(["--from-secret", "plain.env", "snapshots"], options);
    await bench.holdfast(["--from-secret", "absent.yaml", "snapshots"], { ...options, status: 1 });
    for (const name of ["LD_PRELOAD", "EDITOR", "SOPS_AGE_KEY_CMD", "RCLONE_CONFIG_X_SSH"]) {
      writeFileSync(at("hostile.env"), `RESTIC_PASSWORD=x\n${name}=/tmp/evil\n`);
      const hostile = ["--from-secret", "hostile.env", "snapshots"];
      const refused = await bench.holdfast(hostile, { ...options, status: 1 });
      assert.match(refused.stderr, new RegExp(`hostile\\.env sets ${name}`));
    }
  });

  test("a look at the tree tells what is sound, what stands in plain and what nobody here opens", async () => {
    const sound = await secrets("check");
    assert.equal(sound.status, 0, sound.stdout);
    assert.match(sound.stdout, /secret-filestore-restic\.enc\.yaml +sound .*opens with age age1/);
    writeFileSync(at(".sops.yaml"), "creation_rules: []\n");
    assert.equal((await secrets("check")).status, 0, "rules are no secret");
    rmSync(at(".sops.yaml"));
    writeFileSync(at("forgotten.sops.yaml"), "stringData:\n  PASSWORD: GEHEIM\n");
    const plain = await secrets("check");
    assert.equal(plain.status, 1);
    assert.match(plain.stdout, /forgotten\.sops\.yaml +PLAIN/);
    writeFileSync(at("forgotten.sops.yaml"), "");
    const away = { cwd: bench.at("git"), env: { SOPS_AGE_KEY_FILE: "/nowhere" } };
    const files = ["secrets", "check", "kubernetes", "--json"];
    const unchecked = await bench.holdfast(files, { ...away, status: 0 });
    assert.match(unchecked.stdout, /"state":"not checked"/);
    await bench.holdfast([...files, "--require-key"], { ...away, status: 1 });
    for (const { stdout, stderr } of [sound, plain, unchecked]) {
      assert.ok(!`${stdout}${stderr}`.includes("GEHEIM") && !stdout.includes(PASSWORD));
    }
  });

  test("a guard of commits looks at what would be committed", async () => {
    const git = (...words: string[]): void => {
      execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...words], {
        cwd: at("."),
        stdio: "ignore",
      });
    };
    git("init");
    writeFileSync(at("staged.enc.yaml"), "kind: Secret\nstringData:\n  A: GEHEIM\n");
    git("add", ".");
    writeFileSync(at("staged.enc.yaml"), readFileSync(at(MANIFEST)));
    assert.equal((await secrets("check", "staged.enc.yaml")).status, 0);
    const staged = await secrets("check", "--staged", "staged.enc.yaml");
    assert.deepEqual([staged.status, /staged\.enc\.yaml +PLAIN/.test(staged.stdout)], [1, true]);
    git("add", ".");
    assert.equal((await secrets("check", "--staged", "staged.enc.yaml")).status, 0);
    // What the rules of the file leave readable of a Secret is found as well.
    const open = readFileSync(at(MANIFEST), "utf8").replace("stringData:", "stringdata:");
    writeFileSync(
      at("staged.enc.yaml"),
      `${open.slice(0, open.indexOf("sops:"))}stringData:\n    A: GEHEIM\n${open.slice(open.indexOf("sops:")).replace("(data|stringData)", "stringdata")}`,
    );
    const leaky = await secrets("check", "staged.enc.yaml");
    assert.match(leaky.stdout, /"stringData\.A" is not encrypted/);
    rmSync(at("staged.enc.yaml"));
    rmSync(at(".git"), { recursive: true });
  });

  test("what is no file, no text or no place ends in one error, and shows no key", async () => {
    execFileSync("mkfifo", [at("pipe.enc.yaml")]);
    assert.match((await secrets("decrypt", "pipe.enc.yaml")).stderr, /is a named pipe/);
    assert.match((await secrets("check", "pipe.enc.yaml")).stdout, /UNREAD/);
    rmSync(at("pipe.enc.yaml"));
    assert.match((await secrets("decrypt", ".")).stderr, /is a directory/);
    const KEY = `AGE-SECRET-KEY-1${"Q".repeat(58)}`;
    for (const words of [
      ["--sops-keys", KEY, "secrets", "decrypt", MANIFEST],
      ["secrets", "set", MANIFEST, "stringData.A", KEY],
      ["secrets", "decrypt", KEY],
    ]) {
      const run = await bench.holdfast(words, { cwd: at("."), status: 1 });
      assert.ok(!run.stderr.includes(KEY), run.stderr);
    }
    const options = { cwd: at("."), status: 1 };
    for (const [line, message] of [
      ["  RESTIC_PASSWORD: 0123", /line 3: RESTIC_PASSWORD is no text/],
      ["  RESTIC_PASSWORD: ENC[AES256_GCM,data:x]", /line 3: RESTIC_PASSWORD is encrypted/],
      ["  RESTIC_REPOSITORY: 'rclone::sftp,ssh=\"sh x\":x'", /makes up a remote of rclone/],
      ["  RCLONE_CONFIG_X_REMOTE: ':sftp,ssh=x:y'", /makes up a remote of rclone/],
      ["  RCLONE_CONFIG: evil.conf", /sets RCLONE_CONFIG/],
    ] as const) {
      writeFileSync(at("bad.yaml"), `kind: Secret\nstringData:\n${line}\n`);
      const run = await bench.holdfast(["--from-secret", "bad.yaml", "snapshots"], options);
      assert.match(run.stderr, message);
    }
    rmSync(at("bad.yaml"));
  });

  test("a value that is set is what sops reads, and everything else stays as it was", async () => {
    writeFileSync(at("set.enc.yaml"), readFileSync(at(MANIFEST)), { mode: 0o600 });
    const path = "stringData.RESTIC_PASSWORD";
    const set = (input: string, status: number): Promise<Run> =>
      bench.holdfast(["secrets", "set", "set.enc.yaml", path], {
        cwd: at("."),
        env: { SOPS_AGE_KEY_FILE: keyFile },
        input,
        status,
      });
    const before = readFileSync(at("set.enc.yaml"), "utf8").split("\n");
    const run = await set('two lines,\none "quoted"\n', 0);
    assert.ok(!`${run.stdout}${run.stderr}`.includes("quoted"));
    assert.equal(statSync(at("set.enc.yaml")).mode & 0o777, 0o600);
    const env = { ...process.env, SOPS_AGE_KEY_FILE: keyFile };
    const extract = ["-d", "--extract", '["stringData"]["RESTIC_PASSWORD"]', at("set.enc.yaml")];
    assert.equal(execFileSync(sops.path, extract, { env }).toString(), 'two lines,\none "quoted"');
    const now = readFileSync(at("set.enc.yaml"), "utf8").split("\n");
    const changed = now.filter((line, index) => line !== before[index]);
    assert.equal(now.length, before.length);
    assert.deepEqual(
      changed.map((line) => line.trim().split(":")[0]),
      ["RESTIC_PASSWORD", "lastmodified", "mac"],
    );
    // A pipe whose first program failed empties nothing, and no new MAC covers up a change.
    await set("", 1);
    assert.equal(readFileSync(at("set.enc.yaml"), "utf8"), now.join("\n"));
    const tampered = now.join("\n").replace("name: odoo", "name: Odoo");
    writeFileSync(at("set.enc.yaml"), tampered);
    await set("other", 51);
    assert.equal(readFileSync(at("set.enc.yaml"), "utf8"), tampered);
    assert.deepEqual(
      readdirSync(at(".")).filter((name) => name.endsWith(".tmp")),
      [],
    );
    rmSync(at("set.enc.yaml"));
  });

  test("a file is encrypted by the nearest .sops.yaml, and real sops opens it", async () => {
    mkdirSync(at("fresh/deep"), { recursive: true });
    const recipient = /age1\w+/.exec(readFileSync(keyFile, "utf8"))![0];
    const plain =
      "kind: Secret\nmetadata:\n  name: s # named\nstringData:\n  # why\n  PASSWORD: GEHEIM\n  NONE: ''\n";
    const file = "fresh/deep/s.enc.yaml";
    writeFileSync(at(file), plain, { mode: 0o600 });
    const none = await secrets("encrypt", file, "--config", "absent.yaml");
    assert.deepEqual([none.status, none.stdout], [1, ""]);
    const rule = (regex: string): string =>
      `creation_rules:\n  - path_regex: '${regex}'\n    encrypted_regex: ^(data|stringData)$\n    age: ${recipient}\n`;
    writeFileSync(at("fresh/.sops.yaml"), rule("^deep/other"));
    assert.match((await secrets("encrypt", file)).stderr, /no rule for deep\/s\.enc\.yaml/);
    writeFileSync(at("fresh/.sops.yaml"), rule("^deep/.*\\.enc\\.yaml$"));
    const printed = await secrets("encrypt", file);
    assert.ok(printed.stdout.includes("name: s # named") && !printed.stdout.includes("GEHEIM"));
    assert.equal(readFileSync(at(file), "utf8"), plain);
    assert.equal((await secrets("encrypt", "-i", file)).status, 0);
    assert.equal(statSync(at(file)).mode & 0o777, 0o600);
    const env = { ...process.env, SOPS_AGE_KEY_FILE: keyFile };
    const words = ["decrypt", "--extract", '["stringData"]["PASSWORD"]', at(file)];
    assert.equal(execFileSync(sops.path, words, { env }).toString(), "GEHEIM");
    assert.equal((await secrets("decrypt", file)).stdout, plain);
    const twice = await secrets("encrypt", "-i", file);
    assert.deepEqual([twice.status, /encrypted already/.test(twice.stderr)], [203, true]);
    // Any two of three groups.
    const groups = `[{age: [${recipient}]}, {age: [${recipient}]}, {age: [${recipient}]}]`;
    writeFileSync(
      at("fresh/groups.yaml"),
      `creation_rules:\n  - shamir_threshold: 2\n    key_groups: ${groups}\n`,
    );
    writeFileSync(at("fresh/g.json"), '{"a": 1}\n');
    const shared = await secrets("encrypt", "fresh/g.json", "--config", "fresh/groups.yaml");
    assert.equal(shared.status, 0, shared.stderr);
    writeFileSync(at("fresh/g.json"), shared.stdout);
    const opened = execFileSync(sops.path, ["decrypt", at("fresh/g.json")], { env });
    assert.deepEqual(JSON.parse(opened.toString()), { a: 1 });
    rmSync(at("fresh"), { recursive: true });
  });

  test("the Secret of a new repository is made in one step, and opens it", async () => {
    const recipient = /age1\w+/.exec(readFileSync(keyFile, "utf8"))![0];
    mkdirSync(at("new"));
    const key = {
      type: "service_account",
      client_email: "b@p.example",
      private_key: "-----BEGIN PRIVATE KEY-----\nGEHEIM\n",
    };
    const input = Buffer.from(JSON.stringify(key)).toString("base64");
    const run = (status: number, ...words: string[]): Promise<Run> =>
      bench.holdfast(["secrets", "init", ...words], {
        cwd: at("new"),
        env: { SOPS_AGE_KEY_FILE: keyFile },
        input,
        status,
      });
    const rclone = ["a.enc.yaml", "rclone:gcs:bucket/filestore", "--credentials", "-"];
    writeFileSync(at("new/.sops.yaml"), `creation_rules:\n  - age: ${recipient}\n`);
    assert.match((await run(1, ...rclone)).stderr, /encrypts more than stringData/);
    writeFileSync(
      at("new/.sops.yaml"),
      `creation_rules:\n  - age: ${recipient}\n    encrypted_regex: ^data$\n`,
    );
    assert.match((await run(1, ...rclone)).stderr, /leaves stringData in plain/);
    assert.deepEqual(readdirSync(at("new")), [".sops.yaml"]);
    writeFileSync(
      at("new/.sops.yaml"),
      `creation_rules:\n  - age: ${recipient}\n    encrypted_regex: ^(data|stringData)$\n`,
    );
    const made = await run(0, ...rclone, "--namespace", "business-system");
    assert.ok(!`${made.stdout}${made.stderr}`.includes("GEHEIM"));
    assert.match((await run(1, ...rclone)).stderr, /exists; it is as it was/);
    const env = { ...process.env, SOPS_AGE_KEY_FILE: keyFile };
    const extract = (name: string): string =>
      execFileSync(
        sops.path,
        ["decrypt", "--extract", `["stringData"]["${name}"]`, at("new/a.enc.yaml")],
        { env },
      ).toString();
    assert.deepEqual(JSON.parse(extract("RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS")), key);
    assert.equal(Buffer.from(extract("RESTIC_PASSWORD"), "base64").length, 32);
    assert.match(readFileSync(at("new/a.enc.yaml"), "utf8"), /^  namespace: "?business-system"?$/m);
    // One without a key is ready at once.
    await run(0, "b.enc.yaml", bench.at("fresh-repository"));
    const options = { cwd: at("new"), env: { SOPS_AGE_KEY_FILE: keyFile }, status: 0 };
    await bench.holdfast(["--from-secret", "b.enc.yaml", "init"], options);
    await bench.holdfast(["--from-secret", "b.enc.yaml", "snapshots"], options);
    writeFileSync(at("new/key.json"), JSON.stringify(key));
    const left = await run(0, "c.enc.yaml", "gs:bucket:/f", "--credentials", "key.json");
    assert.match(left.stderr, /key\.json still holds the key in plain/);
    assert.match((await run(1, "d.enc.yaml", "/x", "--credentials", "-")).stderr, /is for gs:/);
    rmSync(at("new"), { recursive: true });
  });

  test("what was changed, and what no key opens, end with sops's statuses", async () => {
    const away = { cwd: bench.at("git"), env: { SOPS_AGE_KEY_FILE: "/nowhere" }, status: 128 };
    const lost = await bench.holdfast(["secrets", "decrypt", MANIFEST], away);
    assert.match(lost.stderr, /SOPS_AGE_KEY_FILE/);
    writeFileSync(
      at("changed.yaml"),
      readFileSync(at(MANIFEST), "utf8").replace("name: odoo", "name: Odoo"),
    );
    const changed = await secrets("get", "changed.yaml", "stringData.RESTIC_PASSWORD");
    assert.deepEqual([changed.status, changed.stdout], [51, ""]);
    const ignored = await secrets(
      "get",
      "changed.yaml",
      "stringData.RESTIC_PASSWORD",
      "--ignore-mac",
    );
    assert.deepEqual([ignored.status, ignored.stdout], [0, PASSWORD]);
    assert.match(ignored.stderr, /MAC is wrong/);
    appendFileSync(at("changed.yaml"), "sops: again\n");
    assert.equal((await secrets("decrypt", "changed.yaml")).status, 1);
  });
});
