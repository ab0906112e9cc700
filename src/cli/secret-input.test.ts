import { PassThrough } from "node:stream";
import { test } from "node:test";
import assert from "node:assert/strict";
import { isHoldfastError } from "../base/errors.ts";
import { createSecretIo } from "./secret-input.ts";
import type { SecretInput } from "./secret-input.ts";

/** A terminal on which somebody types `text`. */
function terminal(text: string) {
  const raw: boolean[] = [];
  const prompts: string[] = [];
  const stream = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (on: boolean) => raw.push(on),
  });
  const io = createSecretIo(stream as SecretInput, { write: (prompt) => prompts.push(prompt) });
  stream.write(text);
  return { io, raw, prompts, stream };
}

test("a typed password can be corrected, is not shown, and the terminal is as it was afterwards", async () => {
  const typed: [keys: string, password: string][] = [
    ["secret\r", "secret"],
    ["sec\n", "sec"],
    ["päx\x7f\x7fass 😀\b1\r", "pass 1"],
    ["wrong\x15right\r", "right"],
    ["end\x04", "end"],
    ["\r", ""],
  ];
  for (const [keys, password] of typed) {
    const { io, raw, prompts } = terminal(keys);
    assert.equal(await io.ask?.("password: "), password);
    assert.deepEqual(raw, [true, false]);
    assert.deepEqual(prompts, ["password: ", "\n"]);
  }
});

test("two passwords can be asked for, one after the other", async () => {
  const { io, stream } = terminal("one\r");
  assert.equal(await io.ask?.("first: "), "one");
  stream.write("two\r");
  assert.equal(await io.ask?.("second: "), "two");
});

test("Ctrl-C at the prompt stops the command, and leaves the terminal in order", async () => {
  const { io, raw } = terminal("abc\x03");
  await assert.rejects(io.ask!("password: "), (error: unknown) =>
    isHoldfastError(error, "CANCELLED"),
  );
  assert.deepEqual(raw, [true, false]);
});

test("without a terminal there is nobody to ask, and stdin is read up to the end of its line", async () => {
  const stream = new PassThrough();
  const io = createSecretIo(stream, { write: () => {} });
  assert.equal(io.ask, undefined);
  stream.end("first line\nsecond\n");
  assert.equal(await io.readLine(), "first line");
  const whole = new PassThrough();
  whole.end("first line\nsecond\n");
  const all = createSecretIo(whole, { write: () => {} });
  assert.equal((await all.readAll(18)).toString(), "first line\nsecond\n");
  const long = new PassThrough();
  long.end("first line\nsecond\n");
  await assert.rejects(createSecretIo(long, { write: () => {} }).readAll(17), (error: unknown) =>
    isHoldfastError(error, "USAGE"),
  );
  const empty = new PassThrough();
  empty.end();
  assert.equal(await createSecretIo(empty, { write: () => {} }).readLine(), "");
});

test("a password command runs without a shell, its complaints are passed on", async () => {
  const said: string[] = [];
  const io = createSecretIo(new PassThrough(), { write: (text) => said.push(text) });
  const printed = await io.run("printf", ["%s|", "$HOME", "a b"]);
  assert.equal(Buffer.from(printed).toString(), "$HOME|a b|");
  await assert.rejects(
    io.run("sh", ["-c", "echo no such key >&2; exit 3"]),
    /^Error: exit status 3$/,
  );
  assert.deepEqual(said, ["no such key\n"]);
  await assert.rejects(io.run("/nonexistent/pass", []), /ENOENT/);
});
