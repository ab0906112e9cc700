// The test servers themselves: that every major starts, and that none outlives the process that started it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { MAJORS, skipWithoutServer, startTestServer, until } from "./servers.ts";

for (const major of MAJORS) {
  test(
    `PostgreSQL ${major} starts, answers and stops`,
    { skip: skipWithoutServer(major) },
    async () => {
      const server = await startTestServer({
        major,
        segmentMegabytes: 1,
        checksums: major !== 18,
        settings: { application_name: "it's" },
      });
      const { folder, host } = server;
      try {
        const [row] = await server.sql<Record<string, string>>(
          `SELECT current_setting('server_version_num') AS version, current_setting('wal_segment_size') AS size,
                current_setting('data_checksums') AS checksums, current_setting('listen_addresses') AS addresses`,
        );
        assert.equal(Math.floor(Number(row!["version"]) / 10_000), major);
        assert.equal(row!["size"], "1MB");
        assert.equal(row!["checksums"], major === 18 ? "off" : "on");
        assert.equal(row!["addresses"], "");
        await server.sql("CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)");
        await server.halt("kill");
        assert.equal(server.isRunning(), false);
        await server.start();
        assert.equal((await server.sql("SELECT * FROM kept")).length, 1);
      } finally {
        await server.stop();
      }
      assert.ok(!existsSync(folder) && !existsSync(host));
    },
  );
}

test("a server ends with the process that started it", { skip: skipWithoutServer() }, async () => {
  const script = `
    const { startTestServer } = await import(${JSON.stringify(`${import.meta.dirname}/servers.ts`)});
    const server = await startTestServer();
    const [{ pid }] = await server.sql("SELECT pg_backend_pid() AS pid");
    console.log(JSON.stringify({ host: server.host, data: server.dataDirectory }));
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const { host, data } = JSON.parse(line) as { host: string; data: string };
  assert.ok(existsSync(`${data}/postmaster.pid`));
  child.kill("SIGKILL");
  await until("the server and its folders to go", () =>
    Promise.resolve(!existsSync(host) && !existsSync(dirname(data))),
  );
});
