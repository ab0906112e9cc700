// `npm run bench:postgres`: the same base backup by Holdfast and by the neighbours, in turns: pg_basebackup into a folder,
// barman-cloud-backup to a real S3 server. Prints medians and, for each pair, how many times as fast Holdfast was.
//
//   npm run bench:postgres -- --megabytes 1000 --runs 5
//
// The data are rows of texts, numbers and dates, with indexes: they compress about as well as an Odoo's tables do.

import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
} from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { peer } from "../test/peers.ts";
import { startTestServer } from "../test/postgres/servers.ts";
import type { TestServer } from "../test/postgres/servers.ts";
import { startVersitygw } from "../test/s3/versitygw.ts";
import { measure, run, settle } from "./run/measure.ts";
import type { Command, Measured } from "./run/measure.ts";
import { fillMemory } from "./run/quiet.ts";
import { median } from "./run/report.ts";

const ROOT = join(import.meta.dirname, "..");

const { values: options } = parseArgs({
  options: {
    megabytes: { type: "string", default: "1000" },
    runs: { type: "string", default: "5" },
    level: { type: "string", default: "6" },
    tools: { type: "string" },
    folder: { type: "string", default: tmpdir() },
    build: { type: "boolean", default: true },
  },
  allowNegative: true,
});

/** pg_basebackup's own `-z` is level 6. */
const GZIP = `gzip:${options.level}`;

interface Tool {
  readonly name: string;
  /** Whose times this one is compared with. */
  readonly against?: string;
  command(number: number): Command;
  /** Where the backup of that run lies. */
  place(number: number): string;
}

interface Sample extends Measured {
  readonly run: number;
  readonly tool: string;
  readonly bytes: number;
}

const base = mkdtempSync(join(options.folder, "holdfast-bench-"));
const local = join(base, "bucket");
const samples: Sample[] = [];
if (options.build) run({ argv: [process.execPath, join(ROOT, "scripts", "build.ts")] });
const s3 = await startVersitygw();
const bucket = s3.makeBucket();
mkdirSync(local);

/** WAL goes to where each tool's backup waits for it, and costs all of them the same. */
const archives = [local, s3.folderOf(bucket)];
const archiveCommand = archives
  .map((archive) => `d=${archive}/bench/wals/$(echo %f | cut -c1-16) && mkdir -p $d && cp %p $d/%f`)
  .join(" && ");

const server = await startTestServer({ archiveCommand, settings: { shared_buffers: "256MB" } });
const { account } = server;
// The server's account archives into both, and has to get there.
for (const folder of [base, dirname(dirname(s3.folderOf(bucket)))]) chmodSync(folder, 0o755);
for (const archive of archives) if (account) chownSync(archive, account.uid, account.gid);

try {
  const bytes = await fill(server, Number(options.megabytes) * 1e6);
  const wanted = options.tools?.split(",");
  const tools = toolsFor(server).filter(({ name }) => !wanted || wanted.includes(name));
  for (let number = 1; number <= Number(options.runs); number++) {
    fillMemory(base);
    for (const tool of number % 2 === 0 ? tools.toReversed() : tools) {
      settle();
      const measured = measure(tool.command(number));
      const stored = sizeOf(tool.place(number));
      samples.push({ run: number, tool: tool.name, bytes: stored, ...measured });
      console.error(
        `run ${number} ${tool.name.padEnd(22)} ${measured.wall.toFixed(2)} s, CPU ${measured.cpu.toFixed(2)} s, ` +
          `${(measured.memory / 1e6).toFixed(0)} MB, ${(stored / 1e6).toFixed(0)} MB stored`,
      );
      rmSync(tool.place(number), { recursive: true, force: true });
    }
  }
  console.log(
    `${(bytes / 1e6).toFixed(0)} MB of data, PostgreSQL ${server.major}; ${options.runs} runs, gzip level ${options.level}`,
  );
  console.log(
    `${availableParallelism()} cores, ${cpus()[0]?.model}; load ${loadavg()[0]!.toFixed(1)}; server, client and bucket share them`,
  );
  console.log(`\n${table(tools, bytes)}`);
} finally {
  await server.stop();
  await s3.stop();
  rmSync(base, { recursive: true, force: true });
}

