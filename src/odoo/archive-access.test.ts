import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isHoldfastError } from "../base/errors.ts";
import { requireReadableArchive } from "./archive-access.ts";

/** Nobody that owns what the test makes. */
const OTHER = { uid: 64_321, gid: 64_321 };
const SEGMENT = "000000010000000000000003";
const SERVER = { account: OTHER, segment: SEGMENT };

test("an archive that the server's account cannot read is told before anything is restored", (t) => {
  const root = mkdtempSync(join(tmpdir(), "holdfast-archive-"));
  t.after(() => rmSync(root, { recursive: true }));
  const location = join(root, "archive/odoo");
  const folder = join(location, "wals/0000000100000000");
  mkdirSync(folder, { recursive: true });
  const segment = join(folder, `${SEGMENT}.gz`);
  writeFileSync(segment, "");
  const everything = [root, join(root, "archive"), location, join(location, "wals"), folder];
  for (const path of everything) chmodSync(path, 0o755);
  chmodSync(segment, 0o644);
  writeFileSync(join(folder, "000000010000000000000004.gz"), "", { mode: 0o600 });
  requireReadableArchive({ location }, SERVER);

  for (const path of [...everything, segment]) {
    chmodSync(path, 0o700);
    const denies = (error: unknown): boolean =>
      isHoldfastError(error, "STORAGE_DENIED") && error.message.endsWith(`: ${path}`);
    assert.throws(() => requireReadableArchive({ location }, SERVER), denies, path);
    chmodSync(path, 0o755);
  }
  // Whoever runs all of it as one user was not asked for another one.
  chmodSync(segment, 0o000);
  requireReadableArchive({ location }, { ...SERVER, account: undefined });
});

test("an archive in a bucket has no modes, and one without WAL is told by others", () => {
  requireReadableArchive({ location: "gs://bucket/base/odoo" }, SERVER);
  requireReadableArchive({ location: "/there/is/nothing" }, SERVER);
});
