// The configuration of remotes, also asked of rclone itself where that is here.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { peer } from "../../../test/peers.ts";
import { remoteConfig } from "./config.ts";
import { configFileOf, parseConfigFile, readConfigFile } from "./config-file.ts";
import { parseRemotePath } from "./connection-string.ts";
import { reveal } from "./obscure.ts";

const rclone = peer("rclone");
let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "holdfast-rclone-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function configOf(
  target: string,
  env: Record<string, string>,
  text = "",
): { type: string | undefined; options: Record<string, string>; doubts: readonly string[] } {
  const { type, options, doubts } = remoteConfig(
    parseRemotePath(target),
    env,
    parseConfigFile(text),
  );
  const values = [...options].map(([name, { value }]) => [name, value] as const);
  return { type, options: Object.fromEntries(values), doubts };
}

test("the location beats variables, and variables beat the file", () => {
  const file =
    "[gcs]\ntype = gcs\nendpoint = file\nlocation = file\nstorage_class = file\nuser_project =\n";
  const env = {
    RCLONE_CONFIG_GCS_ENDPOINT: "remote",
    RCLONE_CONFIG_GCS_STORAGE_CLASS: "",
    RCLONE_GCS_PROJECT_NUMBER: "backend",
  };
  assert.deepEqual(configOf("gcs,endpoint=here:b", env, file), {
    type: "gcs",
    options: { endpoint: "here", location: "file", storage_class: "", project_number: "backend" },
    doubts: [],
  });
});

test("two variables that differ are a doubt", () => {
  const env = {
    RCLONE_CONFIG_X_TYPE: "gcs",
    RCLONE_CONFIG_X_ENDPOINT: "a",
    RCLONE_GCS_ENDPOINT: "b",
  };
  assert.deepEqual(configOf("x:b", env).doubts, [
    "RCLONE_GCS_ENDPOINT and RCLONE_CONFIG_X_ENDPOINT differ",
  ]);
  assert.deepEqual(configOf("x:b", { ...env, RCLONE_GCS_ENDPOINT: "a" }).doubts, []);
});

test("types have several names, and names of remotes have no case in variables", () => {
  for (const type of ["gcs", "google cloud storage", "googlecloudstorage"]) {
    assert.equal(configOf("GcS:b", { RCLONE_CONFIG_GCS_TYPE: type }).type, "gcs");
    assert.equal(configOf(`:${type}:b`, {}).type, "gcs");
  }
  assert.equal(configOf("/srv", {}).type, "local");
  assert.equal(configOf("nothing:b", {}).type, undefined);
  assert.equal(configOf("x,type=s3:b", { RCLONE_CONFIG_X_TYPE: "gcs" }).type, "s3");
});

test("variables of rclone itself and of remotes with longer names are no options", () => {
  const env = {
    RCLONE_CONFIG: "/etc/rclone.conf",
    RCLONE_CONFIG_PASS: "geheim",
    RCLONE_CONFIG_DIR: "/etc",
    RCLONE_CONFIG_GCS_TYPE: "gcs",
    RCLONE_CONFIG_GCS_ANONYMOUS: "true",
    RCLONE_CONFIG_GCS_ARCHIVE_TYPE: "s3",
    RCLONE_CONFIG_GCS_ARCHIVE_ENV_AUTH: "true",
  };
  assert.deepEqual(configOf("gcs:b", env).options, { anonymous: "true" });
  assert.deepEqual(configOf("gcs_archive:b", env).options, { env_auth: "true" });
  assert.equal(configOf("pass:b", env).type, undefined);
  assert.equal(configOf("dir:b", env).type, undefined);
});

test("a file is read as rclone reads it", () => {
  const text =
    '\ufeff# comment\n; another\n[a]\ntype = s3\n  region=eu \nendpoint: https://x:1/\nacl = "q" ; kept\n\n[ b c ]\ntype=local\n[a]\nregion = us\n';
  const { sections } = parseConfigFile(text);
  assert.deepEqual(Object.fromEntries(sections.get("a")!), {
    type: "s3",
    region: "us",
    endpoint: "https://x:1/",
    acl: '"q" ; kept',
  });
  assert.deepEqual([...sections.keys()], ["a", "b c"]);
});

