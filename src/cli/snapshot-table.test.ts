import { before, test } from "node:test";
import assert from "node:assert/strict";
import type { Snapshot, SnapshotSummary } from "../restic/snapshot.ts";
import { describeSnapshot, formatGroupHeader, formatSnapshots } from "./snapshot-table.ts";
import type { SnapshotRow } from "./snapshot-table.ts";

before(() => {
  process.env["TZ"] = "UTC";
});

interface Fields {
  host: string;
  tags?: string[];
  paths: string[];
  bytes?: number;
  reasons?: string[];
}

function row(
  id: string,
  time: string,
  { host, tags = [], paths, bytes, reasons }: Fields,
): SnapshotRow {
  const summary = bytes === undefined ? null : ({ totalBytesProcessed: bytes } as SnapshotSummary);
  const snapshot = { time, hostname: host, tags, paths, summary };
  return { id: id.padEnd(64, "0"), snapshot, ...(reasons && { reasons }) };
}

const FULL = row("896c33f0", "2026-01-03T05:00:00+01:00", {
  host: "odoo-0",
  tags: ["nightly", "full"],
  paths: ["/tmp/fg/data", "/tmp/fg/s2"],
  bytes: 71090,
});
const VOLSYNC = row("ad245ba6", "2026-01-02T03:04:05.5Z", {
  host: "volsync",
  paths: ["/tmp/fg/data"],
  bytes: 70002,
});
const NIGHTLY = row("744d74bc", "2026-01-03T03:00:00Z", {
  host: "odoo-0",
  tags: ["nightly"],
  paths: ["/tmp/fg/data"],
  bytes: 70002,
});
const LONG = row("03084bf1", "2026-01-01T00:00:00Z", {
  host: "a-rather-long-host-name",
  tags: ["版本"],
  paths: ["/tmp/fg/data/f"],
  bytes: 2,
});

function table(rows: readonly SnapshotRow[], compact = false): string {
  return `\n${formatSnapshots(rows, { compact, timeZone: "UTC" }).join("\n")}\n`;
}

// The texts below were printed by restic 0.19.1 for snapshots with these fields.

test("the table of snapshots, oldest first, with room between rows of several paths", () => {
  assert.equal(
    table([FULL, VOLSYNC, LONG, NIGHTLY]),
    `
ID        Time                 Host                     Tags          Paths           Size
------------------------------------------------------------------------------------------------
03084bf1  2026-01-01 00:00:00  a-rather-long-host-name  版本          /tmp/fg/data/f  2 B

ad245ba6  2026-01-02 03:04:05  volsync                                /tmp/fg/data    68.361 KiB

744d74bc  2026-01-03 03:00:00  odoo-0                   nightly       /tmp/fg/data    68.361 KiB

896c33f0  2026-01-03 04:00:00  odoo-0                   nightly,full  /tmp/fg/data    69.424 KiB
                                                                      /tmp/fg/s2
------------------------------------------------------------------------------------------------
Timestamps shown in UTC
4 snapshots
`,
  );
});

test("the compact table", () => {
  assert.equal(
    table([FULL, VOLSYNC, LONG, NIGHTLY], true),
    `
ID        Time                 Host                     Tags     Size
---------------------------------------------------------------------------
03084bf1  2026-01-01 00:00:00  a-rather-long-host-name  版本     2 B
ad245ba6  2026-01-02 03:04:05  volsync                           68.361 KiB
744d74bc  2026-01-03 03:00:00  odoo-0                   nightly  68.361 KiB
896c33f0  2026-01-03 04:00:00  odoo-0                   nightly  69.424 KiB
                                                        full
---------------------------------------------------------------------------
Timestamps shown in UTC
4 snapshots
`,
  );
});

test("short values keep the columns that restic's headers make wide", () => {
  assert.equal(
    table([NIGHTLY]),
    `
ID        Time                 Host        Tags        Paths         Size
-------------------------------------------------------------------------------
744d74bc  2026-01-03 03:00:00  odoo-0      nightly     /tmp/fg/data  68.361 KiB
-------------------------------------------------------------------------------
Timestamps shown in UTC
1 snapshots
`,
  );
});

