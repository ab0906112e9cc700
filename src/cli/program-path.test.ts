import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { programPath } from "./program-path.ts";

test("the starter is found from the sources, from the modules and from the single file", () => {
  const root = mkdtempSync(join(tmpdir(), "holdfast-package-"));
  try {
    for (const folder of ["bin", "dist/program", "dist/cli/commands"])
      mkdirSync(join(root, "modules", "holdfast", folder), { recursive: true });
    // Somebody else's, beside the package.
    mkdirSync(join(root, "modules", "bin"));
    writeFileSync(join(root, "modules", "bin", "holdfast"), "");
    const own = join(root, "modules", "holdfast");
    writeFileSync(join(own, "package.json"), "{}");
    writeFileSync(join(own, "bin", "holdfast"), "");
    for (const folder of ["dist/program", "dist/cli/commands"])
      assert.equal(programPath(join(own, folder)), join(own, "bin", "holdfast"));
  } finally {
    rmSync(root, { recursive: true });
  }
  const ours = resolve(import.meta.dirname, "../..", "bin", "holdfast");
  assert.equal(programPath(import.meta.dirname), ours);
});
