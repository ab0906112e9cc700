import { test } from "node:test";
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { Output } from "./output.ts";
import type { OutputOptions, OutputStream } from "./output.ts";

/** Both streams write into one record, so that their order shows. */
class Record {
  text = "";
  writes = 0;
  failure: Error | undefined;

  stream(mark: string, fields: Partial<OutputStream> = {}): OutputStream {
    return {
      write: (data) => {
        if (this.failure !== undefined) throw this.failure;
        this.writes++;
        this.text +=
          mark + (typeof data === "string" ? data : Buffer.from(data).toString("latin1"));
      },
      ...fields,
    };
  }
}

function create(options: Partial<OutputOptions> = {}, terminal = false) {
  const record = new Record();
  const stdout = record.stream("", terminal ? { isTTY: true, columns: 20 } : {});
  const output = new Output({ stdout, stderr: record.stream("E:"), ...options });
  return { output, record };
}

function sayEverything(output: Output): void {
  output.print("report");
  output.verbose("verbose");
  output.veryVerbose("very verbose");
  output.terminal("terminal");
  output.data("data");
  output.json({ a: 1 });
  output.warn("warning");
  output.flush();
}

test("verbosity decides what is said beside data and warnings", () => {
  const said = (options: Partial<OutputOptions>, terminal = false) => {
    const { output, record } = create(options, terminal);
    sayEverything(output);
    return record.text.trimEnd().split("\n");
  };
  const always = ["data", '{"a":1}', "E:warning"];
  assert.deepEqual(said({ verbosity: 0 }), always);
  assert.deepEqual(said({}), ["report", ...always]);
  assert.deepEqual(said({ verbosity: 2 }), ["report", "verbose", ...always]);
  assert.deepEqual(said({ verbosity: 3 }), ["report", "verbose", "very verbose", ...always]);
  assert.deepEqual(said({}, true), ["report", "terminal", ...always]);
  assert.deepEqual(said({ json: true, verbosity: 3 }, true), always);
});

test("JSON lines are written as Go writes them, without members that are undefined", () => {
  const { output, record } = create();
  output.json({
    message_type: "status",
    path: "a<b>&é\u2028",
    none: undefined,
    zero: 0,
    list: ["x"],
  });
  output.flush();
  assert.equal(
    Buffer.from(record.text, "latin1").toString(),
    '{"message_type":"status","path":"a\\u003cb\\u003e\\u0026é\\u2028","zero":0,"list":["x"]}\n',
  );
  output.jsonError({ message_type: "error" });
  assert.match(record.text, /E:\{"message_type":"error"\}\n$/);
});

test("a warning that quotes a hostile name changes nothing on the terminal, and JSON stays what it was", () => {
  const { output, record } = create();
  output.warn("\u001b]0;owned\u0007 \u009b31m\u202e\r\nhint: none\té");
  assert.equal(record.text, "E:\\u001b]0;owned\\u0007 \\u009b31m\\u202e\\u000d\nhint: none\té\n");
  const json = create({ json: true });
  json.output.jsonError({ message: "\u009b31m\u001b" });
  assert.deepEqual(JSON.parse(json.record.text.slice(2)), { message: "\u009b31m\u001b" });
});

test("names come out byte for byte", () => {
  const { output, record } = create();
  output.dataBytes("raw\xff");
  output.raw(Buffer.from([0, 254]));
  output.flush();
  assert.equal(record.text, "raw\xff\n\x00\xfe");
});

test("data is gathered into pieces, and never overtaken by what is said after it", async () => {
  const { output, record } = create();
  for (let i = 0; i < 10_000; i++) output.data("0123456789");
  output.flush();
  assert.equal(record.text.length, 110_000);
  assert.ok(record.writes < 10, `${record.writes} writes`);
  output.data("first");
  output.print("second");
  output.data("third");
  output.warn("fourth");
  assert.ok(record.text.endsWith("first\nsecond\nthird\nE:fourth\n"));
  output.data("in its own time");
  assert.doesNotMatch(record.text, /in its own time/);
  await setImmediate();
  assert.match(record.text, /in its own time\n$/);
});

