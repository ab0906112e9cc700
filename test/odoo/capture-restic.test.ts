// Real restic and captures: it reads them as any snapshot, and in the main repository it meets none.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";
import assert from "node:assert/strict";
import { peer, skipWithout } from "../peers.ts";
import { CapturedStore, PASSWORD } from "./captured-store.ts";

for (const version of ["restic-oldest", "restic-newest"] as const) {
  describe(`captures and ${version}`, { skip: skipWithout(version) }, () => {
    let store: CapturedStore;
    afterEach(() => store.remove());

    const restic = (repository: "main" | "captures", ...words: string[]): string =>
      execFileSync(peer(version).path, ["--no-cache", ...words], {
        encoding: "utf8",
        env: {
          ...process.env,
          RESTIC_REPOSITORY: join(store.root, repository),
          RESTIC_PASSWORD: PASSWORD,
        },
      });

    test("it lists, checks, dumps and restores a capture", async () => {
      store = await CapturedStore.make();
      const capture = store.capture();
      const one = store.write("one");
      await capture.tick();
      const corrupt = store.write("soon wrong");
      store.writeAs(corrupt, "wrong");
      store.age(corrupt);
      store.write("two".repeat(1_000_000));
      await capture.tick();
      await capture.close();
      const [snapshot] = JSON.parse(restic("captures", "snapshots", "--json")) as {
        tags: string[];
        paths: string[];
        hostname: string;
      }[];
      assert.deepEqual(snapshot!.paths.sort(), ["/holdfast/odoo", store.folder]);
      assert.deepEqual(snapshot!.tags, [
        "holdfast-capture",
        "database=odoo",
        "missing=0",
        "corrupt=1",
      ]);
      restic("captures", "check", "--read-data");
      assert.match(
        restic("captures", "dump", "latest", "/holdfast/odoo/corrupt.jsonl"),
        new RegExp(`"sha1":"${corrupt}"`),
      );
      const target = join(store.root, "restored");
      restic("captures", "restore", "latest", "--target", target);
      const restored = join(target, store.folder);
      assert.equal(readFileSync(join(restored, one.slice(0, 2), one), "utf8"), "one");
      const files = readdirSync(restored, { recursive: true, withFileTypes: true });
      assert.equal(files.filter((entry) => entry.isFile()).length, 2);
    });

    test("the main repository is as without captures: snapshots, restore latest, forget and prune", async () => {
      store = await CapturedStore.make();
      const one = store.write("one");
      store.age(one);
      restic("main", "backup", "--quiet", store.folder);
      const capture = store.capture();
      const late = store.write("late");
      await capture.tick();
      restic("main", "backup", "--quiet", store.folder);
      rmSync(store.path(late));
      restic("main", "forget", "--keep-last", "1", "--prune");
      capture.fullSnapshotMade();
      const next = store.write("next");
      await capture.tick();
      assert.equal((JSON.parse(restic("main", "snapshots", "--json")) as unknown[]).length, 1);
      restic("main", "check", "--read-data");
      await capture.close();
      restic("captures", "check", "--read-data");
      const target = join(store.root, "restored");
      restic("main", "restore", "latest", "--target", target);
      const restored = join(target, store.folder);
      assert.deepEqual(readdirSync(restored).sort(), [one.slice(0, 2), late.slice(0, 2)].sort());
      assert.ok((await store.names()).includes(next));
    });
  });
}
