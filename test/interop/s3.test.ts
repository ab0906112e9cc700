// One repository in a bucket of a real server, for real restic and this engine in turn.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { initRepository } from "../../src/repository/init.ts";
import { openRepository } from "../../src/repository/open.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { openS3Storage } from "../../src/storage/s3.ts";
import { s3FromLocation } from "../../src/storage/s3/settings.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { MACHINE, backUpPaths, checkAll, restoreTo } from "../faults/engine.ts";
import { plantTree } from "../faults/source-tree.ts";
import { assertSameTree } from "../faults/workbench.ts";
import { peer, skipWithout } from "../peers.ts";
import { testContext } from "../s3/context.ts";
import { startVersitygw } from "../s3/versitygw.ts";
import type { S3Server } from "../s3/versitygw.ts";

const PASSWORD = "right";
const execute = promisify(execFile);

suite("restic on a bucket of S3", { skip: skipWithout("versitygw", "restic-newest") }, () => {
  let server: S3Server;
  let folder: string;
  let source: string;
  before(async () => {
    server = await startVersitygw();
    folder = mkdtempSync(join(tmpdir(), "holdfast-s3-"));
    source = join(folder, "source");
    plantTree(source, { large: 20_000_000, links: "utf-8" });
  });
  after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A location in a new bucket, with what both programs are told of it. */
  function place(): { target: string; restic: (...words: string[]) => Promise<string> } {
    const target = `${server.endpoint}/${server.makeBucket()}/odoo/filestore`;
    const env = {
      HOME: folder,
      PATH: process.env["PATH"],
      RESTIC_PASSWORD: PASSWORD,
      RESTIC_CACHE_DIR: join(folder, "cache"),
      RESTIC_REPOSITORY: `s3:${target}`,
      AWS_ACCESS_KEY_ID: server.accessKeyId,
      AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
    };
    const restic = async (...words: string[]): Promise<string> => {
      const options = { env, cwd: folder, timeout: 300_000 };
      return (await execute(peer("restic-newest").path, words, options)).stdout;
    };
    return { target, restic };
  }

  function open(target: string): Promise<Storage> {
    const env = {
      AWS_ACCESS_KEY_ID: server.accessKeyId,
      AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
    };
    const context = testContext({ env });
    return openS3Storage(s3FromLocation(target, "repository", context), context);
  }

  async function using(
    target: string,
    work: (repository: Repository) => Promise<void>,
  ): Promise<void> {
    const storage = await open(target);
    try {
      await work(await openRepository({ storage, password: PASSWORD, machine: MACHINE }));
    } finally {
      await storage.close();
    }
  }

  test("we take what it made", async () => {
    const { target, restic } = place();
    await restic("init");
    await restic("backup", "source");
    await using(target, async (repository) => {
      assert.deepEqual((await checkAll(repository)).findings, []);
      const restored = join(folder, "restored by us");
      const { failed } = await restoreTo(repository, "latest", restored);
      assert.equal(failed.size, 0);
      assertSameTree(join(restored, "source"), source);
    });
  });

  test("it takes what we made, and thins it out", async () => {
    const { target, restic } = place();
    const storage = await open(target);
    await initRepository({ storage, password: PASSWORD, machine: MACHINE });
    await storage.close();
    await using(target, async (repository) => {
      await backUpPaths(repository, [source]);
      await backUpPaths(repository, [source], { force: true });
    });
    await restic("check", "--read-data");
    const restored = join(folder, "restored by it");
    await restic("restore", "latest", "--target", restored);
    assertSameTree(join(restored, source), source);
    await restic("forget", "--keep-last", "1", "--prune");
    await using(target, async (repository) => {
      assert.deepEqual((await checkAll(repository)).findings, []);
    });
  });
});
