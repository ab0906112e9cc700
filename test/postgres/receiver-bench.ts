// A bench for receivers: a server under load, an archive in a folder, receivers in this process or as the real program, and
// the two laws that every test asks for: what the archive has is byte for byte what the server wrote, and nothing that was
// acknowledged is missing.

import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { systemClock, systemRandom } from "../../src/base/clock.ts";
import { parseLsn, segmentAt, segmentStart, type Lsn } from "../../src/barman/lsn.ts";
import { segmentName, segmentNumber } from "../../src/barman/wal-name.ts";
import { archiveOf } from "../../src/postgres/archive.ts";
import { connect, type ConnectionSettings } from "../../src/postgres/connection.ts";
import {
  receiveWal,
  type ReceiveOptions,
  type ReceiverEvent,
  type ReceiveSummary,
} from "../../src/postgres/receiver.ts";
import { openLocalStorage } from "../../src/storage/local.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { startTestServer, until, type TestServer, type TestServerOptions } from "./servers.ts";

const PROGRAM = join(import.meta.dirname, "../../bin/holdfast");

/** Settings that keep all WAL in pg_wal, so that it can be compared, and bound what a slot keeps. */
export const KEEPING = { wal_keep_size: "4GB", max_slot_wal_keep_size: "2GB", max_wal_size: "8GB" };

export interface Receiving {
  readonly events: ReceiverEvent[];
  /** Resolves or rejects as the receiver does. */
  readonly done: Promise<ReceiveSummary>;
  /** Asks it to end well. */
  stop: () => Promise<ReceiveSummary>;
  /** Resolves with an event of that kind, past or to come. */
  event: <Kind extends ReceiverEvent["kind"]>(
    kind: Kind,
    where?: (event: ReceiverEvent & { kind: Kind }) => boolean,
  ) => Promise<ReceiverEvent & { kind: Kind }>;
}

export class ReceiverBench {
  readonly folder: string = mkdtempSync(join(tmpdir(), "holdfast-receiver-"));
  readonly segmentSize: number;
  server: TestServer;
  #spools = 0;
  readonly #running: { stop: AbortController; done: Promise<unknown> }[] = [];

  constructor(server: TestServer, segmentSize: number) {
    this.server = server;
    this.segmentSize = segmentSize;
    mkdirSync(this.archiveFolder);
  }

  get archiveFolder(): string {
    return join(this.folder, "archive");
  }

  get walFolder(): string {
    return join(this.archiveFolder, "one", "wals");
  }

  newSpool(): string {
    return join(this.folder, `spool-${(this.#spools += 1)}`);
  }

  settings(server: TestServer = this.server): ConnectionSettings {
    return {
      hosts: [{ host: server.host, port: server.port }],
      user: "postgres",
      database: "postgres",
      tls: { mode: "disable" },
      connectTimeout: 5000,
    };
  }

  /** Starts a receiver in this process. */
  async receive(
    options: Partial<ReceiveOptions> & {
      spool: string;
      around?: (storage: Storage) => Storage;
      server?: string;
      source?: () => TestServer;
    },
  ): Promise<Receiving> {
    const local = await openLocalStorage({ root: this.archiveFolder });
    const { around = (one: Storage): Storage => one, server = "one", source, ...given } = options;
    const stop = new AbortController();
    const events: ReceiverEvent[] = [];
    const done = receiveWal({
      archive: archiveOf(around(local), server),
      connect: async ({ replication, signal }) =>
        await connect({ settings: this.settings(source?.() ?? this.server), replication, signal }),
      slot: { name: "holdfast", create: true, unlimited: false },
      spoolLimit: 1 << 30,
      shared: false,
      partialAfter: 300,
      stopWithin: 10_000,
      clock: systemClock,
      random: systemRandom,
      onEvent: (event) => void events.push(event),
      signal: stop.signal,
      ...given,
    });
    done.catch(() => undefined);
    this.#running.push({ stop, done });
    return {
      events,
      done,
      stop: async () => {
        stop.abort();
        return await done;
      },
      event: async (kind, where = () => true) => {
        type Wanted = ReceiverEvent & { kind: typeof kind };
        const find = (): Wanted | undefined =>
          events.find((event): event is Wanted => event.kind === kind && where(event as Wanted));
        const wait = until(`the event ${kind}`, () => Promise.resolve(find()));
        return await Promise.race([wait, done.then(() => find() ?? wait)]);
      },
    };
  }

