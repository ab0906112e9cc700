// Which way a remote is reached, and rclone as a child: how it starts, fails, dies and ends, and what nobody may see.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { backendContext } from "../backend-context.ts";
import type { TestContext } from "../backend-context.ts";
import { GcsDouble } from "../gcs/double.ts";
import { peer } from "../peers.ts";
import { underAnyName } from "../rest/restic-names.ts";
import { sha256Hex } from "../../src/base/bytes.ts";
import { systemClock } from "../../src/base/clock.ts";
import type { HoldfastError } from "../../src/base/errors.ts";
import { storageConformance } from "../../src/storage/conformance.ts";
import {
  collect,
  failsWith,
  keysOf,
  MIB,
  pattern,
  sameBytes,
} from "../../src/storage/conformance/expectations.ts";
import { openRcloneStorage } from "../../src/storage/rclone.ts";
import { retrying } from "../../src/storage/retrying.ts";
import type { Storage } from "../../src/storage/storage.ts";

const rclone = peer("rclone");
let folder: string;
let double: GcsDouble;
let buckets = 0;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "holdfast-rclone-"));
  double = await new GcsDouble().listen();
});
after(async () => {
  await double.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Given {
  env?: Record<string, string>;
  /** Options of the command line without "rclone.". */
  options?: Record<string, string>;
  create?: boolean;
}

function contextWith({ env = {}, options = {}, create = true }: Given): TestContext {
  return backendContext({
    env: { RCLONE_CONFIG: "/dev/null", HOME: folder, ...env },
    options: new Map(Object.entries(options).map(([name, value]) => [`rclone.${name}`, value])),
    create,
  });
}

/** The guide's remote, on the double. */
function guide(): Record<string, string> {
  return {
    RCLONE_CONFIG_GCS_TYPE: "google cloud storage",
    RCLONE_CONFIG_GCS_ANONYMOUS: "true",
    RCLONE_CONFIG_GCS_ENDPOINT: `${double.endpoint}/storage/v1/`,
    RCLONE_CONFIG_GCS_BUCKET_POLICY_ONLY: "true",
  };
}

function alias(name: string): Record<string, string> {
  return { RCLONE_CONFIG_GCS_TYPE: "alias", RCLONE_CONFIG_GCS_REMOTE: join(folder, name) };
}

/** What a test left open would hold its child, and the child this process. */
const opened: Storage[] = [];
afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close();
});

async function open(target: string, context: TestContext): Promise<Storage> {
  const storage = await openRcloneStorage(target, context);
  opened.push(storage);
  return storage;
}

const program = (): { program: string } => ({ program: rclone.path });

function children(): number[] {
  const text = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8");
  return text.trim().split(" ").filter(Boolean).map(Number);
}

function keyOf(body: Uint8Array): string {
  const id = sha256Hex(body);
  return `data/${id.slice(0, 2)}/${id}`;
}

test("the guide's remote is read natively, and so are directories", async () => {
  double.createBucket({ name: "hayden-odoo-backups", uniformAccess: true });
  const context = contextWith({ env: guide() });
  const storage = await open("gcs:hayden-odoo-backups/filestore", context);
  assert.equal(storage.location, "rclone:gcs:hayden-odoo-backups/filestore");
  assert.deepEqual(context.notices, ["rclone remote gcs: read natively (Google Cloud Storage)"]);
  await storage.put("config", pattern(100, 1));
  assert.ok(storage.startUpload);
  await storage.close();
  const local = contextWith({ env: alias("native") });
  const directory = await open("gcs:bucket/filestore", local);
  assert.deepEqual(local.notices, ["rclone remote gcs: read natively (directory)"]);
  assert.equal(directory.location, "rclone:gcs:bucket/filestore");
  await directory.put("config", pattern(5, 1));
  assert.equal(readFileSync(join(folder, "native/bucket/filestore/config")).length, 5);
  await directory.close();
});

