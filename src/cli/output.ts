// What the command line may say, and where. The rules:
//
//   stdout  data that was asked for (ls, cat, dump, tables), the report of a command as restic prints it (backup and
//           restore summaries: scripts read them there), progress, and with --json every message, one object a line.
//   stderr  warnings, errors, prompts, and with --json the messages about errors.
//   --quiet silences reports and progress, never data, warnings or errors. -v and -vv say more on stdout.
//   --json  silences everything on stdout that is not JSON. Message types and fields are those of restic, in its order.
//   A terminal alone gets status lines that are redrawn, and what only a person wants to read.
//   A reader that goes away (a closed pipe) ends the output, not the backup: see onBroken.
//
// Text in, bytes out: only dataBytes takes byte strings. Nothing else in the program writes to either stream.

import { errnoOf } from "../base/errors.ts";
import { goJson } from "../restic/json-fields.ts";
import { harmless, truncate } from "./terminal-text.ts";

/** A stream to write to, such as process.stdout. */
export interface OutputStream {
  write(data: string | Uint8Array): unknown;
  on?(event: "error", listener: (error: Error) => void): unknown;
  once?(event: "drain", listener: () => void): unknown;
  isTTY?: boolean;
  columns?: number;
}

/** 0 with --quiet, 1 by default, 2 with -v, 3 with -vv. */
export type Verbosity = 0 | 1 | 2 | 3;

export interface OutputOptions {
  stdout: OutputStream;
  stderr: OutputStream;
  verbosity?: Verbosity;
  json?: boolean;
  /** False where the terminal cannot redraw lines (TERM=dumb). */
  canRedraw?: boolean;
  /** Called once when stdout can no longer be written to, with the reason (EPIPE, ENOSPC). */
  onBroken?: (error: Error) => void;
}

/** Data is written in pieces of about this size, unless a person is watching. */
const PIECE_BYTES = 32 * 1024;
const ERASE_BELOW = "\r\x1b[J";

/** The two streams of one run of the program. */
export class Output {
  readonly verbosity: Verbosity;
  /** --json was given. */
  readonly isJson: boolean;
  /** stdout is a terminal. */
  readonly isTerminal: boolean;
  /** Status lines can be shown and redrawn. */
  readonly canRedraw: boolean;
  readonly #stdout: OutputStream;
  readonly #stderr: OutputStream;
  readonly #onBroken: ((error: Error) => void) | undefined;
  #broken = false;
  #status: readonly string[] = [];
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #flushScheduled = false;
  /** The stream asked for a pause until it has drained. */
  #full = false;
  #onDrained: (() => void) | undefined;

  constructor(options: OutputOptions) {
    this.#stdout = options.stdout;
    this.#stderr = options.stderr;
    this.#onBroken = options.onBroken;
    this.verbosity = options.verbosity ?? 1;
    this.isJson = options.json ?? false;
    this.isTerminal = options.stdout.isTTY ?? false;
    this.canRedraw =
      this.isTerminal && (options.canRedraw ?? true) && this.verbosity > 0 && !this.isJson;
    this.#stdout.on?.("error", (error) => this.#breakOff(error));
    // There is nowhere left to say that stderr is gone.
    this.#stderr.on?.("error", () => {});
  }

  /** Width of the terminal, 80 when it does not tell. */
  get columns(): number {
    return this.#stdout.columns || 80;
  }

  /** stdout can no longer be written to. */
  get isBroken(): boolean {
    return this.#broken;
  }

