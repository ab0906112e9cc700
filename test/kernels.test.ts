// The committed WASM module is what the kernels' sources compile to.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { compileKernels, KERNELS_MODULE, kernelsModuleText } from "../scripts/build-kernels.ts";

test("the committed kernels are up to date", async () => {
  const expected = kernelsModuleText(await compileKernels());
  assert.equal(
    readFileSync(KERNELS_MODULE, "utf8") === expected,
    true,
    "run `npm run kernels` and commit src/restic/kernels-wasm.ts",
  );
});
