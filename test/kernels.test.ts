// The committed WASM modules are what the kernels' sources compile to.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { test } from "node:test";
import { compileKernels, KERNEL_MODULES, kernelsModuleText } from "../scripts/build-kernels.ts";

for (const module of KERNEL_MODULES) {
  test(`the committed ${basename(module.path)} is up to date`, async () => {
    const expected = kernelsModuleText(module, await compileKernels(module));
    const isEqual = readFileSync(module.path, "utf8") === expected;
    assert.ok(isEqual, "run `npm run kernels` and commit what it writes");
  });
}
