import { test } from "node:test";
import assert from "node:assert/strict";
import { Command } from "commander";
import { addGlobalOptions, respell } from "./global-options.ts";

function spelled(...words: string[]): string[] {
  const program = new Command("holdfast");
  addGlobalOptions(program);
  const backup = new Command("backup").option("-e, --exclude <pattern>").option("--force");
  return respell(words, [program, backup]);
}

test("values behind a short option and = are the option's", () => {
  assert.deepEqual(spelled("-r=/srv/backup", "backup"), ["-r", "/srv/backup", "backup"]);
  assert.deepEqual(spelled("backup", "-e=a=b"), ["backup", "-e", "a=b"]);
  assert.deepEqual(spelled("--repo=/srv/a=b"), ["--repo=/srv/a=b"]);
});

test("switches take true and false", () => {
  assert.deepEqual(spelled("--json=true", "backup", "--force=1"), ["--json", "backup", "--force"]);
  assert.deepEqual(spelled("--json=false", "backup", "--force=0"), ["backup"]);
  assert.deepEqual(spelled("--no-lock=true"), ["--no-lock"]);
  assert.deepEqual(spelled("--json=perhaps"), ["--json=perhaps"]);
});

test("a level of verbosity is as many -v", () => {
  assert.deepEqual(spelled("--verbose=2"), ["--verbose", "--verbose"]);
  assert.deepEqual(spelled("-v=2", "backup"), ["-v", "-v", "backup"]);
  assert.deepEqual(spelled("-v=0", "-vv"), ["-vv"]);
  assert.deepEqual(spelled("--verbose=much"), ["--verbose=much"]);
});

test("values of options, what follows -- and what is no option stay as they are", () => {
  assert.deepEqual(spelled("backup", "-e", "--json=true"), ["backup", "-e", "--json=true"]);
  assert.deepEqual(spelled("backup", "-e", "--", "-v=2"), ["backup", "-e", "--", "-v", "-v"]);
  assert.deepEqual(spelled("backup", "--", "--json=true"), ["backup", "--", "--json=true"]);
  assert.deepEqual(spelled("backup", "a=b", "-x=1"), ["backup", "a=b", "-x=1"]);
});

test("the old name of an option is taken for the new one, and is no value's", () => {
  const program = new Command("holdfast");
  const forget = new Command("forget").option("--host <name>").option("--tag <tags>");
  const respelled = (...words: string[]): string[] => respell(words, [program, forget]);
  assert.deepEqual(respelled("forget", "--hostname", "a"), ["forget", "--host", "a"]);
  assert.deepEqual(respelled("forget", "--hostname=a=b"), ["forget", "--host=a=b"]);
  assert.deepEqual(respelled("--tag", "--hostname"), ["--tag", "--hostname"]);
  assert.deepEqual(respelled("--", "--hostname"), ["--", "--hostname"]);
  assert.deepEqual(spelled("backup", "--hostname", "a"), ["backup", "--hostname", "a"]);
});
