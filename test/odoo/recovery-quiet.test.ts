// A moment at which nobody wrote: the log ends before it, and a capture that was made later proves that nothing is missing.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { JointPosition } from "../../src/odoo/capture-mark.ts";
import { readPosition } from "../../src/odoo/read-references.ts";
import { connect } from "../../src/postgres/connection.ts";
import { skipWithoutServer } from "../postgres/servers.ts";
import {
  askRecovered,
  backUpBase,
  makeRecoveryScene,
  recoveredPaths,
  reportOf,
  type RecoveryScene,
} from "./recovery-scene.ts";

suite("a moment at which nobody wrote", { skip: skipWithoutServer() }, () => {
  let scene: RecoveryScene;
  /** The position behind the last transaction, and a time at which all of it was in the archive. */
  let position: JointPosition;
  let evening: number;

  before(async () => {
    scene = await makeRecoveryScene();
    await backUpBase(scene);
    await scene.snapshot();
    await scene.instance.attach("last.txt", Buffer.from("the last one of the day"));
    const connection = await connect({ settings: scene.instance.settings });
    position = await readPosition(connection);
    await connection.close();
    await scene.archiveAll();
    evening = Date.now();
  });
  after(async () => {
    await scene?.[Symbol.asyncDispose]();
  });

  const captureAt = async (time: number): Promise<string> =>
    await scene.capture({ position: { ...position, time } });
  const recover = async (to: string, time: number, status?: number) =>
    await scene.holdfast(
      ["recover", "--at", new Date(time).toISOString(), "--to", join(scene.root, to)],
      status,
    );

  test("is refused while no capture says that it is over", async () => {
    await captureAt(evening - 10);
    const { stderr } = await recover("refused", evening, 1);
    assert.match(stderr, /hint: /);
    assert.ok(!existsSync(join(scene.root, "refused")));
  });

  test("is the end of the log once a capture was made later", async () => {
    const { files } = scene.instance;
    await captureAt(evening + 60_000);
    await recover("evening", evening);
    const to = join(scene.root, "evening");
    assert.deepEqual(recoveredPaths(join(to, "filestore", "odoo")), [...files.keys()].toSorted());
    const report = reportOf(to);
    assert.equal(report.complete, true);
    assert.equal(report.coverage.kind, "covered");
    const rows = await askRecovered(scene, join(to, "pgdata"), {
      text: "SELECT name FROM ir_attachment WHERE name = 'last.txt'",
    });
    assert.deepEqual(rows, [{ name: "last.txt" }]);
  });
});
