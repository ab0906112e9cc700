import { test } from "node:test";
import assert from "node:assert/strict";
import { isHoldfastError } from "./errors.ts";
import { splitWords } from "./shell-words.ts";

const COMMANDS: Record<string, string[]> = {
  pass: ["pass"],
  " pass  show\todoo ": ["pass", "show", "odoo"],
  "'pass'": ["pass"],
  "pass 'two words' x": ["pass", "two words", "x"],
  '"/opt/my app/pass" "it\'s"': ["/opt/my app/pass", "it's"],
  "'say \"hi\"' x": ['say "hi"', "x"],
  '\\"open word': ['"open', "word"],
  'a"b"c': ["a", "b", "c"],
  "a '' b": ["a", "b"],
  '"a\\"b"': ['a\\"b'],
  "a\\ b": ["a", "b"],
  "echo $HOME | cat": ["echo", "$HOME", "|", "cat"],
  "é\u00a0è": ["é", "è"],
};

test("a command is split as restic splits it", () => {
  for (const [command, words] of Object.entries(COMMANDS)) {
    assert.deepEqual(splitWords(command, "--password-command"), words, command);
  }
});

test("a quote that is not closed, or no command at all, is a usage error", () => {
  for (const command of ["", "  ", "''", "pass 'x", 'pass "x', "pass'"]) {
    assert.throws(
      () => splitWords(command, "--password-command"),
      (error: unknown) =>
        isHoldfastError(error, "USAGE") && error.message.startsWith("--password-command: "),
      command,
    );
  }
});
