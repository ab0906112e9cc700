// `npm run demo`, as somebody sees it who has no terminal to be asked at: it ends well, and says why.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findServerPrograms } from "../../src/postgres/server-programs.ts";

const root = join(import.meta.dirname, "..", "..");
const isThere = await findServerPrograms({ major: 18 }).then(
  () => true,
  () => false,
);

test(
  "the demonstration brings back what its Odoo remembers",
  { skip: isThere ? false : "no PostgreSQL 18: this platform has no package of it" },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-demo-"));
    try {
      const words = ["scripts/demo.ts", "--yes", "--seconds", "1", "--folder", folder];
      const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...words], {
        cwd: root,
        stdio: ["ignore", "pipe", "pipe"],
      });
      let said = "";
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding("utf8").on("data", (text: string) => (said += text));
      const [status] = (await once(child, "close")) as [number | null];
      assert.equal(status, 0, said);
      assert.match(said, /both can return to any moment until \d\d:\d\d:\d\d/);
      assert.match(said, /every transaction up to that moment and none after it/);
      assert.match(said, /\n0 missing, 0 wrong, 0 that nobody refers to\n/);
      assert.match(said, /── The timeline\n/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
