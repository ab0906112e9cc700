// Archives that Barman's own cloud tools made, over a real server of S3, restored and started by our command: the oldest
// Barman that we write for and the newest, in each compression that both know.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { promisify } from "node:util";
import { skipWithout } from "../peers.ts";
import { startVersitygw, type S3Server } from "../s3/versitygw.ts";
import { barmanCloud, s3Environment, walSpool, type BarmanTarget } from "./barman-cloud.ts";
import { archiveAll, ask, recover, removeAll, restoreFolder } from "./restored.ts";
import { serverOwnedFolder, startTestServer, type TestServer } from "./servers.ts";

const run = promisify(execFile);
const HOLDFAST = join(import.meta.dirname, "..", "..", "bin", "holdfast");

type Compressions = readonly (readonly [word: string | undefined, ending: string])[];

/** How each compression is asked for, and what the names of its tars end in. */
const COMPRESSIONS: Readonly<Record<"barman-oldest" | "barman-newest", Compressions>> = {
  "barman-oldest": [
    [undefined, ".tar"],
    ["--gzip", ".tar.gz"],
    ["--bzip2", ".tar.bz2"],
    ["--snappy", ".tar.snappy"],
  ],
  "barman-newest": [
    ["--gzip", ".tar.gz"],
    ["--lz4", ".tar.lz4"],
    ["--zstd", ".tar.zst"],
  ],
};

/** Runs our program as a user does; the messages of --json. */
async function holdfast(
  { s3, url, server }: BarmanTarget,
  words: readonly string[],
): Promise<Record<string, unknown>[]> {
  const location = `s3:${s3.endpoint}/${url.replace("s3://", "")}`;
  const { stdout } = await run(
    HOLDFAST,
    ["pg", ...words, "--archive", location, "--server", server, "--json"],
    { env: { ...process.env, ...s3Environment(s3), PATH: process.env["PATH"] ?? "" } },
  );
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

for (const name of ["barman-oldest", "barman-newest"] as const) {
  suite(name, { skip: skipWithout(name, "versitygw", "postgres-15") }, () => {
    test("backups in every compression, a tablespace, and a moment between them", async () => {
      const s3: S3Server = await startVersitygw();
      const tools = serverOwnedFolder("barman");
      const place = serverOwnedFolder("tablespace");
      let server: TestServer | undefined;
      try {
        const target: BarmanTarget = {
          name,
          s3,
          url: `s3://${s3.makeBucket()}/base`,
          server: "pg",
        };
        const spool = walSpool(tools);
        server = await startTestServer({ archiveCommand: spool.archiveCommand });
        await server.sql(`CREATE TABLESPACE far LOCATION '${place}'`);
        await server.sql("CREATE TABLE marks (n int)");
        await server.sql(
          "CREATE TABLE apart TABLESPACE far AS SELECT generate_series(1, 5000) AS n",
        );
        for (const [index, [word]] of COMPRESSIONS[name].entries()) {
          const connection = ["-h", server.host, "-U", "postgres", "--immediate-checkpoint"];
          await barmanCloud(target, "backup", [...(word ? [word] : []), ...connection]);
          await server.sql(`INSERT INTO marks VALUES (${index})`);
          await server.sql(`SELECT pg_create_restore_point('point ${index}')`);
          await server.sql("INSERT INTO marks VALUES (99)");
          await server.sql("DELETE FROM marks WHERE n = 99");
        }
        await archiveAll(server);
        await spool.push(target);
        const [listed] = await holdfast(target, ["list"]);
        const backups = listed!["backups"] as { id: string; flaws: string[] }[];
        assert.equal(backups.length, COMPRESSIONS[name].length);
        for (const [index, { id, flaws }] of backups.entries()) {
          assert.deepEqual(flaws, []);
          await restored(target, server, { id, index });
        }
      } finally {
        await server?.stop();
        await s3.stop();
        removeAll(tools, place);
      }
    });
  });
}

/** Restores backup `index` to the restore point behind it, and looks at what was recovered. */
async function restored(
  target: BarmanTarget,
  server: TestServer,
  { id, index }: { readonly id: string; readonly index: number },
): Promise<void> {
  const { root, folder } = restoreFolder();
  const far = join(root, "far");
  try {
    const messages = await holdfast(target, [
      "restore",
      `--to=${folder}`,
      `--backup=${id}`,
      `--tablespace-map=far=${far}`,
      `--target-name=point ${index}`,
      "--start",
      `--postgres-bin=${server.programs}`,
    ]);
    const [plan, summary, reached] = ["plan", "summary", "reached"].map((type) =>
      messages.find((message) => message["message_type"] === type),
    );
    assert.deepEqual([plan?.["backup"], plan?.["has_manifest"]], [id, false]);
    assert.equal(summary?.["verified"], false);
    assert.match(String(summary?.["notes"]), /no manifest/);
    assert.equal(reached?.["state"], "paused");
    const names = readdirSync(join(target.s3.folderOf("bucket-1"), "base", "pg", "base", id));
    assert.ok(names.includes(`data${COMPRESSIONS[target.name][index]![1]}`), names.join());
    assert.ok(existsSync(join(far, "PG_15_202209061")));
    assert.match(readFileSync(join(folder, "postgresql.auto.conf"), "utf8"), /pg wal-fetch/);
    // Started once more, as its user would, it recovers to the same place.
    const scratch = await recover(server, folder, {
      ...s3Environment(target.s3),
      PATH: process.env["PATH"] ?? "",
    });
    try {
      assert.equal(scratch.state.state, "paused");
      const marks = await ask(scratch, "SELECT n FROM marks ORDER BY n");
      assert.deepEqual(
        marks,
        Array.from({ length: index + 1 }, (_, n) => String(n)),
      );
      assert.deepEqual(await ask(scratch, "SELECT count(*) FROM apart"), ["5000"]);
    } finally {
      await scratch.stop();
    }
  } finally {
    removeAll(root);
  }
}
