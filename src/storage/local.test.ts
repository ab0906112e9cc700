import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storageConformance } from "./conformance.ts";
import { openLocalStorage } from "./local.ts";

storageConformance("local", async () => {
  const root = await mkdtemp(join(tmpdir(), "holdfast-local-"));
  return {
    storage: await openLocalStorage({ root }),
    cleanup: () => rm(root, { recursive: true }),
    reopen: () => openLocalStorage({ root }),
  };
});
