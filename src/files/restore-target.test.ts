// What a restore does to metadata with fewer rights than root has: the process of each case is given exactly those of a mover.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, mkdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { toGoMode } from "../restic/file-mode.ts";
import { createNode } from "../restic/tree-node.ts";

const IS_ROOT = process.getuid?.() === 0;

suite("metadata with few capabilities", { skip: !IS_ROOT && "needs root" }, () => {
  const cases: [string, string][] = [
    ["as a privileged mover", "-all,+chown,+dac_override,+fowner"],
    ["as an ordinary root", "+all"],
  ];
  for (const [who, capabilities] of cases) {
    test(`${who}: a directory of a foreign group keeps setgid, sticky and mode`, (t) => {
      const folder = mkdtempSync(join(tmpdir(), "holdfast-setgid-"));
      t.after(() => rmSync(folder, { recursive: true }));
      const path = join(folder, "shared");
      mkdirSync(path);
      // Its parent may give it a group that is none of the mover's, too.
      chmodSync(path, 0o700);
      const node = createNode({
        name: "shared",
        type: "dir",
        mode: toGoMode(0o43770),
        mtime: "2026-11-26T04:00:00Z",
        atime: "2026-11-26T04:00:00Z",
        uid: 1001,
        gid: 1002,
      });
      const script = `
        const { applyMetadata } = await import(${JSON.stringify(join(import.meta.dirname, "restore-target.ts"))});
        const node = JSON.parse(${JSON.stringify(JSON.stringify(node, (_, value: unknown) => (typeof value === "bigint" ? Number(value) : value)))});
        applyMetadata(${JSON.stringify(path)}, node, true);`;
      const drop = capabilities === "+all" ? [] : [`--bounding-set=${capabilities}`];
      const as = ["--inh-caps=-all", ...drop, "--clear-groups", "--"];
      const node24 = [process.execPath, "--input-type=module", "-e", script];
      execFileSync("setpriv", [...as, ...node24], { stdio: "pipe" });
      const { uid, gid, mode, mtimeMs } = statSync(path);
      assert.deepEqual([uid, gid, mode & 0o7777], [1001, 1002, 0o3770]);
      assert.equal(new Date(mtimeMs).toISOString(), "2026-11-26T04:00:00.000Z");
    });
  }
});
