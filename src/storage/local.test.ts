import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storageConformance } from "./conformance.ts";
import type { OpenedStorage } from "./conformance/expectations.ts";
import { openLocalStorage } from "./local.ts";

async function open(): Promise<OpenedStorage> {
  const root = await mkdtemp(join(tmpdir(), "holdfast-local-"));
  return {
    storage: await openLocalStorage({ root }),
    cleanup: () => rm(root, { recursive: true }),
    reopen: () => openLocalStorage({ root }),
  };
}

// Each object costs two syncs of a real disk, and there are no pages here to cross.
storageConformance("local", open, { listCount: 1100 });
