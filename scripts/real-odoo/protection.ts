// Holdfast as a user runs it: the program bin/holdfast with a repository, an archive and an instance in its environment, one
// command at a time or in the background. What each says goes into the transcript.

import type { ChildProcess } from "node:child_process";
import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runProgram, startProgram, type ProgramRun } from "../../test/postgres/program.ts";
import { serverAccount } from "../../test/postgres/servers.ts";
import type { Instance } from "./instance.ts";
import type { Transcript } from "./transcript.ts";

/** A command in the background. */
export interface Running {
  /** Asks it to end, as a service manager does, and waits. Throws when its status is not 0. */
  readonly stop: () => Promise<void>;
}

/** Lines of a command's output that the transcript shows. */
const LINES_SHOWN = 40;

export class Protection {
  readonly #environment: Readonly<Record<string, string>>;
  readonly #transcript: Transcript;
  readonly #children = new Set<ChildProcess>();
  /** Rejects when a command in the background ends by itself. */
  readonly #broken = Promise.withResolvers<never>();

  constructor(options: { instance: Instance; folder: string; transcript: Transcript }) {
    const { instance, folder, transcript } = options;
    mkdirSync(folder, { recursive: true });
    const password = join(folder, "password");
    writeFileSync(password, "only for this run\n", { mode: 0o600 });
    this.#transcript = transcript;
    this.#broken.promise.catch(() => {});
    this.#environment = {
      HOME: folder,
      RESTIC_REPOSITORY: join(folder, "bucket", "filestore"),
      RESTIC_PASSWORD_FILE: password,
      RESTIC_CACHE_DIR: join(folder, "cache"),
      HOLDFAST_ARCHIVE: join(folder, "bucket", "postgres"),
      HOLDFAST_ARCHIVE_SERVER: "shop",
      HOLDFAST_DATABASE: instance.conninfo,
      HOLDFAST_FILESTORE: instance.filestore,
      HOLDFAST_SPOOL: join(folder, "spool"),
    };
    mkdirSync(join(folder, "bucket"));
    // The account of the servers: those of recovered copies read this archive, too.
    const account = serverAccount();
    for (const path of account ? [folder, password, join(folder, "bucket")] : [])
      chownSync(path, account!.uid, account!.gid);
  }

  /** Runs a command to its end and tells it all. `statuses` are those that are no failure; `hidden` tells nothing. */
  async run(
    words: readonly string[],
    options: { statuses?: readonly number[]; hidden?: boolean } = {},
  ): Promise<ProgramRun> {
    const { statuses = [0], hidden = false } = options;
    const begun = performance.now();
    const ended = await Promise.race([
      runProgram(words, { env: this.#environment, account: serverAccount() }),
      // Nothing works as it should when one of these has ended.
      this.#broken.promise,
    ]);
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    if (!hidden) {
      this.#transcript.say(`$ holdfast ${words.map(quoted).join(" ")}   (${seconds} s)`);
      this.#transcript.say(shortened(`${ended.stderr}${ended.stdout}`));
    }
    if (ended.status === null || !statuses.includes(ended.status))
      throw new Error(
        `holdfast ${words[0]} ended with ${ended.status}:\n${ended.stderr}${ended.stdout}`,
      );
    return ended;
  }

  /** Writes a plan that asks for all of it, and tells it; its path, for `holdfast run -f`. */
  writePlan(): string {
    const value = (name: string): string => this.#environment[name]!;
    const text = `window: 7d
secrets:
  variables: ["RESTIC_PASSWORD=file:${value("RESTIC_PASSWORD_FILE")}"]
instances:
  - name: shop
    filestore: ${value("HOLDFAST_FILESTORE")}
    database:
      connect: ${value("HOLDFAST_DATABASE")}
    repository:
      location: ${value("RESTIC_REPOSITORY")}
      owned: true
    archive:
      location: ${value("HOLDFAST_ARCHIVE")}
      server: shop
      owned: true
      receive: {}
    capture:
      interval: 5s
    schedules:
      base: 0 2 * * *
      snapshot: 0 3 * * *
      expire: 0 4 * * *
`;
    const path = join(value("HOME"), "plan.yaml");
    writeFileSync(path, text);
    this.#transcript.say(`plan.yaml:\n${shortened(text)}`);
    return path;
  }

  /** Ends what still runs in the background, after a failure. */
  abandon(): void {
    for (const child of this.#children) if (child.exitCode === null) child.kill("SIGKILL");
  }

  /** Starts a command that runs until it is stopped. */
  start(words: readonly string[]): Running {
    this.#transcript.say(`$ holdfast ${words.map(quoted).join(" ")} &`);
    const { child, ended } = startProgram(words, {
      env: this.#environment,
      account: serverAccount(),
    });
    this.#children.add(child);
    let isStopping = false;
    void ended.then(({ status, stdout, stderr }) => {
      if (isStopping) return;
      const what = `holdfast ${words.join(" ")} ended by itself with ${status}`;
      this.#broken.reject(new Error(`${what}:\n${stderr}${stdout}`));
    });
    return {
      stop: async () => {
        isStopping = true;
        if (child.exitCode === null) child.kill("SIGTERM");
        const { status, stdout, stderr } = await ended;
        this.#transcript.say(`holdfast ${words.slice(0, 2).join(" ")} was stopped; it said:`);
        this.#transcript.say(shortened(`${stderr}${stdout}`));
        if (status !== 0 && status !== 130)
          throw new Error(`holdfast ${words[0]} ended with ${status}`);
      },
    };
  }
}

function quoted(word: string): string {
  return /^[\w./=:,+-]+$/.test(word) ? word : `'${word}'`;
}

function shortened(text: string): string {
  const lines = text.trimEnd().split("\n");
  if (lines.length <= LINES_SHOWN) return lines.map((line) => `  ${line}`).join("\n");
  const half = LINES_SHOWN / 2;
  const left = [
    ...lines.slice(0, half),
    `… ${lines.length - LINES_SHOWN} lines …`,
    ...lines.slice(-half),
  ];
  return left.map((line) => `  ${line}`).join("\n");
}
