// What the doctor says of real servers, to roles with all rights and with none; and that the statements it names mend it.

import { test } from "node:test";
import assert from "node:assert/strict";
import { examineServer } from "../../src/postgres/examination.ts";
import type { Examination } from "../../src/postgres/examination.ts";
import { MAJORS, skipWithoutServer, startTestServer } from "./servers.ts";
import type { TestServer } from "./servers.ts";

async function examine(server: TestServer, user = "postgres", slot?: string): Promise<Examination> {
  const { host, port } = server;
  return await examineServer({
    settings: { hosts: [{ host, port }], user, database: "postgres", tls: { mode: "disable" } },
    slot,
  });
}

function outcomes({ findings }: Examination): Record<string, string> {
  return Object.fromEntries(findings.map(({ name, outcome }) => [name, outcome]));
}

/** The statements of the hints, as a person would run them. */
function statements({ findings }: Examination, name: string): string {
  const hint = findings.find((finding) => finding.name === name)?.hint ?? "";
  return /^((?:GRANT|ALTER)[^,.]*?)(?:,|\.|:| in the)/.exec(hint)?.[1] ?? "";
}

for (const major of MAJORS) {
  test(
    `PostgreSQL ${major}: a superuser finds everything in order`,
    { skip: skipWithoutServer(major) },
    async () => {
      await using server = await startTestServer({
        major,
        settings: { max_slot_wal_keep_size: "1GB" },
      });
      const found = await examine(server);
      assert.equal(found.role, "primary");
      assert.match(found.version!, new RegExp(`^${major}\\.`));
      assert.match(found.systemId!, /^\d{15,20}$/);
      const all = outcomes(found);
      assert.equal(all["ir_attachment"], "unknown");
      // Test servers give durability up.
      const { ir_attachment: _, fsync: __, full_page_writes: ___, ...rest } = all;
      assert.deepEqual(
        Object.entries(rest).filter(([, outcome]) => outcome !== "ok"),
        [],
      );
      assert.ok(Object.keys(rest).length >= 10);
    },
  );

  test(
    `PostgreSQL ${major}: a plain role learns what it lacks`,
    { skip: skipWithoutServer(major) },
    async () => {
      await using server = await startTestServer({
        major,
        settings: { max_slot_wal_keep_size: -1 },
      });
      await server.sql(`CREATE ROLE "Backup man" LOGIN`);
      await server.sql("CREATE TABLE ir_attachment (id int)");
      const found = await examine(server, "Backup man", "holdfast");
      const before = outcomes(found);
      assert.equal(before["replication"], "failed");
      assert.equal(before["role replication"], "failed");
      assert.equal(before["max_slot_wal_keep_size"], "limited");
      assert.equal(before["slot holdfast"], "limited");
      const names = [
        "role replication",
        "pg_switch_wal",
        "pg_create_restore_point",
        "pg_read_all_settings",
      ];
      for (const name of names) {
        assert.notEqual(before[name], "ok", name);
        await server.sql(statements(found, name));
      }
      assert.equal(before["ir_attachment"], "limited");
      await server.sql(`GRANT SELECT ON public.ir_attachment TO "Backup man"`);
      const after = outcomes(await examine(server, "Backup man"));
      for (const name of [...names, "replication", "ir_attachment"])
        assert.equal(after[name], "ok", name);
    },
  );
}

test("settings that stand in the way are named", { skip: skipWithoutServer() }, async () => {
  await using server = await startTestServer({
    settings: { wal_level: "minimal", max_wal_senders: 0, max_replication_slots: 0 },
  });
  const found = await examine(server);
  const all = outcomes(found);
  for (const name of ["wal_level", "max_wal_senders", "max_replication_slots", "replication"]) {
    assert.equal(all[name], "failed", name);
  }
});

test("a slot tells its state", { skip: skipWithoutServer() }, async () => {
  await using server = await startTestServer({});
  await server.sql("SELECT pg_create_physical_replication_slot('mine', true)");
  const found = await examine(server, "postgres", "mine");
  const slot = found.findings.find(({ name }) => name === "slot mine");
  assert.equal(slot?.outcome, "ok");
  assert.match(slot.value, /^physical, not in use, reserved/);
});

test("a server that is not there is one finding for each way to it", async () => {
  const settings = {
    hosts: [{ host: "/nowhere", port: 5432 }],
    user: "postgres",
    database: "postgres",
    tls: { mode: "disable" },
  } as const;
  const found = await examineServer({ settings });
  assert.deepEqual(outcomes(found), { connection: "failed", replication: "failed" });
  assert.equal(found.version, undefined);
});
