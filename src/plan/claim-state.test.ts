import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isHoldfastError } from "../base/errors.ts";
import { claimState } from "./claim-state.ts";

test("one at a time, and the folder is free again when its owner ends, however that was", async () => {
  const root = mkdtempSync(join(tmpdir(), "holdfast-claim-"));
  try {
    const folder = join(root, "state");
    const first = await claimState(folder);
    await assert.rejects(claimState(folder), (error) => isHoldfastError(error, "USAGE"));
    await first.close();
    const program = `
      import { claimState } from ${JSON.stringify(join(import.meta.dirname, "claim-state.ts"))};
      await claimState(${JSON.stringify(folder)});
      console.log("claimed");
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    await assert.rejects(claimState(folder), (error) => isHoldfastError(error, "USAGE"));
    child.kill("SIGKILL");
    await once(child, "exit");
    assert.ok(existsSync(join(folder, "in-use")));
    const last = await claimState(folder);
    await last.close();
    writeFileSync(join(root, "file"), "");
    await assert.rejects(claimState(join(root, "file")), (error) =>
      isHoldfastError(error, "TARGET_UNWRITABLE"),
    );
    await assert.rejects(claimState(join(root, "x".repeat(100))), (error) =>
      isHoldfastError(error, "USAGE"),
    );
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
