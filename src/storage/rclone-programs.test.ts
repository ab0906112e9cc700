// What a configuration file of rclone's may not say where no program is to be run, and what is left of one that may be used.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { checkedRcloneConfig } from "./rclone-programs.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-rclone-programs-"));
after(() => rmSync(folder, { recursive: true, force: true }));

async function checked(text: string): Promise<string | undefined> {
  const path = join(folder, "rclone.conf");
  writeFileSync(path, text);
  return await checkedRcloneConfig({ RCLONE_CONFIG: path });
}

suite("rclone's configuration where no program may be run", () => {
  test("an ordinary one is given on as it was read", async () => {
    const text =
      "# mine\n[box]\ntype = sftp\nhost=example.org\n\n[safe]\ntype: crypt\nremote = box:x\n";
    const kept = "[box]\ntype = sftp\nhost = example.org\n[safe]\ntype = crypt\nremote = box:x\n";
    assert.equal(await checked(text), kept);
  });

  test("without one there is nothing to give on; one that is not there stays away", async () => {
    assert.equal(await checkedRcloneConfig({}), undefined);
    assert.equal(await checkedRcloneConfig({ RCLONE_CONFIG: "" }), undefined);
    assert.equal(await checkedRcloneConfig({ RCLONE_CONFIG: join(folder, "none") }), "");
  });

  for (const line of [
    "ssh = /mnt/x/program",
    "SSH=id",
    "bearer_token_command = id",
    "global.password_command = id",
    "override.metadata_mapper = id",
    "shared_credentials_file = /mnt/x/aws",
    "remote = :sftp,ssh=id:x",
    "upstreams = a=b: c=:webdav,bearer_token_command='id':x",
  ]) {
    test(`a program is refused: ${line}`, async () => {
      await assert.rejects(checked(`[box]\ntype = sftp\n${line}\n`), (error: Error) => {
        assert.equal((error as Error & { code?: string }).code, "SECRET_INVALID");
        assert.match(error.message, /run a program: \S+ of remote "box"/);
        // Of values nothing is told.
        assert.doesNotMatch(error.message, /id\b|\/mnt/);
        return true;
      });
    });
  }

  for (const [why, text] of [
    ["encrypted", "RCLONE_ENCRYPT_V0:\nAAAA\n"],
    ["references", "[a]\nx = ,ss\nremote = :sftp%(x)sh=id:x\n"],
    ["a quoted name", '[a]\n"ssh" = id\n'],
    ["a name in backticks", "[a]\n`ssh` = id\n"],
    ["white space of other readers", "[a]\n\u0085ssh = id\n"],
    ["a line that goes on", "[a]\nx = y \\\nssh2 = id\n"],
    ["text of several lines", '[a]\nx = """y\nz = """\n'],
  ] as const) {
    test(`what cannot be checked is refused: ${why}`, async () => {
      await assert.rejects(checked(text), { code: "SECRET_INVALID", message: /cannot be checked/ });
    });
  }
});