test("rclone may be refused, and a remote that nobody configured is", async () => {
  const env = { RCLONE_CONFIG_X_TYPE: "crypt" };
  const always = contextWith({ env, options: { native: "always" } });
  await assert.rejects(openRcloneStorage("x:b", always), {
    code: "USAGE",
    message: /without rclone: type crypt/,
  });
  await assert.rejects(openRcloneStorage("y:b", contextWith({})), {
    code: "USAGE",
    message: /"y" is not configured/,
  });
  const other = contextWith({ options: { native: "perhaps" } });
  await assert.rejects(openRcloneStorage("y:b", other), { code: "USAGE", message: /perhaps/ });
});

test("a key that rclone cannot honour is refused before it is started", async () => {
  const env = { ...alias("x"), RCLONE_CONFIG_GCS_TYPE: "crypt" };
  for (const name of ["HOLDFAST_GS_KMS_KEY", "HOLDFAST_S3_KMS_KEY"]) {
    const context = contextWith({ env: { ...env, [name]: "any" } });
    await failsWith("USAGE", "kms-key", open("gcs:x", context));
  }
});

describe("programs that are no rclone", () => {
  const attempt = async (
    command: string,
    expected: RegExp,
    code: string,
    timeout = "60s",
  ): Promise<void> => {
    const context = contextWith({
      env: { PATH: process.env["PATH"]!, RCLONE_CONFIG_X_TOKEN: "geheim" },
      options: { program: command, timeout },
    });
    await assert.rejects(openRcloneStorage("x:b", context), (error: HoldfastError) => {
      const told = `${error.message}\n${error.hint}`;
      assert.equal(error.code, code, told);
      assert.match(told, expected);
      assert.doesNotMatch(told + context.notices.join(), /geheim/);
      return true;
    });
    assert.deepEqual(children(), []);
  };
  test("one that is not there", () =>
    attempt("/nowhere/rclone", /no such program[^]*rclone\.program/, "USAGE"));
  test("one that ends at once, with its last words", () =>
    attempt(
      `sh -c "echo 'it is broken, token=geheim' >&2; exit 3"`,
      /ended with status 3: it is broken, token=\*\*\*/,
      "STORAGE_FAILED",
    ));
  test("one that says nothing", () =>
    attempt("sh -c 'exec sleep 60'", /did not answer within/, "STORAGE_FAILED", "500ms"));
  test("one that says something else", () =>
    attempt(
      `sh -c "echo 'HTTP/1.1 400 this is not what was asked for'; exec sleep 60"`,
      /does not speak HTTP\/2|ended/,
      "STORAGE_FAILED",
    ));
});

