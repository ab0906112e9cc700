// The key service of the `sops` on PATH, for the keys that only sops opens: a child program that is
// asked by gRPC over a socket in a folder of our own, where nobody else may look, and that never outlives our command.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import type { ClientHttp2Session, IncomingHttpHeaders } from "node:http2";
import { connect as connectSocket } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { throwIfCancelled } from "../base/cancellation.ts";
import { ahead } from "../base/concurrency.ts";
import { errnoOf, messageOf } from "../base/errors.ts";
import type { KeyContext } from "../sops/key-source.ts";
import type { Closable } from "./closers.ts";

export interface SopsServiceOptions {
  readonly env: KeyContext["env"];
  readonly signal: AbortSignal;
  /** Takes what a plugin of age has to say, such as that it waits to be touched. */
  readonly onNotice: (text: string) => void;
  readonly limits?: Limits;
}

/** In milliseconds. */
interface Limits {
  /** Until it listens. */
  readonly start: number;
  /** For one answer: a person may have to type a PIN. */
  readonly answer: number;
  /** After the last answer: a backup goes on for hours once its password is known. */
  readonly idle: number;
}

const LIMITS: Limits = { start: 10_000, answer: 60_000, idle: 5000 };
const POLL_MS = 20;
/** How long the end of a program may be behind that of its connection, and the end of its stderr behind that. */
const END_MS = 500;
const CLOSE_MS = 200;
const ANSWER_BYTES_MAX = 1 << 20;
const SAID_MAX = 1000;
/** Characters of a line that are looked at. */
const LINE_MAX = 1 << 14;
/** Before each message of gRPC: a byte that tells whether it is compressed, and the length. */
const PREFIX_BYTES = 5;

type Method = Parameters<KeyContext["askSops"]>[0];

/** Starts sops with the first question. One serves all keys of a command, and ends when nothing more is asked for a while. */
export class SopsService implements Closable {
  readonly #options: SopsServiceOptions;
  #started: Promise<RunningSops | string> | undefined;
  /** Questions that are being answered. */
  #asking = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(options: SopsServiceOptions) {
    this.#options = options;
  }

  /** The answer to one call, or why there is none. Throws CANCELLED. */
  async ask(method: Method, request: Uint8Array): Promise<Uint8Array | string> {
    const { signal } = this.#options;
    throwIfCancelled(signal);
    clearTimeout(this.#idle);
    this.#asking++;
    try {
      const running = await this.#running();
      const answer = typeof running === "string" ? running : await running.ask(method, request);
      throwIfCancelled(signal);
      return answer;
    } finally {
      this.#asking--;
      const { idle } = this.#options.limits ?? LIMITS;
      if (this.#asking === 0) this.#idle = setTimeout(() => void ahead(this.close()), idle).unref();
    }
  }

  /** A new one in place of one that has ended since. */
  async #running(): Promise<RunningSops | string> {
    const before = await this.#started;
    if (typeof before === "object" && before.hasEnded) await this.close();
    return await (this.#started ??= startSops(this.#options));
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const started = this.#started;
    this.#started = undefined;
    const running = await started;
    if (typeof running === "object") await running.close();
  }
}

async function startSops(options: SopsServiceOptions): Promise<RunningSops | string> {
  try {
    const folder = await mkdtemp(join(tmpdir(), "holdfast-sops-"));
    const running = new RunningSops(folder, options);
    const why = await running.connect();
    if (why === undefined) return running;
    await running.close();
    return why;
  } catch (error) {
    return `sops cannot be started: ${messageOf(error)}`;
  }
}

/** The program, and the connection to it. */
class RunningSops {
  readonly #folder: string;
  readonly #options: SopsServiceOptions;
  readonly #limits: Limits;
  readonly #child: ChildProcess;
  readonly #ended = new AbortController();
  /** Why it ended, once it has. */
  #end = "";
  /** Its last line on stderr. */
  #said = "";
  /** The line that it has begun there. */
  #unfinished = "";
  #session: ClientHttp2Session | undefined;

  constructor(folder: string, options: SopsServiceOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#limits = options.limits ?? LIMITS;
    // Only then it passes on what plugins say.
    const words = ["keyservice", "--verbose", "--network", "unix", "--address", this.#socket];
    const terminal = openTerminal();
    const child = spawn("sops", words, {
      env: { ...options.env },
      stdio: [terminal ?? "ignore", "ignore", "pipe"],
      // At the head of a group, which holds all that a script in the place of sops starts.
      detached: true,
    });
    if (terminal !== undefined) closeSync(terminal);
    this.#child = child;
    this.#child.on("error", (error) => {
      const errno = errnoOf(error);
      this.#setEnd(errno === "ENOENT" ? "no sops on PATH" : `sops cannot be run (${errno})`);
    });
    const end = (status: number | null, signal: string | null): void =>
      this.#setEnd(`sops ended (${status ?? signal})${this.#said && `: ${this.#said}`}`);
    this.#child.on("close", end);
    // What it started may keep stderr open.
    this.#child.on("exit", (...how) => void setTimeout(end, CLOSE_MS, ...how));
    const stderr = child.stderr?.setEncoding("utf8");
    stderr?.on("data", (text: string) => this.#take(text)).on("end", () => this.#take("\n"));
    process.on("exit", this.#abandon);
  }

  get hasEnded(): boolean {
    return this.#ended.signal.aborted;
  }

  get #socket(): string {
    return join(this.#folder, "s");
  }

  /** Waits until it listens; why it does not, if it does not. */
  async connect(): Promise<string | undefined> {
    const { signal } = this.#options;
    const timeout = AbortSignal.timeout(this.#limits.start);
    const limit = AbortSignal.any([this.#ended.signal, timeout, signal]);
    const socket = await listening(this.#socket, limit);
    if (!socket) return this.#end || `sops did not start within ${this.#limits.start / 1000} s`;
    this.#session = connectHttp2("http://localhost", {
      createConnection: () => socket,
      // What AWS says against a key may end with a space.
      strictFieldWhitespaceValidation: false,
    });
    // Each call tells by itself that it failed.
    this.#session.on("error", () => {});
    return undefined;
  }

  async ask(method: Method, request: Uint8Array): Promise<Uint8Array | string> {
    const timeout = AbortSignal.timeout(this.#limits.answer);
    const limit = AbortSignal.any([timeout, this.#options.signal]);
    const session = this.#session;
    const answer =
      session && !session.closed && !session.destroyed
        ? await call(session, method, request, limit)
        : undefined;
    if (answer !== undefined) return answer;
    if (timeout.aborted) return `sops did not answer within ${this.#limits.answer / 1000} s`;
    await this.#untilEnded(END_MS);
    return this.#end || "sops broke the connection off";
  }

  async close(): Promise<void> {
    this.#session?.destroy();
    this.#kill();
    await this.#untilEnded(END_MS);
    // What is slow to die may not keep us.
    this.#child.unref();
    await rm(this.#folder, { recursive: true, force: true });
    process.off("exit", this.#abandon);
  }

  /** When the process ends at once. */
  readonly #abandon = (): void => {
    this.#kill();
    rmSync(this.#folder, { recursive: true, force: true });
  };

  #setEnd(why: string): void {
    if (this.hasEnded) return;
    this.#end = why;
    // Others of its group may have outlived it. Later their number may be somebody else's.
    this.#kill();
    this.#ended.abort();
  }

  #kill(): void {
    const { pid, stderr } = this.#child;
    if (this.hasEnded || pid === undefined) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // Nobody is left.
    }
    // Whoever left the group may hold the other end.
    stderr?.destroy();
  }

  /** At most `limit` ms. */
  async #untilEnded(limit: number): Promise<void> {
    const { signal } = this.#ended;
    await sleep(limit, undefined, { ref: false, signal }).catch(() => {});
  }

  #take(text: string): void {
    const lines = (this.#unfinished + text).split("\n");
    this.#unfinished = lines.pop()!.slice(0, LINE_MAX);
    for (const line of lines) this.#hear(line);
  }

  #hear(line: string): void {
    if (line.trim() !== "") this.#said = line.slice(0, SAID_MAX);
    const notice = / msg="age: ((?:[^"\\]|\\.)*)"/.exec(line)?.[1];
    if (notice !== undefined) this.#options.onNotice(`sops: ${notice.replaceAll(/\\(.)/g, "$1")}`);
  }
}

/**
 * The terminal we run at, where a plugin asks for a PIN: whoever leads a group of its own has none by itself, and takes its
 * standard input for it. Undefined where there is none.
 */
function openTerminal(): number | undefined {
  try {
    return openSync("/dev/tty", "r+");
  } catch {
    return undefined;
  }
}

/** A connection to the socket at `path` as soon as somebody listens there; undefined when `limit` comes first. */
async function listening(path: string, limit: AbortSignal): Promise<Socket | undefined> {
  while (!limit.aborted) {
    const socket = await connected(path);
    if (socket) return socket;
    await sleep(POLL_MS);
  }
  return undefined;
}

function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connectSocket(path);
    socket.once("connect", () => resolve(socket)).once("error", () => resolve(undefined));
  });
}

