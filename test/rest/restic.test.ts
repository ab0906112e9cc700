// One repository behind a server, used by real restic and by us in turn: on rest-server, and on the guide's own location
// rclone:gcs:…, with `gcs` a directory, natively and through rclone.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { openRepository } from "../../src/repository/open.ts";
import { openRcloneStorage } from "../../src/storage/rclone.ts";
import { openRestStorage } from "../../src/storage/rest.ts";
import { restFromLocation } from "../../src/storage/rest/settings.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { backendContext } from "../backend-context.ts";
import { backUpPaths, checkAll, MACHINE, restoreTo } from "../faults/engine.ts";
import { plantTree } from "../faults/source-tree.ts";
import { assertSameTree, PASSWORD } from "../faults/workbench.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { peer, skipWithout } from "../peers.ts";
import { startRestServer } from "./server.ts";
import type { RestServer } from "./server.ts";

const execute = promisify(execFile);
let folder: string;
let source: string;
let server: RestServer | undefined;
let count = 0;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "holdfast-rest-"));
  source = join(folder, "source");
  plantTree(source, { large: 5_000_000, many: 20, links: "utf-8" });
  if (peer("rest-server").skip === false) server = await startRestServer();
});
after(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Place {
  /** For restic. */
  readonly location: string;
  readonly env: Readonly<Record<string, string>>;
  readonly options: readonly string[];
  readonly open: () => Promise<Storage>;
}

async function restic(place: Place, ...args: string[]): Promise<string> {
  const env = {
    PATH: process.env["PATH"],
    HOME: folder,
    RESTIC_PASSWORD: PASSWORD,
    RESTIC_CACHE_DIR: join(folder, "cache"),
    RESTIC_REPOSITORY: place.location,
    ...place.env,
  };
  const { stdout } = await execute(peer("restic-newest").path, [...args, ...place.options], {
    env,
  });
  return stdout;
}

/** What restic wrote we read and extend, and the other way round. */
async function useInTurn(place: Place): Promise<void> {
  await restic(place, "backup", source);
  const name = source.slice(source.lastIndexOf("/") + 1);
  const target = (): string => join(folder, `restored ${count++}`);
  const storage = await place.open();
  try {
    const repository = await openRepository({ storage, password: PASSWORD, machine: MACHINE });
    const first = target();
    const read = await restoreTo(repository, `latest:${join(source, "..")}`, first);
    assert.equal(read.failed.size, 0);
    assertSameTree(join(first, name), source);
    plantTree(join(source, `more ${count}`), { large: 3_000_000, many: 5, links: "utf-8" });
    const made = await backUpPaths(repository, [source]);
    assert.equal(made.failed.size, 0);
    assert.equal((await checkAll(repository)).numErrors, 0);
  } finally {
    await storage.close();
  }
  assert.match(await restic(place, "check", "--read-data"), /no errors were found/);
  const second = target();
  await restic(place, "restore", `latest:${join(source, "..")}`, "--target", second);
  assertSameTree(join(second, name), source);
  await restic(place, "forget", "--keep-last", "1", "--prune");
  await restic(place, "check", "--read-data");
}

suite("restic and we behind rclone", { skip: skipWithout("restic-newest", "rclone") }, () => {
  for (const native of ["auto", "never"] as const) {
    test(native === "auto" ? "natively" : "through rclone", async () => {
      const files = join(folder, `remote-${native}`);
      const env = {
        RCLONE_CONFIG: "/dev/null",
        RCLONE_CONFIG_GCS_TYPE: "alias",
        RCLONE_CONFIG_GCS_REMOTE: files,
      };
      mkdirSync(join(files, "hayden-odoo-backups"), { recursive: true });
      await createQuickRepository(join(files, "hayden-odoo-backups/filestore"), PASSWORD, 2);
      const options = new Map<string, string>([["rclone.native", native]]);
      if (native === "never") options.set("rclone.program", peer("rclone").path);
      await useInTurn({
        location: "rclone:gcs:hayden-odoo-backups/filestore",
        env,
        options: ["-o", `rclone.program=${peer("rclone").path}`],
        open: () =>
          openRcloneStorage("gcs:hayden-odoo-backups/filestore", backendContext({ env, options })),
      });
    });
  }
});

suite("restic and we on rest-server", { skip: skipWithout("restic-newest", "rest-server") }, () => {
  test("in turn", async () => {
    await createQuickRepository(join(server!.folder, "odoo"), PASSWORD, 2);
    const target = server!.location("/odoo/");
    const context = backendContext();
    await useInTurn({
      location: `rest:${target}`,
      env: {},
      options: [],
      open: () => openRestStorage(restFromLocation(target, context), context),
    });
  });
});