/** Rows until the cluster has that many bytes; how many it has. */
async function fill({ sql }: TestServer, wanted: number): Promise<number> {
  await sql(
    `CREATE TABLE entries (id bigserial PRIMARY KEY, name text, reference text, amount numeric, made timestamp, note text)`,
  );
  const size = async (): Promise<number> => {
    const [row] = await sql<{ bytes: string }>(
      "SELECT sum(pg_database_size(datname)) AS bytes FROM pg_database",
    );
    return Number(row!.bytes);
  };
  for (;;) {
    const bytes = await size();
    if (bytes >= wanted) break;
    await sql(`INSERT INTO entries (name, reference, amount, made, note)
      SELECT 'Customer ' || (random() * 40000)::int, md5(random()::text), (random() * 1e6)::numeric(12, 2),
        now() - random() * interval '900 days', repeat(md5((random() * 5e4)::int::text) || ' ', 1 + (random() * 6)::int)
      FROM generate_series(1, 200000)`);
  }
  await sql("CREATE INDEX ON entries (reference)");
  await sql("VACUUM ANALYZE entries");
  await sql("CHECKPOINT");
  return await size();
}

function toolsFor(server: TestServer): Tool[] {
  const { host, port } = server;
  const connection = `host=${host} port=${port} user=postgres dbname=postgres`;
  const holdfast = join(ROOT, "bin", "holdfast");
  const keys = {
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    AWS_DEFAULT_REGION: "us-east-1",
  };
  const bucketFolder = s3.folderOf(bucket);
  const ours = (archive: string, env: Record<string, string>): Command => ({
    argv: [
      holdfast,
      "pg",
      "backup",
      "--archive",
      archive,
      "--server",
      "bench",
      "-d",
      connection,
      "--base-compression",
      GZIP,
      "-q",
    ],
    env: { HOLDFAST_DIST: "1", ...env },
  });
  const barman = join(dirname(peer("barman-newest").path), "barman-cloud-backup");
  return [
    {
      name: "holdfast folder",
      against: "pg_basebackup",
      command: () => ours(local, {}),
      place: () => join(local, "bench", "base"),
    },
    {
      name: "pg_basebackup",
      command: (number) => ({
        argv: [
          join(server.programs, "pg_basebackup"),
          "-d",
          connection,
          "-D",
          join(base, `pg-${number}`),
          "-Ft",
          "-Z",
          GZIP,
          "-X",
          "none",
          "-c",
          "fast",
        ],
      }),
      place: (number) => join(base, `pg-${number}`),
    },
    {
      name: "holdfast S3",
      against: "barman-cloud-backup",
      command: () => ours(`s3:${s3.endpoint}/${bucket}`, keys),
      place: () => join(bucketFolder, "bench", "base"),
    },
    {
      name: "barman-cloud-backup",
      command: () => ({
        argv: [
          barman,
          "--gzip",
          "--immediate-checkpoint",
          "--endpoint-url",
          s3.endpoint,
          "-h",
          host,
          "-p",
          String(port),
          "-U",
          "postgres",
          "-d",
          "postgres",
          `s3://${bucket}`,
          "bench",
        ],
        env: keys,
      }),
      place: () => join(bucketFolder, "bench", "base"),
    },
  ];
}

function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

function table(tools: readonly Tool[], bytes: number): string {
  const lines = [
    "| base backup by | wall s | MB/s of data | times as fast | CPU s | memory MB, most | stored MB |",
    "|---|---:|---:|---:|---:|---:|---:|",
  ];
  for (const { name, against } of tools) {
    const own = samples.filter(({ tool }) => tool === name);
    const pairs = own.flatMap(({ run, wall }) => {
      const other = samples.find((each) => each.tool === against && each.run === run);
      return other === undefined ? [] : [other.wall / wall];
    });
    const ends = [Math.min(...pairs), Math.max(...pairs)].map((each) => each.toFixed(2));
    const wall = median(own.map((each) => each.wall));
    const cells = [
      name,
      wall.toFixed(2),
      (bytes / 1e6 / wall).toFixed(0),
      pairs.length === 0 ? "" : `${median(pairs).toFixed(2)} (${ends.join(" to ")}) as ${against}`,
      median(own.map(({ cpu }) => cpu)).toFixed(2),
      (Math.max(...own.map(({ memory }) => memory)) / 1e6).toFixed(0),
      (median(own.map((each) => each.bytes)) / 1e6).toFixed(0),
    ];
    lines.push(`| ${cells.join(" | ")} |`);
  }
  return lines.join("\n");
}
