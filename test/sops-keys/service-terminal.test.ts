// A plugin of age asks for a PIN through the key service of sops: at the terminal of whoever called Holdfast, although sops has
// none of its own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { peer, skipWithout } from "../peers.ts";
import { PLUGIN_RECIPIENT, PLUGIN_TEXT } from "./fake-plugin.ts";
import { folder, program } from "./programs.ts";

const MAIN = join(import.meta.dirname, "..", "..", "src", "cli", "main.ts");

const skip = skipWithout("sops-newest") || program("script").skip;
test("a PIN is typed at our terminal", { skip, timeout: 120_000 }, async () => {
  using home = folder();
  const note = join(home.path, "note");
  // It asks before it does its work, and notes what it is told, which may come in pieces.
  const question = `-> request-secret\n${Buffer.from("PIN").toString("base64")}\n`;
  const asking = PLUGIN_TEXT.replace(
    "  done = true;",
    `  if (!/-> ok\\n[^\\n]+\\n/.test(text)) { if (text.endsWith("-> done\\n\\n")) process.stdout.write(${JSON.stringify(question)}); return; }
  require("node:fs").writeFileSync(${JSON.stringify(note)}, text);
  done = true;`,
  );
  chmodSync(home.write("age-plugin-fake", asking), 0o700);
  home.write(".sops.yaml", `creation_rules: [{age: ${PLUGIN_RECIPIENT}}]\n`);
  const words = `${process.execPath} ${MAIN} secrets encrypt -i ${home.write("a.yaml", "a: b\n")}`;
  const path = `${home.path}:${dirname(peer("sops-newest").path)}:${process.env["PATH"] ?? ""}`;
  const child = spawn("script", ["-qec", words, "/dev/null"], {
    env: { HOME: home.path, XDG_CONFIG_HOME: home.path, PATH: path },
    stdio: ["pipe", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (data: Buffer) => {
    const isAsked = said.includes("PIN");
    said += data.toString();
    if (!isAsked && said.includes("PIN")) child.stdin.write("1234\r");
  });
  assert.deepEqual(await once(child, "close"), [0, null], said);
  const told = /-> ok\n(\S+)\n/.exec(readFileSync(note, "utf8"))![1]!;
  assert.equal(Buffer.from(told, "base64").toString(), "1234");
});
