// `pg backup` with what it cannot do anything with: one error before any server or archive is asked, and no password shown.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { runProgram } from "./program.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-options-"));
after(() => rmSync(folder, { recursive: true }));
const archive = join(folder, "archive");
const SECRET = "secret-of-this-test";

const cases: [name: string, words: string[], says: RegExp][] = [
  [
    "a compression that tars do not have",
    ["--base-compression=zstd"],
    /--base-compression: "zstd".*\n.*gzip:1 to gzip:9/,
  ],
  ["a level that gzip does not have", ["--base-compression=gzip:0"], /--base-compression/],
  ["parts of nothing", ["--part-size=10"], /--part-size: "10".*\n.*1M or more/],
  ["a rate below what the server takes", ["--max-rate=1K"], /--max-rate: "1K".*\n.*32K to 1G/],
  [
    "a checkpoint of another kind",
    ["--checkpoint=slow"],
    /--checkpoint: "slow".*\n.*fast or spread/,
  ],
  ["a wait that is no duration", ["--wait-wal=soon"], /--wait-wal: "soon" is not a duration/],
  [
    "a password in a connection string",
    [`--dbname=host=db1 password=${SECRET}`],
    /--dbname holds a password.*\n.*PGPASSWORD/,
  ],
  [
    "a password in a URI",
    [`--dbname=postgresql://me:${SECRET}@db1/x`],
    /--dbname holds a password/,
  ],
  [
    "a connection string that cannot be read",
    [`--dbname=host=db1 ${SECRET}`],
    /connection string cannot be read/,
  ],
  ["a keyword that is not known", ["--dbname=flavour=sweet"], /flavour is not known/],
];

describe("pg backup refuses", () => {
  for (const [name, words, says] of cases) {
    test(name, async () => {
      const places = [`--archive=${archive}`, "--server=pg"];
      const { status, stdout, stderr } = await runProgram(["pg", "backup", ...places, ...words]);
      assert.notEqual(status, 0);
      assert.match(stderr, says);
      assert.ok(!`${stdout}${stderr}`.includes(SECRET));
      assert.ok(!existsSync(archive));
    });
  }

  test("to begin without the name of a server", async () => {
    const { status, stderr } = await runProgram(["pg", "backup", `--archive=${archive}`]);
    assert.notEqual(status, 0);
    assert.match(stderr, /no server of the archive is named.*\n.*--server/);
  });
});