/** The screen after the text was written to a terminal. */
function screen(text: string): string[] {
  const lines = [""];
  let [row, column] = [0, 0];
  for (const [token] of text.matchAll(/\x1b\[\d*[AJ]|[^]/g)) {
    if (token === "\n") [row, column] = [row + 1, 0];
    else if (token === "\r") column = 0;
    else if (token.endsWith("A") && token.length > 1) row -= Number(token.slice(2, -1));
    else if (token === "\x1b[J") {
      lines.length = row + 1;
      lines[row] = lines[row]!.slice(0, column);
    } else {
      const line = (lines[row] ?? "").padEnd(column);
      lines[row] = line.slice(0, column) + token + line.slice(column + 1);
      column++;
    }
    while (lines.length <= row) lines.push("");
  }
  return lines;
}

test("status lines stay below what is printed, and go away without a trace", () => {
  const { output, record } = create({}, true);
  output.print("one");
  output.status(["10%", "file a"]);
  output.print("two");
  assert.deepEqual(screen(record.text), ["one", "two", "10%", "file a"]);
  output.status(["20%"]);
  output.data("three");
  assert.deepEqual(screen(record.text), ["one", "two", "three", "20%"]);
  output.status(["30%", "a line that is wider than the terminal", "c"]);
  assert.deepEqual(screen(record.text).slice(3), ["30%", "a line that is wide", "c"]);
  output.status([]);
  output.print("end");
  assert.deepEqual(screen(record.text), ["one", "two", "three", "end", ""]);
});

test("a warning erases the status before it appears, and an unchanged status is not redrawn", () => {
  const { output, record } = create({}, true);
  output.status(["10%"]);
  output.warn("careful");
  assert.equal(record.text, "10%\r\r\x1b[JE:careful\n10%\r");
  output.status(["10%"]);
  assert.equal(record.text, "10%\r\r\x1b[JE:careful\n10%\r");
});

test("there is no status without a terminal that can redraw, with --quiet or with --json", () => {
  const cases: [Partial<OutputOptions>, boolean][] = [
    [{}, false],
    [{ canRedraw: false }, true],
    [{ verbosity: 0 }, true],
    [{ json: true }, true],
  ];
  for (const [options, terminal] of cases) {
    const { output, record } = create(options, terminal);
    output.status(["10%"]);
    assert.equal(record.text, "");
    assert.equal(output.canRedraw, false);
  }
});

test("when the reader goes away output ends, once and in silence", () => {
  const reasons: Error[] = [];
  const { output, record } = create({ onBroken: (error) => reasons.push(error) });
  record.failure = Object.assign(new Error("write EPIPE"), { code: "EPIPE" });
  output.print("lost");
  record.failure = undefined;
  output.print("lost");
  output.data("lost");
  output.flush();
  output.warn("still said");
  assert.equal(record.text, "E:still said\n");
  assert.equal(output.isBroken, true);
  assert.equal(reasons.length, 1);
});

test("a full disk behind stdout is said on stderr", () => {
  const listeners: ((error: Error) => void)[] = [];
  const record = new Record();
  const stdout = record.stream("", { on: (_, listener) => listeners.push(listener) });
  const output = new Output({ stdout, stderr: record.stream("E:") });
  listeners[0]?.(Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" }));
  assert.equal(record.text, "E:stdout cannot be written: ENOSPC: no space left on device\n");
  assert.equal(output.isBroken, true);
});

test("drained waits for a stream that asks for a pause, and for nothing else", async () => {
  let onDrain = (): void => {};
  const accepts = [true, false, true];
  const stdout: OutputStream = {
    write: () => accepts.shift(),
    once: (_event, listener) => (onDrain = listener),
  };
  const output = new Output({ stdout, stderr: stdout });
  output.raw(Buffer.from("first"));
  await output.drained();
  output.raw(Buffer.from("second"));
  let waiting = true;
  const drained = output.drained().then(() => (waiting = false));
  await setImmediate();
  assert.ok(waiting);
  onDrain();
  await drained;
  output.raw(Buffer.from("third"));
  await output.drained();
});

test("drained does not wait for a stream that is gone", async () => {
  let fail = (_error: Error): void => {};
  const stdout: OutputStream = {
    write: () => false,
    on: (_event, listener) => (fail = listener),
    once: () => {},
  };
  const output = new Output({ stdout, stderr: { write: () => {} } });
  output.raw(Buffer.from("lost"));
  const drained = output.drained();
  fail(Object.assign(new Error("gone"), { code: "EPIPE" }));
  await drained;
  assert.ok(output.isBroken);
});