describe("rclone as a child", { skip: rclone.skip }, () => {
  test("what it cannot start with is told in its own words", async () => {
    const context = contextWith({ options: program() });
    await assert.rejects(openRcloneStorage("nothing:b", context), (error: HoldfastError) => {
      assert.equal(error.code, "STORAGE_FAILED");
      assert.match(error.message, /ended with status 1: .*didn't find section in config file/);
      return true;
    });
    assert.match(context.notices[0]!, /^rclone: .*didn't find section/);
  });

  test("both ways see the same objects", async () => {
    double.createBucket({ name: "both" });
    const native = await open("gcs:both/filestore", contextWith({ env: guide() }));
    const context = contextWith({ env: guide(), options: { native: "never", ...program() } });
    const child = await open("gcs:both/filestore", context);
    assert.match(
      context.notices[0]!,
      /^rclone remote gcs: through rclone [\d.]+, because of rclone.native is never$/,
    );
    assert.equal(child.location, native.location);
    const [first, second] = [pattern(MIB + 5, 1), pattern(300, 2)];
    await native.put(keyOf(first), first);
    await child.put(keyOf(second), second);
    sameBytes(await child.get(keyOf(first)), first);
    sameBytes(await native.get(keyOf(second)), second);
    await child.put(keyOf(first), first);
    assert.deepEqual(await keysOf(child, ""), await keysOf(native, ""));
    await child.delete(keyOf(first));
    await failsWith("STORAGE_NOT_FOUND", "data", native.get(keyOf(first)));
    assert.deepEqual((await child.inspect!())[0], {
      name: "server",
      value: `rclone/v${rclone.version}`,
    });
    await Promise.all([native.close(), child.close()]);
    assert.deepEqual(children(), []);
  });

  test("what it encrypts is encrypted, and no password is to be seen anywhere", async () => {
    const obscured = execFileSync(rclone.path, ["obscure", "geheim"], { encoding: "utf8" }).trim();
    const path = join(folder, "crypt");
    const target = `:crypt,remote="${path}",password="${obscured}":filestore`;
    const context = contextWith({
      env: { PATH: join(rclone.path, ".."), RCLONE_CONFIG: "/dev/null" },
    });
    const storage = await open(target, context);
    const [pid] = children();
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    assert.match(command, /restic\0--stdio\0--b2-hard-delete\0holdfast_[0-9a-f]{8}:filestore/);
    const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
    assert.ok(environment.some((line) => line.endsWith(`_PASSWORD=${obscured}`)));
    assert.ok(
      environment.every((line) => /^(?:RCLONE_|PATH=|HOME=|$)/.test(line)),
      environment.map((line) => line.split("=")[0]).join(),
    );
    const body = pattern(1000, 1);
    await storage.put(keyOf(body), body);
    sameBytes(await storage.get(keyOf(body)), body);
    const stored = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    assert.equal(stored.length, 1);
    assert.ok(!stored[0]!.name.includes(sha256Hex(body)));
    assert.notEqual(readFileSync(join(stored[0]!.parentPath, stored[0]!.name)).length, body.length);
    for (const text of [command, storage.location, ...context.notices]) {
      assert.ok(!text.includes(obscured) && !text.includes("geheim"), text);
    }
    assert.match(context.notices.join(), /because of type crypt/);
    await storage.close();
  });

  test("one that is killed is started again, and what it half wrote is written anew", async () => {
    const context = contextWith({
      env: alias("killed"),
      options: { native: "never", ...program() },
    });
    const storage = retrying(await open("gcs:b", context), {
      clock: systemClock,
      delayFirst: 1,
      attemptsMax: 5,
    });
    const [first] = children();
    const body = pattern(32 * MIB, 1);
    const putting = storage.put(keyOf(body), body);
    const path = join(folder, "killed/b", keyOf(body));
    for (let size = 0; size < MIB;) {
      await new Promise((resolve) => setImmediate(resolve));
      try {
        size = statSync(path).size;
      } catch {
        continue;
      }
    }
    process.kill(first!, "SIGKILL");
    await putting;
    sameBytes(await storage.get(keyOf(body)), body);
    assert.notDeepEqual(children(), [first]);
    // Between two requests nobody notices.
    process.kill(children()[0]!, "SIGKILL");
    await collect(storage.list(""));
    await storage.close();
    assert.deepEqual(children(), []);
  });

  test("an object that others deleted is gone, whatever rclone remembers", async () => {
    const context = contextWith({ env: alias("gone"), options: { native: "never", ...program() } });
    const storage = await open("gcs:b", context);
    const body = pattern(100, 1);
    for (const remove of [() => storage.get(keyOf(body)), () => storage.delete(keyOf(body))]) {
      await storage.put(keyOf(body), body);
      rmSync(join(folder, "gone/b", keyOf(body)));
      await remove().catch((error: HoldfastError) => assert.equal(error.code, "STORAGE_NOT_FOUND"));
      await failsWith("STORAGE_NOT_FOUND", "data", storage.get(keyOf(body)));
    }
    await storage.close();
  });

  storageConformance(
    "rclone on a bucket",
    async () => {
      const bucket = `bucket-${buckets++}`;
      double.createBucket({ name: bucket, limitWrites: false });
      const names = new Map<string, string>();
      const options = { native: "never", ...program() };
      const context = contextWith({ env: guide(), options });
      const storage = await openRcloneStorage(`gcs:${bucket}/filestore`, context);
      return { storage: underAnyName(storage, names), cleanup: () => Promise.resolve() };
    },
    { listCount: 300, uploads: false },
  );
});