  /** Starts the real program. */
  program(
    words: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): ChildProcess {
    return spawn(
      PROGRAM,
      [
        "pg",
        "receive",
        "--archive",
        this.archiveFolder,
        "--server",
        "one",
        "--create-slot",
        "-d",
        `host=${this.server.host} user=postgres dbname=postgres`,
        ...words,
      ],
      { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...environment } },
    );
  }

  /** Where the server's WAL ends. */
  async position(server: TestServer = this.server): Promise<Lsn> {
    const [row] = await server.sql("SELECT pg_current_wal_lsn() AS lsn");
    return parseLsn(row!["lsn"]!, "the server");
  }

  /** What the slot says is durable; undefined without a slot. */
  async acknowledged(server: TestServer = this.server): Promise<Lsn | undefined> {
    const [row] = await server.sql<Record<string, string | null>>(
      "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'holdfast'",
    );
    return row?.["restart_lsn"] == null ? undefined : parseLsn(row["restart_lsn"], "the slot");
  }

  /** The names of whole and of partial segments in the archive, sorted. */
  archived(): { whole: string[]; partial: string[]; histories: string[] } {
    const found = { whole: [] as string[], partial: [] as string[], histories: [] as string[] };
    if (!existsSync(this.walFolder)) return found;
    for (const path of readdirSync(this.walFolder, { recursive: true, encoding: "utf8" })) {
      const name = path.slice(path.lastIndexOf("/") + 1);
      if (/^[0-9A-F]{24}\.gz$/.test(name)) found.whole.push(name.slice(0, 24));
      else if (/^[0-9A-F]{24}\.partial\.gz$/.test(name)) found.partial.push(name.slice(0, 24));
      else if (name.endsWith(".history")) found.histories.push(name);
      else if (!/^[0-9A-F]{16}$/.test(name) && !/-tmp-/.test(name))
        assert.fail(`${path} does not belong there`);
    }
    found.whole.sort();
    found.partial.sort();
    return found;
  }

  content(name: string, kind: "whole" | "partial"): Buffer {
    const suffix = kind === "whole" ? ".gz" : ".partial.gz";
    const bytes = gunzipSync(readFileSync(join(this.walFolder, name.slice(0, 16), name + suffix)));
    assert.equal(bytes.length, this.segmentSize, `${name}${suffix} is not padded`);
    return bytes;
  }

  /** The server's own copy. */
  original(name: string, server: TestServer = this.server): Buffer {
    return readFileSync(join(server.dataDirectory, "pg_wal", name));
  }

  /** Every segment is what the server wrote, and of each timeline there is none missing between two. */
  assertEqual(servers: readonly TestServer[] = [this.server]): void {
    const { whole } = this.archived();
    let previous: string | undefined;
    for (const name of whole) {
      const server = servers.find((one) => existsSync(join(one.dataDirectory, "pg_wal", name)));
      assert.ok(server, `no server has ${name}`);
      assert.ok(this.content(name, "whole").equals(this.original(name, server)), name);
      if (previous?.slice(0, 8) === name.slice(0, 8)) {
        const gap =
          segmentNumber(name, this.segmentSize) - segmentNumber(previous, this.segmentSize);
        assert.equal(gap, 1, `between ${previous} and ${name}`);
      }
      previous = name;
    }
  }

  /** Whatever lies before `position` on a timeline, from the first archived segment on, is in the archive as the server wrote it. */
  assertDurable(position: Lsn, options: { timeline?: number; server?: TestServer } = {}): void {
    const { timeline = 1, server = this.server } = options;
    const { whole, partial } = this.archived();
    const ours = whole.filter((name) => Number.parseInt(name.slice(0, 8), 16) === timeline);
    const at = segmentAt(position, this.segmentSize);
    const first = ours[0] === undefined ? at : segmentNumber(ours[0], this.segmentSize);
    for (let segment = first; segment < at; segment++) {
      const name = segmentName(timeline, segment, this.segmentSize);
      assert.ok(ours.includes(name), `${name} was acknowledged and is not there`);
      assert.ok(this.content(name, "whole").equals(this.original(name, server)), name);
    }
    const offset = Number(position - segmentStart(at, this.segmentSize));
    if (offset === 0) return;
    const name = segmentName(timeline, at, this.segmentSize);
    const kind = ours.includes(name) ? "whole" : "partial";
    // The server may begin a slot in the middle of a segment; then nothing was acknowledged yet.
    if (kind === "partial" && ours.length === 0 && !partial.includes(name)) return;
    assert.ok(
      kind === "whole" || partial.includes(name),
      `${name} was acknowledged up to ${offset}`,
    );
    const stored = this.content(name, kind).subarray(0, offset);
    assert.ok(stored.equals(this.original(name, server).subarray(0, offset)), name);
  }

  /** No partial segment beside its whole one. */
  assertTidy(): void {
    const { whole, partial } = this.archived();
    assert.deepEqual(
      partial.filter((name) => whole.includes(name)),
      [],
    );
  }

  /** Another server with the same data, which follows `primary` until it is promoted. */
  async standby(primary: TestServer): Promise<TestServer> {
    await primary.sql("CHECKPOINT");
    await primary.halt();
    const folder = mkdtempSync(join(this.folder, "standby-"));
    const dataDirectory = join(folder, "data");
    cpSync(primary.dataDirectory, dataDirectory, { recursive: true, preserveTimestamps: true });
    await primary.start();
    return await startStandby({ primary, dataDirectory });
  }

  /** Ends everything, also what a test that failed left. */
  async close(): Promise<void> {
    for (const { stop, done } of this.#running) {
      stop.abort();
      await done.catch(() => undefined);
    }
    await this.server.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Opens a bench on a server of its own. */
export async function openBench(options: TestServerOptions = {}): Promise<ReceiverBench> {
  const { segmentMegabytes = 16, settings = {} } = options;
  const server = await startTestServer({ ...options, settings: { ...KEEPING, ...settings } });
  return new ReceiverBench(server, segmentMegabytes << 20);
}

async function startStandby(options: {
  primary: TestServer;
  dataDirectory: string;
}): Promise<TestServer> {
  const { primary, dataDirectory } = options;
  const conninfo = `host=${primary.host} port=${primary.port} user=postgres`;
  appendFileSync(
    join(dataDirectory, "postgresql.conf"),
    `primary_conninfo = '${conninfo}'\nhot_standby = on\n`,
  );
  writeFileSync(join(dataDirectory, "standby.signal"), "");
  const { account } = primary;
  if (account !== undefined) {
    chmodSync(dataDirectory, 0o700);
    // Folders on the way have to let the server pass.
    chmodSync(join(dataDirectory, "../.."), 0o755);
    chmodSync(join(dataDirectory, ".."), 0o755);
    chownSync(dataDirectory, account.uid, account.gid);
    for (const path of readdirSync(dataDirectory, { recursive: true, encoding: "utf8" })) {
      const full = join(dataDirectory, path);
      if (!lstatSync(full).isSymbolicLink()) chownSync(full, account.uid, account.gid);
    }
  }
  return await startTestServer({ major: primary.major, dataDirectory });
}

/** Writes about `megabytes` of WAL, in transactions of half a megabyte. */
export async function writeWal(server: TestServer, megabytes: number): Promise<void> {
  await server.sql("CREATE TABLE IF NOT EXISTS load (n serial, filler text)");
  for (let half = 0; half < megabytes * 2; half++) {
    await server.sql(
      "INSERT INTO load (filler) SELECT string_agg(md5(random()::text || g::text), '') FROM generate_series(1, 16000) g GROUP BY g / 100",
    );
  }
}

/** Resolves when the program has ended; with what it said. */
export async function ended(
  child: ChildProcess,
): Promise<{ status: number | null; signal: NodeJS.Signals | null; text: string }> {
  let text = "";
  child.stdout?.on("data", (data: Buffer) => (text += data.toString()));
  child.stderr?.on("data", (data: Buffer) => (text += data.toString()));
  if (child.exitCode !== null || child.signalCode !== null)
    return { status: child.exitCode, signal: child.signalCode, text };
  const [status, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return { status, signal, text };
}
