// What goes on in the live instance while it is protected: the writer inside Odoo (writer.py), a person who uploads over HTTP,
// and visitors whose pages make Odoo build its asset bundles again. Both writers keep journals of what was committed.

import { createHash, randomBytes } from "node:crypto";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Browser, faultsOf } from "./browser.ts";
import { readJournal, type JournalLine } from "./journal.ts";
import { spawnOdoo, writeConfiguration } from "./server.ts";
import type { Instance } from "./instance.ts";

/** Name of every attachment of the journals. */
export const ATTACHMENT_NAME = "holdfast journal";

/** How old an attachment is at least when it is given up: two captures, and both see it. */
export const LIFE_SECONDS = 10;

export interface TrafficOptions {
  readonly instance: Instance;
  /** Transactions a second of the writer inside Odoo, at most. */
  readonly rate: number;
  readonly collectEvery: number;
  readonly bundlesEvery: number;
}

export interface Traffic {
  /** The journal so far. */
  journal: () => JournalLine[];
  /** Ends all of it, and waits for what is under way. Throws when any of it failed. */
  stop: () => Promise<void>;
  /** Pages that were loaded, and what was wrong with them. */
  readonly visits: { pages: number; readonly faults: string[] };
}

/** Starts it; resolves when the writer has begun. */
export async function startTraffic(options: TrafficOptions): Promise<Traffic> {
  const { instance, rate, collectEvery, bundlesEvery } = options;
  const { place, server } = instance;
  const paths = ["writer", "uploads"].map((name) => join(place.folder, `${name}.journal`));
  const [written, uploaded] = paths as [string, string];
  const stopFile = join(place.folder, "stop");
  const settings = {
    seed: 19,
    journal: written,
    stop: stopFile,
    name: ATTACHMENT_NAME,
    rate,
    life: LIFE_SECONDS,
    collect_every: collectEvery,
    bundles_every: bundlesEvery,
  };
  const program = readFileSync(join(import.meta.dirname, "writer.py"), "utf8");
  const shellPlace = { ...place, folder: join(place.folder, "shell") };
  const shell = spawnOdoo(
    shellPlace,
    [
      "shell",
      `--config=${writeConfiguration(shellPlace)}`,
      `--database=${place.database}`,
      "--no-http",
      "--max-cron-threads=0",
    ],
    "pipe",
  );
  let said = "";
  for (const stream of [shell.stdout!, shell.stderr!]) {
    stream.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-4000)));
  }
  shell.stdin!.end(`SETTINGS = ${JSON.stringify(settings)}\n${program}`);
  const ended = once(shell, "close");
  writeFileSync(uploaded, "");
  const stopping = new AbortController();
  const visits = { pages: 0, faults: [] as string[] };
  const workers = [
    upload(server.url, uploaded, stopping.signal),
    visit(server.url, visits, stopping.signal),
  ];
  const failed = Promise.all(workers);
  failed.catch(() => {});
  for (const deadline = Date.now() + 120_000; !existsSync(written); await sleep(100)) {
    if (shell.exitCode !== null || Date.now() > deadline)
      throw new Error(`the writer does not begin:\n${said}`);
  }
  return {
    journal: () => readJournal(paths),
    visits,
    async stop() {
      writeFileSync(stopFile, "");
      stopping.abort();
      await failed;
      await ended;
      if (!readFileSync(written, "utf8").includes('"ended"'))
        throw new Error(`the writer failed:\n${said}`);
    },
  };
}

/** A person: an upload every half second, now and then a deletion. */
async function upload(url: string, journal: string, signal: AbortSignal): Promise<void> {
  const browser = new Browser(url);
  await browser.login();
  const mine: number[] = [];
  const commit = async (kind: string, call: () => Promise<Record<string, string | null>>) => {
    const before = Date.now() / 1000;
    const changes = await call();
    const line: JournalLine = { kind, before, after: Date.now() / 1000, changes };
    appendFileSync(journal, `${JSON.stringify(line)}\n`);
  };
  for (let turn = 0; !signal.aborted; turn++) {
    await commit("uploaded", async () => {
      const content = randomBytes(5000 + (turn % 20) * 20_000);
      const values = { name: ATTACHMENT_NAME, datas: content.toString("base64") };
      const id = (await browser.call("ir.attachment", "create", [values])) as number;
      mine.push(id);
      return { [id]: createHash("sha1").update(content).digest("hex") };
    });
    if (turn % 5 === 4 && turn > 2 * LIFE_SECONDS) {
      const gone = mine.shift()!;
      await commit("deleted over HTTP", async () => {
        await browser.call("ir.attachment", "unlink", [[gone]]);
        return { [gone]: null };
      });
    }
    await sleep(500);
  }
}

async function visit(
  url: string,
  visits: { pages: number; faults: string[] },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const stranger = new Browser(url);
    const pages = [await stranger.page("/"), await stranger.page("/web/login")];
    await stranger.login();
    pages.push(await stranger.page("/odoo"));
    visits.pages += pages.length;
    visits.faults.push(...faultsOf(pages));
    await sleep(3000);
  }
}