  /** A line of the command's report, unless --quiet or --json. */
  print(line: string): void {
    if (this.#says(1)) this.#writeLine(line);
  }

  /** A line for -v. */
  verbose(line: string): void {
    if (this.#says(2)) this.#writeLine(line);
  }

  /** A line for -vv. */
  veryVerbose(line: string): void {
    if (this.#says(3)) this.#writeLine(line);
  }

  /** A line of the report that only a person at a terminal wants to see. */
  terminal(line: string): void {
    if (this.isTerminal) this.print(line);
  }

  /** True when lines of this verbosity are printed: to spare the work of making them. */
  shows(level: 1 | 2 | 3): boolean {
    return this.#says(level);
  }

  /** A line of data, always printed. */
  data(line: string): void {
    this.#add(Buffer.from(`${line}\n`, "utf8"));
  }

  /** A line of data given as a byte string: names as they are on disk. */
  dataBytes(line: string): void {
    this.#add(Buffer.from(`${line}\n`, "latin1"));
  }

  /** Raw data, such as the content of a file. The stream keeps `bytes`: do not reuse them. */
  raw(bytes: Uint8Array): void {
    this.#add(bytes);
  }

  /** Resolves when stdout takes more, or when it is gone. Await it between pieces of a long stretch of data. */
  async drained(): Promise<void> {
    this.flush();
    if (!this.#full || this.#broken) return;
    await new Promise<void>((resolve) => (this.#onDrained = resolve));
  }

  /** A JSON message on stdout, one line. Members that are undefined are left out. */
  json(message: object): void {
    this.data(jsonLine(message));
  }

  /** A JSON message about an error, on stderr. */
  jsonError(message: object): void {
    this.warn(jsonLine(message));
  }

  /** A warning or an error, on stderr. It may quote names from anywhere: nothing in it moves a cursor or changes a colour. */
  warn(text: string): void {
    this.flush();
    this.#eraseStatus();
    this.#stderr.write(`${harmless(text)}\n`);
    this.#drawStatus();
  }

  /** Shows these lines below everything printed, in place of those shown before; on a terminal only. */
  status(lines: readonly string[]): void {
    if (!this.canRedraw || this.#broken) return;
    const cut = lines.map((line) => truncate(line, this.columns - 1));
    if (cut.length === this.#status.length && cut.every((line, i) => line === this.#status[i]))
      return;
    this.flush();
    this.#eraseStatus();
    this.#status = cut;
    this.#drawStatus();
  }

  /** Resolves when everything has left, or is known not to: failures of a stream are told a little later. */
  async settle(): Promise<void> {
    await this.drained();
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Writes what is still held back. Call it before the process ends. */
  flush(): void {
    if (this.#pending.length === 0) return;
    const piece = this.#pending.length === 1 ? this.#pending[0] : Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    if (piece !== undefined) this.#write(piece);
  }

  #says(level: 1 | 2 | 3): boolean {
    return this.verbosity >= level && !this.isJson;
  }

  #writeLine(line: string): void {
    this.flush();
    this.#eraseStatus();
    this.#write(`${line}\n`);
    this.#drawStatus();
  }

  #add(bytes: Uint8Array): void {
    if (this.#broken) return;
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.isTerminal || this.#pendingBytes >= PIECE_BYTES) {
      this.#eraseStatus();
      this.flush();
      this.#drawStatus();
    } else if (!this.#flushScheduled) {
      // A slow producer's lines must not wait for the piece to fill.
      this.#flushScheduled = true;
      setImmediate(() => {
        this.#flushScheduled = false;
        this.flush();
      });
    }
  }

  #eraseStatus(): void {
    if (this.#status.length > 0) this.#write(ERASE_BELOW);
  }

  /** Draws the status and leaves the cursor at its first line. */
  #drawStatus(): void {
    const below = this.#status.length - 1;
    if (below < 0) return;
    this.#write(`${this.#status.join("\n")}${below > 0 ? `\x1b[${below}A` : ""}\r`);
  }

  #write(data: string | Uint8Array): void {
    if (this.#broken) return;
    try {
      if (this.#stdout.write(data) === false && this.#stdout.once !== undefined) this.#wait();
    } catch (error) {
      this.#breakOff(error as Error);
    }
  }

  #wait(): void {
    if (this.#full) return;
    this.#full = true;
    this.#stdout.once?.("drain", () => {
      this.#full = false;
      this.#onDrained?.();
    });
  }

  #breakOff(error: Error): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#onDrained?.();
    this.#pending = [];
    this.#status = [];
    if (errnoOf(error) !== "EPIPE")
      this.#stderr.write(`stdout cannot be written: ${error.message}\n`);
    this.#onBroken?.(error);
  }
}

function jsonLine(message: object): string {
  const members = Object.entries(message).filter(([, value]) => value !== undefined);
  return goJson(Object.fromEntries(members));
}
