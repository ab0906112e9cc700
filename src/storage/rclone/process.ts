// One rclone as a child: its pipes as one stream in both directions, what it says on standard error, and its end. It gets
// the environment that it is given and nothing of ours; secrets never stand on its command line.

import { spawn } from "node:child_process";
import type { ChildProcess, ChildProcessByStdio } from "node:child_process";
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { Duplex } from "node:stream";
import type { Readable, Writable } from "node:stream";
import { errnoOf, HoldfastError, messageOf } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import { redactor } from "./redact.ts";

export interface ProcessOptions {
  readonly command: readonly [program: string, ...args: string[]];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Each line of its standard error, fit to be shown. */
  readonly onLine: (line: string) => void;
  readonly clock: Clock;
}

/** Lines of standard error that an error repeats, and how much of each. */
const LINES_KEPT = 3;
const LINE_LENGTH_MAX = 400;
/** Milliseconds that it may take to end once its input has ended. */
const GRACE_MS = 5_000;

export class RcloneProcess {
  readonly pipes: Duplex;
  /** Settles when it has ended, also when it could not be started. */
  readonly ended: Promise<void>;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #clock: Clock;
  readonly #program: string;
  readonly #lines: string[] = [];
  #end: string | undefined;
  #startError: unknown;

  constructor(options: ProcessOptions) {
    const [program, ...args] = options.command;
    const { env, onLine } = options;
    this.#program = program;
    this.#clock = options.clock;
    // A group of its own: Ctrl-C is ours to handle, and locks are removed through it.
    const detached = true;
    this.#child = spawn(program, args, {
      env: { ...env },
      detached,
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.pipes = duplexOf(this.#child.stdin, this.#child.stdout);
    this.ended = this.#watch(redactor(env), onLine);
  }

  /** True until its end is known. */
  get isRunning(): boolean {
    return this.#end === undefined;
  }

  /** The process's number; undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Why it cannot be started, or how it ended and what it said last; `what` is what cannot be done for that. */
  failure(what: string, otherwise: string): HoldfastError {
    const cannot = `cannot ${what}`;
    if (this.#startError !== undefined) {
      const isMissing = errnoOf(this.#startError) === "ENOENT";
      const why = isMissing ? "there is no such program" : messageOf(this.#startError);
      return new HoldfastError("USAGE", `${cannot}: ${this.#program} cannot be started: ${why}`, {
        hint: "Install rclone (https://rclone.org/install/), or name it with -o rclone.program=PATH.",
      });
    }
    const said = this.#lines.length === 0 ? "" : `: ${this.#lines.join(" / ")}`;
    return new HoldfastError(
      "STORAGE_FAILED",
      `${cannot}: rclone ${this.#end ?? otherwise}${said}`,
      {
        hint: "Try the remote with rclone itself: rclone lsd REMOTE:",
      },
    );
  }

  /** Whether this process waits for it; by default it does. An idle child must not keep a program alive. */
  hold(isHeld: boolean): void {
    const { stdin, stdout, stderr } = this.#child;
    for (const handle of [this.#child, stdin, stdout, stderr]) {
      // The pipes of a child are sockets.
      if (isHeld) (handle as Socket | ChildProcess).ref();
      else (handle as Socket | ChildProcess).unref();
    }
  }

  /** Ends its input, waits, and kills what has not ended by itself. */
  async stop(): Promise<void> {
    this.hold(true);
    this.#child.stdin.end();
    const waiting = new AbortController();
    const late = this.#clock.sleep(GRACE_MS, waiting.signal).then(
      () => this.kill(),
      () => {},
    );
    await Promise.race([this.ended, late]);
    waiting.abort();
    await this.ended;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async #watch(redact: (line: string) => string, onLine: (line: string) => void): Promise<void> {
    const child = this.#child;
    const lines = createInterface({ input: child.stderr, crlfDelay: Infinity });
    lines.on("line", (line) => {
      const shown = redact(line.replaceAll(/\p{Cc}/gu, " ").trim()).slice(0, LINE_LENGTH_MAX);
      if (shown === "") return;
      this.#lines.push(shown);
      if (this.#lines.length > LINES_KEPT) this.#lines.shift();
      onLine(shown);
    });
    await new Promise<void>((resolve) => {
      child.once("error", (error) => {
        this.#startError ??= error;
        this.#end ??= "could not be started";
        resolve();
      });
      // After its last words were read.
      child.once("close", (code, signal) => {
        this.#end ??= signal === null ? `ended with status ${code}` : `was ended by ${signal}`;
        resolve();
      });
    });
    this.pipes.destroy();
  }
}

/** What is written goes to `input`, what is read comes from `output`. */
function duplexOf(input: Writable, output: Readable): Duplex {
  const pipes = new Duplex({
    read: () => void output.resume(),
    write: (chunk: Buffer, _, done) => void input.write(chunk, done),
    final: (done) => void input.end(done),
    destroy: (error, done) => {
      input.end();
      done(error);
    },
  });
  output.on("data", (chunk: Buffer) => {
    if (!pipes.push(chunk)) output.pause();
  });
  output.on("end", () => void pipes.push(null));
  // The end of the child tells what happened; errors of its pipes are only how it shows.
  for (const pipe of [input, output]) pipe.on("error", () => void pipes.destroy());
  return pipes;
}