test("a file that only rclone can read is a doubt for named remotes", () => {
  const files = [
    "RCLONE_ENCRYPT_V0:\nabc",
    "[a]\nremote = %(x)s",
    "[a]\nremote = `x`",
    "[a]\nnonsense",
  ];
  for (const text of files) {
    assert.equal(parseConfigFile(text).sections.size, 0);
    assert.equal(configOf("a:b", {}, text).doubts.length, 1, text);
    assert.equal(configOf(":s3:b", {}, text).doubts.length, 0, text);
    assert.equal(configOf("/srv", {}, text).doubts.length, 0, text);
  }
});

test("the file is looked for where rclone looks", async () => {
  const home = join(folder, "home");
  const xdg = join(folder, "xdg");
  mkdirSync(join(home, ".config/rclone"), { recursive: true });
  mkdirSync(join(xdg, "rclone"), { recursive: true });
  const env = { HOME: home, XDG_CONFIG_HOME: xdg };
  assert.equal(configFileOf(env), undefined);
  const places = [
    join(home, ".rclone.conf"),
    join(home, ".config/rclone/rclone.conf"),
    join(xdg, "rclone/rclone.conf"),
  ];
  for (const place of places) {
    writeFileSync(place, "[x]\ntype = local\n");
    assert.equal(configFileOf(env), place);
  }
  assert.equal(configFileOf({ ...env, RCLONE_CONFIG: "/a" }), "/a");
  assert.equal(configFileOf({ ...env, RCLONE_CONFIG: "/dev/null" }), undefined);
  assert.equal((await readConfigFile(env)).sections.size, 1);
  assert.equal(
    (await readConfigFile({ RCLONE_CONFIG: join(folder, "none") })).unreadable,
    undefined,
  );
  assert.match((await readConfigFile({ RCLONE_CONFIG: folder })).unreadable!, /EISDIR/);
});

test("passwords are revealed as rclone obscured them", { skip: rclone.skip }, () => {
  for (const password of ["geheim", "pässwörd", "x".repeat(300), "a b\"c'"]) {
    const obscured = execFileSync(rclone.path, ["obscure", password], { encoding: "utf8" }).trim();
    assert.equal(reveal(obscured), password);
  }
  for (const text of ["", "geheim", "not base64!", "AAAA"]) assert.equal(reveal(text), undefined);
});

test("rclone agrees on what beats what", { skip: rclone.skip }, () => {
  for (const name of ["file", "remote", "backend", "here"]) {
    mkdirSync(join(folder, "dirs", name), { recursive: true });
    writeFileSync(join(folder, "dirs", name, name), "");
  }
  const at = (name: string): string => join(folder, "dirs", name);
  const text = `[x-y]\ntype = alias\nremote = ${at("file")}\n`;
  const config = join(folder, "rclone.conf");
  writeFileSync(config, text);
  const cases: [string, Record<string, string>][] = [
    ["x-y:", {}],
    ["x-y:", { "RCLONE_CONFIG_X-Y_REMOTE": at("remote") }],
    ["x-y:", { RCLONE_ALIAS_REMOTE: at("backend") }],
    [`x-y,remote="${at("here")}":`, { RCLONE_ALIAS_REMOTE: at("backend") }],
    [":alias:", { RCLONE_ALIAS_REMOTE: at("backend") }],
  ];
  for (const [target, env] of cases) {
    const options = {
      encoding: "utf8",
      env: { HOME: folder, RCLONE_CONFIG: config, ...env },
    } as const;
    const seen = execFileSync(rclone.path, ["lsf", target], options).trim();
    assert.equal(configOf(target, env, text).options["remote"], at(seen), target);
  }
});
