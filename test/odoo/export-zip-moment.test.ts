// A zip out of backups: of a moment that is gone, and of a live instance that has lost files.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { skipWithoutServer, until } from "../postgres/servers.ts";
import { makeProtectedInstance, messagesOf, type ProtectedInstance } from "./protected-instance.ts";

const skip =
  skipWithoutServer() || (hasPython() ? false : "there is no python3, whose zipfile reads the zip");
let made: ProtectedInstance;

function hasPython(): boolean {
  try {
    execFileSync("python3", ["-c", "import zipfile"]);
    return true;
  } catch {
    return false;
  }
}

before(async () => {
  if (!skip) made = await makeProtectedInstance();
});

after(async () => {
  await made?.[Symbol.asyncDispose]();
});

/** Names and SHA-1s of the files in a zip, and what the dump says of attachments. */
function read(path: string): { files: Map<string, string>; dump: string } {
  const code = `
import hashlib, json, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z:
    assert z.testzip() is None
    print(json.dumps(dict(files={n: hashlib.sha1(z.read(n)).hexdigest() for n in z.namelist() if n.startswith('filestore/')},
        dump=z.read('dump.sql').decode())))`;
  const text = execFileSync("python3", ["-c", code, path], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  const { files, dump } = JSON.parse(text) as { files: Record<string, string>; dump: string };
  return { files: new Map(Object.entries(files)), dump };
}

test(
  "a moment that is gone: its rows and exactly its files, although both are deleted since",
  { skip },
  async () => {
    await made.instance.attach("gone.txt", Buffer.from("this was here at that moment"));
    await made.capture();
    const [moment] = await made.server.sql("SELECT clock_timestamp()::text AS now");
    // The next commit is later by this clock, however coarse it is.
    await until("the clock to move", async () => {
      const [row] = await made.server.sql(
        `SELECT clock_timestamp() > '${moment!["now"]}'::timestamptz + '2 ms' AS later`,
      );
      return (row as unknown as { later: boolean }).later;
    });
    await made.instance.sql("DELETE FROM ir_attachment WHERE name = 'gone.txt'");
    await made.instance.sql("UPDATE res_partner SET name = 'changed since'");
    await made.archiveWal();
    const path = join(made.scratch, "..", "moment.zip");
    const run = await made.done(["export-zip", "--json", "--at", moment!["now"]!, "--to", path]);
    assert.deepEqual(readdirSync(made.scratch), []);
    const { files, dump } = read(path);
    assert.deepEqual(
      [...files.keys()].toSorted(),
      [...made.instance.files.keys()].map((name) => `filestore/${name}`).toSorted(),
    );
    for (const [name, sha1] of files) assert.ok(name.endsWith(sha1));
    assert.match(dump, /\tgone\.txt\t/);
    assert.doesNotMatch(dump, /changed since/);
    const summary = messagesOf(run).at(-1)!;
    assert.equal(summary["files"], made.instance.files.size);
    assert.equal(summary["files_from_backups"], made.instance.files.size);
    const again = await made.holdfast(["export-zip", "--latest", "--to", path]);
    assert.equal(again.status, 1);
    assert.match(again.stderr, /moment\.zip exists; it is as it was/);
  },
);

test(
  "what a live instance has lost or damaged comes out of the backups, to standard output too",
  { skip },
  async () => {
    const [first, second] = [...made.instance.files.keys()];
    unlinkSync(join(made.instance.folder, first!));
    writeFileSync(join(made.instance.folder, second!), "encrypted by somebody");
    const path = join(made.scratch, "..", "live.zip");
    const words = ["export-zip", "-d", made.conninfo, "--filestore", made.instance.folder];
    const run = await made.done([...words, "--json", "--to", path]);
    assert.equal(messagesOf(run).at(-1)!["files_from_backups"], 2);
    const whole = read(path);
    const shell = [...words, "--to", "-"].map((word) => `'${word}'`).join(" ");
    execFileSync(
      "/bin/sh",
      ["-c", `"$0" ${shell} > ${path}.out`, join(import.meta.dirname, "../../bin/holdfast")],
      {
        env: { PATH: "/usr/bin:/bin", HOLDFAST_NODE: process.execPath, ...made.environment },
      },
    );
    assert.deepEqual(read(`${path}.out`).files, whole.files);

    const without = await made.holdfast([...words, "--to", `${path}.2`], { RESTIC_REPOSITORY: "" });
    assert.equal(without.status, 1);
    assert.match(
      without.stderr,
      new RegExp(`1 file that rows refer to cannot be had: ${first!.slice(3)} \\(missing\\)`),
    );
    assert.match(without.stderr, /Name the repository/);
    assert.ok(!existsSync(`${path}.2`));
    assert.deepEqual(
      readdirSync(join(made.scratch, "..")).filter((name) => name.endsWith(".part")),
      [],
    );
    assert.equal(
      createHash("sha1").update(made.instance.files.get(first!)!).digest("hex"),
      first!.slice(3),
    );
  },
);
