// Tars of hostile archives, unpacked: what may be made, and where.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { formatTarHeader, tarPadding, TAR_END, type TarType } from "../../barman/tar-header.ts";
import { isHoldfastError } from "../../base/errors.ts";
import { ManifestComparison } from "../manifest-comparison.ts";
import { unpackTar, type UnpackReport } from "./unpack.ts";

type Entry = readonly [path: string, content?: string, type?: TarType];

function* tarOf(entries: readonly Entry[]): Generator<Buffer> {
  for (const [path, content = "", type = "file"] of entries) {
    const size = Buffer.byteLength(content);
    const fixed = { mode: 0o600, uid: 0, gid: 0, mtime: 0, linkTarget: type === "file" ? "" : "/" };
    yield formatTarHeader({ path, type, size, ...fixed });
    yield Buffer.from(content);
    yield Buffer.alloc(tarPadding(size));
  }
  yield TAR_END;
}

/** What lies in the folder afterwards, and what was left out. */
async function unpacked(
  entries: readonly Entry[],
  prefix = "",
): Promise<{ found: string[]; leftOut: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-unpack-"));
  const report: UnpackReport = {
    files: 0,
    bytes: 0,
    control: undefined,
    mode: undefined,
    leftOut: [],
  };
  try {
    await unpackTar({
      source: "data.tar",
      folder,
      prefix,
      account: undefined,
      comparison: new ManifestComparison(undefined),
      content: Readable.from(tarOf(entries)) as AsyncIterable<Buffer>,
      report,
    });
    const found = readdirSync(folder, { recursive: true }) as string[];
    return { found: found.toSorted(), leftOut: report.leftOut };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("in the place of a tablespace nothing is made but a server's folders", async () => {
  const entries: Entry[] = [
    ["./", "", "directory"],
    ["PG_15_202209061", "", "directory"],
    ["PG_15_202209061/5/16400", "page"],
    ["override.conf", "[Service]\nExecStartPre=/bin/false\n"],
    ["job.d", "", "directory"],
    ["job.d/run", "program"],
    ["PG_15", "?"],
  ];
  const { found, leftOut } = await unpacked(entries, "pg_tblspc/16399/");
  assert.deepEqual(found, ["PG_15_202209061", "PG_15_202209061/5", "PG_15_202209061/5/16400"]);
  assert.deepEqual(leftOut, [
    '"pg_tblspc/16399/override.conf"',
    '"pg_tblspc/16399/job.d/run"',
    '"pg_tblspc/16399/PG_15"',
  ]);
});

test("nothing is made outside the folder, through a link, or twice", async () => {
  for (const entries of [
    [["../up", "x"]],
    [["/etc/up", "x"]],
    [["base/../../up", "x"]],
    [["base", "", "hardlink"]],
    [
      ["base/1", "x"],
      ["base/1", "y"],
    ],
  ] as Entry[][])
    await assert.rejects(unpacked(entries), (error) => isHoldfastError(error, "BACKUP_DAMAGED"));
  const linked = await unpacked([
    ["link", "", "symlink"],
    ["link/etc-file", "x"],
    ["recovery.signal", ""],
    ["pg_wal/000000010000000000000001", "x"],
  ]);
  assert.deepEqual(linked, { found: ["link", "link/etc-file"], leftOut: ['"link"'] });
});
