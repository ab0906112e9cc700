// How the demonstration speaks, and how it runs the program: every command is shown as a person would type it, with what it
// says. What happened when is kept for the timeline at the end.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A command that did not end as it should. */
export class StoryEnded extends Error {}

export interface TellerOptions {
  /** The checkout. */
  readonly root: string;
  /** Where commands run, and where logs go. */
  readonly place: string;
  /** What commands find in their environment beside ours. */
  readonly environment: Readonly<Record<string, string>>;
}

/** A command that goes on. */
export interface Companion {
  readonly child: ChildProcess;
  readonly log: string;
  /** False when it has ended by itself. */
  isRunning: () => boolean;
  end: (signal: NodeJS.Signals) => Promise<void>;
}

export class Teller {
  readonly #options: TellerOptions;
  readonly #events: { readonly time: number; readonly text: string }[] = [];
  readonly #companions: Companion[] = [];

  constructor(options: TellerOptions) {
    this.#options = options;
  }

  /** A heading of the story. */
  chapter(text: string): void {
    console.log(`\n── ${text}`);
  }

  say(text: string): void {
    console.log(text);
  }

  /** Something for the timeline, now or at that time (milliseconds since 1970). */
  note(text: string, time: number = Date.now()): void {
    this.#events.push({ time, text });
  }

  /** The timeline, one event a line. */
  timeline(): string {
    return this.#events
      .toSorted((a, b) => a.time - b.time)
      .map(({ time, text }) => `   ${clockTime(time)}  ${text}`)
      .join("\n");
  }

  /** Runs a command of the program to its end. Throws StoryEnded unless it ends with 0. */
  async holdfast(...words: string[]): Promise<number> {
    return await this.run(this.#program, ...words);
  }

  /** Runs any program and shows it; how many seconds it took. */
  async run(program: string, ...words: string[]): Promise<number> {
    const begun = performance.now();
    console.log(`$ ${program.slice(program.lastIndexOf("/") + 1)} ${words.map(quoted).join(" ")}`);
    const child = spawn(program, words, {
      cwd: this.#options.place,
      env: this.#environment,
      stdio: ["ignore", "inherit", "inherit"],
    });
    const [status] = (await once(child, "exit")) as [number | null];
    if (status !== 0) throw new StoryEnded(`holdfast ${words[0]} ended with ${status}`);
    return (performance.now() - begun) / 1000;
  }

  /** What a command prints, without showing it; undefined when it does not end with 0. */
  async quietly(...words: string[]): Promise<string | undefined> {
    const child = spawn(this.#program, words, {
      cwd: this.#options.place,
      env: this.#environment,
      stdio: ["ignore", "pipe", "ignore"],
    });
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
    const [status] = (await once(child, "close")) as [number | null];
    return status === 0 ? said : undefined;
  }

  /** Starts a command that goes on, with a log of its own. */
  accompany(name: string, ...words: string[]): Companion {
    const log = join(this.#options.place, `${name}.log`);
    console.log(`$ holdfast ${words.map(quoted).join(" ")} &`);
    const file = openSync(log, "a");
    const child = spawn(this.#program, words, {
      cwd: this.#options.place,
      env: this.#environment,
      stdio: ["ignore", file, file],
    });
    closeSync(file);
    const exited = once(child, "exit").catch(() => {});
    const companion: Companion = {
      child,
      log,
      isRunning: () => child.exitCode === null && child.signalCode === null,
      end: async (signal) => {
        child.kill(signal);
        await exited;
      },
    };
    this.#companions.push(companion);
    return companion;
  }

  /** Throws StoryEnded when a companion has ended, with the end of its log. */
  requireCompanions(): void {
    for (const { log, isRunning } of this.#companions) {
      if (isRunning()) continue;
      const end = readFileSync(log, "utf8").trim().split("\n").slice(-8).join("\n  ");
      throw new StoryEnded(`a command ended that should go on; ${log} says:\n  ${end}`);
    }
  }

  /** Ends all that still run. */
  async endCompanions(signal: NodeJS.Signals): Promise<void> {
    await Promise.all(
      this.#companions.splice(0).map(async (companion) => await companion.end(signal)),
    );
  }

  get #program(): string {
    return join(this.#options.root, "bin", "holdfast");
  }

  get #environment(): NodeJS.ProcessEnv {
    return { ...process.env, ...this.#options.environment };
  }
}

/** "14:03:07.250" in local time. */
export function clockTime(milliseconds: number): string {
  const date = new Date(milliseconds);
  const two = (part: number): string => String(part).padStart(2, "0");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${time}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

function quoted(word: string): string {
  return /^[\w./:=+,-]+$/.test(word) ? word : `"${word}"`;
}