/** One gRPC call: its message, what the service says against it, or undefined when the connection breaks or `limit` aborts. */
function call(
  session: ClientHttp2Session,
  method: Method,
  request: Uint8Array,
  limit: AbortSignal,
): Promise<Uint8Array | string | undefined> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | string | undefined>();
  const headers = {
    ":method": "POST",
    ":path": `/KeyService/${method}`,
    "content-type": "application/grpc",
    te: "trailers",
  };
  const stream = session.request(headers, { signal: limit });
  const parts: Buffer[] = [];
  let bytes = 0;
  let told: IncomingHttpHeaders = {};
  const hear = (more: IncomingHttpHeaders): void => void (told = { ...told, ...more });
  stream.on("response", hear).on("trailers", hear);
  stream.on("data", (part: Buffer) => {
    bytes += part.length;
    if (bytes > ANSWER_BYTES_MAX) stream.destroy();
    else parts.push(part);
  });
  // What the error says, "close" says as well.
  stream.on("error", () => {});
  stream.on("close", () =>
    resolve(bytes > ANSWER_BYTES_MAX ? DAMAGED : outcome(told, Buffer.concat(parts))),
  );
  stream.end(framed(request));
  return promise;
}

const DAMAGED = "its answer is damaged";

function framed(message: Uint8Array): Uint8Array {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** The one message in `body`, if gRPC says that all went well. */
function outcome(told: IncomingHttpHeaders, body: Buffer): Uint8Array | string | undefined {
  const http = told[":status"];
  const status = told["grpc-status"];
  if (http === undefined) return undefined;
  if (Number(http) !== 200) return `sops answered with HTTP status ${String(http)}`;
  if (status === undefined) return undefined;
  if (status !== "0") {
    return (
      decoded(String(told["grpc-message"] ?? "")) || `sops refused (gRPC status ${String(status)})`
    );
  }
  const isOne =
    body.length >= PREFIX_BYTES &&
    body[0] === 0 &&
    body.readUInt32BE(1) === body.length - PREFIX_BYTES;
  return isOne ? body.subarray(PREFIX_BYTES) : DAMAGED;
}

/** gRPC writes what is not ASCII, and line ends, as in addresses. */
function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}
