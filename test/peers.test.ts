// How a peer is judged and reported: version limits, programs that do not run, skips and failures.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { compareVersions, probePeer } from "./peers.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-peers-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A program that answers with `output`. */
function program(name: string, output: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\necho "${output}"\n`);
  chmodSync(path, 0o755);
  return path;
}

test("versions compare by number", () => {
  assert.ok(compareVersions("0.9.0", "0.14.0") < 0);
  assert.ok(compareVersions("1.60", "1.60.1") < 0);
  assert.equal(compareVersions("2.4", "2.4.0"), 0);
  assert.ok(compareVersions("10.0.0", "9.9.9") > 0);
});

test("a program whose version serves is a peer", () => {
  const path = program("restic", "restic 0.19.1 compiled with go1.25 on linux/amd64");
  assert.deepEqual(probePeer("restic-newest", path, "here"), {
    path,
    version: "0.19.1",
    source: "here",
  });
});

test("too old, too new, mute or not running: the reason says which", () => {
  const reason = (...args: Parameters<typeof probePeer>): string => {
    const status = probePeer(...args);
    return "missing" in status ? status.missing : "no reason";
  };
  const newer = program("newer", "restic 0.19.1");
  const older = program("older", "restic 0.14.0");
  assert.match(reason("restic-oldest", newer, "here"), /is 0\.19\.1, wanted 0\.14\.0 up to/);
  assert.match(reason("restic-newest", older, "here"), /is 0\.14\.0, wanted 0\.18\.0 or newer/);
  assert.match(reason("rclone", program("mute", "hello"), "here"), /does not tell its version/);
  assert.match(reason("rclone", join(folder, "absent"), "here"), /does not run/);
});

/** What a test sees of a peer that is nowhere, in a process with `environment`. */
function missingPeer(environment: Record<string, string>): string {
  const script = `
    const { peer } = await import(${JSON.stringify(join(import.meta.dirname, "peers.ts"))});
    const kopia = peer("kopia");
    let thrown = "nothing";
    try { kopia.path } catch (error) { thrown = error.message }
    console.log(JSON.stringify({ skip: kopia.skip, thrown }));`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    env: { PATH: folder, HOLDFAST_PEERS: folder, ...environment },
    encoding: "utf8",
  });
  return stdout;
}

test("a missing peer is a skip with its reason, and no skip where peers are required", () => {
  const usual = JSON.parse(missingPeer({})) as { skip: unknown; thrown: string };
  assert.match(String(usual.skip), /^kopia: no kopia on PATH; `npm run peers` installs it$/);
  assert.match(usual.thrown, /^missing peer kopia/);
  const required = JSON.parse(missingPeer({ REQUIRE_PEERS: "1" })) as { skip: unknown };
  assert.equal(required.skip, false);
});