test("snapshots of an older restic have no size", () => {
  const old = row("62ccb1cb", "2020-01-02T03:04:05Z", { host: "old", paths: ["/tmp/fg/data"] });
  assert.equal(
    table([old]),
    `
ID        Time                 Host        Tags        Paths
-------------------------------------------------------------------
62ccb1cb  2020-01-02 03:04:05  old                     /tmp/fg/data
-------------------------------------------------------------------
Timestamps shown in UTC
1 snapshots
`,
  );
  assert.equal(
    table([old], true),
    `
ID        Time                 Host  Tags
-------------------------------------------
62ccb1cb  2020-01-02 03:04:05  old
-------------------------------------------
Timestamps shown in UTC
1 snapshots
`,
  );
});

test("forget shows why it keeps a snapshot, in the table that is not compact", () => {
  const rows = [
    { ...LONG, reasons: ["daily snapshot"] },
    { ...VOLSYNC, reasons: ["daily snapshot"] },
    { ...FULL, reasons: ["last snapshot", "daily snapshot"] },
  ];
  assert.equal(
    table(rows),
    `
ID        Time                 Host                     Tags          Reasons         Paths           Size
----------------------------------------------------------------------------------------------------------------
03084bf1  2026-01-01 00:00:00  a-rather-long-host-name  版本          daily snapshot  /tmp/fg/data/f  2 B

ad245ba6  2026-01-02 03:04:05  volsync                                daily snapshot  /tmp/fg/data    68.361 KiB

896c33f0  2026-01-03 04:00:00  odoo-0                   nightly,full  last snapshot   /tmp/fg/data    69.424 KiB
                                                                      daily snapshot  /tmp/fg/s2
----------------------------------------------------------------------------------------------------------------
Timestamps shown in UTC
3 snapshots
`,
  );
  assert.equal(table(rows, true).includes("daily"), false);
});

test("a name from the repository cannot upset the terminal", () => {
  const hostile = row("62ccb1cb", "2020-01-02T03:04:05Z", {
    host: "a\x1b[2J",
    tags: ["b\n"],
    paths: ["/c\r"],
  });
  assert.doesNotMatch(table([hostile]).replaceAll("\n", ""), /\p{Cc}/u);
});

test("group headers", () => {
  const paths = ["/tmp/fg/data", "/tmp/fg/s2"];
  const all = { hostname: "odoo-0", tags: ["full", "nightly"], paths };
  assert.equal(
    formatGroupHeader(all),
    "snapshots for (host [odoo-0], tags [full, nightly], paths [/tmp/fg/data, /tmp/fg/s2]):",
  );
  assert.equal(formatGroupHeader({ hostname: "vm" }), "snapshots for (host [vm]):");
  assert.equal(formatGroupHeader({ hostname: "", paths: ["/a"] }), "snapshots for (paths [/a]):");
  assert.equal(formatGroupHeader({}), undefined);
});

test("a snapshot in one line", () => {
  const snapshot: Snapshot = {
    time: "2026-11-23T20:52:09.836716677Z",
    parent: null,
    tree: "0".repeat(64),
    paths: ["/tmp/fg/src", "/tmp/fg/src/sub"],
    hostname: "otherhost",
    username: "root",
    uid: 0,
    gid: 0,
    excludes: [],
    tags: [],
    original: null,
    programVersion: "",
    summary: null,
    extra: {},
  };
  const id = "18231260".padEnd(64, "0");
  assert.equal(
    describeSnapshot(id, snapshot),
    "snapshot 18231260 of [/tmp/fg/src /tmp/fg/src/sub] at 2026-11-23 20:52:09.836716677 +0000 UTC by root@otherhost",
  );
  assert.match(
    describeSnapshot(id, { ...snapshot, time: "2026-11-23T20:52:09-03:30" }),
    / at 2026-11-23 20:52:09 -0330 -0330 by /,
  );
});

test("a column of ages for those who look at a terminal", () => {
  const now = Date.parse("2026-01-03T07:04:05.5Z");
  const lines = formatSnapshots([VOLSYNC, NIGHTLY], { timeZone: "UTC", now });
  assert.deepEqual(
    lines.slice(0, 4).map((line) => line.slice(0, 58).trimEnd()),
    [
      "ID        Time                 Age          Host        Ta",
      "----------------------------------------------------------",
      "ad245ba6  2026-01-02 03:04:05  1 day ago    volsync",
      "744d74bc  2026-01-03 03:00:00  4 hours ago  odoo-0      ni",
    ],
  );
});
