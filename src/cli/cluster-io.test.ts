import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isHoldfastError } from "../base/errors.ts";
import { clusterIo } from "./cluster-io.ts";

test("files: text, none, or an error that names it", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-io-"));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "config"), "text");
  const io = clusterIo({ HOME: "/home/me" });
  assert.equal(io.home, "/home/me");
  assert.equal(await io.readText(join(folder, "config")), "text");
  assert.equal(await io.readText(join(folder, "none")), undefined);
  await assert.rejects(io.readText(folder), (error) => isHoldfastError(error, "USAGE"));
});

test("programs: arguments as they are, variables added, status and both streams given back", async () => {
  const io = clusterIo({ PATH: process.env["PATH"], KEPT: "kept" });
  const script =
    "process.stdout.write(JSON.stringify([process.argv[1], process.env.KEPT, process.env.MORE])); process.stderr.write('e'); process.exitCode = 3";
  const ended = await io.run(process.execPath, {
    arguments: ["-e", script, "$(a) b"],
    variables: { MORE: "more" },
  });
  assert.deepEqual(ended, {
    code: 3,
    stdout: JSON.stringify(["$(a) b", "kept", "more"]),
    stderr: "e",
  });
  await assert.rejects(io.run("/no/such/program", { arguments: [], variables: {} }), /ENOENT/);
});

test(
  "a user without a name or a home has no kubeconfig there",
  { skip: process.getuid?.() !== 0 },
  () => {
    const module = join(import.meta.dirname, "cluster-io.ts");
    const script = `console.log((await import(${JSON.stringify(module)})).clusterIo({}).home)`;
    const home = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
      env: {},
      uid: 65_532,
      gid: 65_532,
      encoding: "utf8",
    });
    assert.equal(home, "/\n");
  },
);
