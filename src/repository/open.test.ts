import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import { damage, testMachine } from "../../test/memory-repository.ts";
import { sha256Hex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import type { ErrorCode, HoldfastError } from "../base/errors.ts";
import { isHoldfastError } from "../base/errors.ts";
import { encodeConfig } from "../restic/config.ts";
import { deriveKey, seal, splitKey } from "../restic/crypto.ts";
import type { MasterKey } from "../restic/crypto.ts";
import { encodeKeyFile } from "../restic/key-file.ts";
import { isIrreducible } from "../restic/polynomial.ts";
import { faulty } from "../storage/faulty.ts";
import type { FaultyStorage } from "../storage/faulty.ts";
import { openMemoryStorage } from "../storage/memory.ts";
import type { Storage } from "../storage/storage.ts";
import { initRepository } from "./init.ts";
import { addKey, listKeys, removeKey } from "./keys.ts";
import { keyOf } from "./layout.ts";
import { openRepository } from "./open.ts";
import type { OpenOptions } from "./open.ts";
import type { Repository } from "./repository.ts";

interface Place {
  objects: Map<string, Uint8Array>;
  storage: FaultyStorage;
  master: MasterKey;
}

/** A repository without any key file yet. */
function place(fields: Record<string, unknown> = {}): Place {
  const objects = new Map<string, Uint8Array>();
  const storage = faulty(openMemoryStorage({ objects }), []);
  const master = splitKey(randomBytes(64));
  const config = {
    version: 2,
    id: "ab".repeat(32),
    chunkerPolynomial: 0x3da3358b4dc173n,
    extra: {},
  } as const;
  objects.set("config", seal(master, encodeConfig({ ...config, ...fields }), randomBytes(16)));
  return { objects, storage, master };
}

/** Stores a key file that costs next to nothing to try; its id. */
async function quickKey(
  { objects, master }: Place,
  password: string,
  change: (masterJson: string) => string = (json) => json,
): Promise<Id> {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  const json = JSON.stringify({
    mac: { k: base64(master.macK), r: base64(master.macR) },
    encrypt: base64(master.encrypt),
  });
  const parameters = { N: 2, r: 1, p: 1, salt: randomBytes(64) };
  const derived = await deriveKey(password, parameters);
  const data = seal(derived, Buffer.from(change(json)), randomBytes(16));
  const names = { created: "2026-01-02T03:04:05Z", username: "u", hostname: "h" };
  const file = encodeKeyFile({ ...names, ...parameters, data });
  objects.set(keyOf("key", sha256Hex(file)), file);
  return sha256Hex(file);
}

function open(
  storage: Storage,
  password: string,
  options: Partial<OpenOptions> = {},
): Promise<Repository> {
  return openRepository({ storage, password, machine: testMachine(), ...options });
}

async function failure(promise: Promise<unknown>, code: ErrorCode): Promise<HoldfastError> {
  let caught: unknown;
  await assert.rejects(promise, (error) => {
    caught = error;
    return isHoldfastError(error, code);
  });
  return caught as HoldfastError;
}

const tried = ({ storage }: Place): number =>
  storage.calls.filter((call) => call.startsWith("get keys/")).length;

suite("opening", () => {
  test("any of the passwords opens, and tells which key it was", async () => {
    const made = place();
    const ids = [await quickKey(made, "one"), await quickKey(made, "two ä ⚓")];
    for (const [i, password] of ["one", "two ä ⚓"].entries()) {
      const repository = await open(made.storage, password);
      assert.equal(repository.keyId, ids[i]);
      assert.deepEqual(Buffer.from(repository.key.encrypt), made.master.encrypt);
      assert.equal(repository.config.id, "ab".repeat(32));
    }
  });

  test("a wrong password is called that", async () => {
    const made = place();
    await quickKey(made, "right");
    for (const password of ["wrong", "", "right ", "Right"]) {
      await failure(open(made.storage, password), "WRONG_PASSWORD");
    }
  });

  test("no repository is called that, with the place", async () => {
    const storage = openMemoryStorage({ location: "gcs:bucket:/path" });
    const error = await failure(open(storage, "x"), "REPO_NOT_FOUND");
    assert.match(error.hint!, /gcs:bucket:\/path/);
  });

  test("a repository without key files says so", async () => {
    const error = await failure(open(place().storage, "x"), "WRONG_PASSWORD");
    assert.match(error.message, /no key file/);
  });

  test("a storage that fails is not taken for a missing repository or a wrong password", async () => {
    for (const key of [/^config$/, /^keys\/$/, /^keys\/./]) {
      const made = place();
      await quickKey(made, "x");
      const broken = faulty(made.storage, [{ key, fault: { kind: "before" } }]);
      await failure(open(broken, "x"), "STORAGE_UNAVAILABLE");
      assert.equal(broken.hits, 1);
    }
  });
});

suite("the hint of a key", () => {
  test("is tried first, whole or in part", async () => {
    const made = place();
    const ids: Id[] = [];
    for (let i = 0; i < 8; i++) ids.push(await quickKey(made, `password ${i}`));
    for (const [i, id] of ids.entries()) {
      const before = tried(made);
      const repository = await open(made.storage, `password ${i}`, { keyHint: id.slice(0, 16) });
      assert.equal(repository.keyId, id);
      assert.equal(tried(made) - before, 1);
    }
  });

  test("that fits no key is no obstacle", async () => {
    const made = place();
    await quickKey(made, "x");
    for (const keyHint of ["ffff", "no id", ""]) await open(made.storage, "x", { keyHint });
  });

  test("finds a key among more than are tried", async () => {
    const made = place();
    const ids: Id[] = [];
    for (let i = 0; i < 25; i++) ids.push(await quickKey(made, `password ${i}`));
    const [last] = ids.map((id, i) => ({ id, i })).sort((a, b) => (a.id < b.id ? 1 : -1));
    const password = `password ${last!.i}`;
    const error = await failure(open(made.storage, password), "WRONG_PASSWORD");
    assert.match(error.hint!, /20 of 25 keys .*--key-hint/);
    assert.equal(tried(made), 20);
    assert.equal((await open(made.storage, password, { keyHint: last!.id })).keyId, last!.id);
  });
});

suite("damage", () => {
  test("of one key file does not keep another one from opening", async () => {
    const made = place();
    const bad = await quickKey(made, "bad");
    await quickKey(made, "good");
    damage(made.objects, keyOf("key", bad), -3);
    await open(made.storage, "good");
    const error = await failure(open(made.storage, "bad"), "WRONG_PASSWORD");
    assert.match(error.message, new RegExp(`damaged key files: ${bad.slice(0, 8)}`));
  });

  test("of the only key file is called that", async () => {
    const made = place();
    const id = await quickKey(made, "x");
    damage(made.objects, keyOf("key", id), 10);
    await failure(open(made.storage, "x"), "KEY_DAMAGED");
    made.objects.set(keyOf("key", id), Buffer.from("{}"));
    await failure(open(made.storage, "x"), "KEY_DAMAGED");
  });

  test("of what a key file holds is found although the password is right", async () => {
    for (const change of [
      (json: string): string => json.replace("encrypt", "decrypt"),
      (json: string): string => json.replace(/"k":"../, '"k":"'),
      (): string => "no json",
    ]) {
      const made = place();
      await quickKey(made, "x", change);
      await failure(open(made.storage, "x"), "KEY_DAMAGED");
    }
  });

  test("of the config is called that, and not a wrong password", async () => {
    for (const harm of [
      ({ objects }: Place): void => damage(objects, "config", 20),
      ({ objects }: Place): unknown => objects.set("config", new Uint8Array(0)),
      ({ objects, master }: Place): unknown =>
        objects.set("config", seal(master, Buffer.from('{"version":2}'), randomBytes(16))),
    ]) {
      const made = place();
      await quickKey(made, "x");
      harm(made);
      await failure(open(made.storage, "x"), "REPO_CONFIG_DAMAGED");
    }
  });

  test("a format that is not ours is refused, not misread", async () => {
    const made = place({ version: 3 });
    await quickKey(made, "x");
    await failure(open(made.storage, "x"), "REPO_UNSUPPORTED");
  });
});

suite("making a repository", () => {
  test("in both versions, with a polynomial of its own or a given one, and it opens", async () => {
    const given = 0x3da3358b4dc173n;
    const ids = new Set<string>();
    for (const version of [1, 2] as const) {
      const objects = new Map<string, Uint8Array>();
      const storage = openMemoryStorage({ objects });
      const options = { storage, password: "pw", machine: testMachine(), version };
      const chunker = version === 1 ? { chunkerPolynomial: given } : {};
      const made = await initRepository({ ...options, ...chunker });
      const { config } = await open(storage, "pw");
      assert.deepEqual([config.version, config.id], [version, made.id]);
      assert.ok(isIrreducible(config.chunkerPolynomial));
      assert.equal(config.chunkerPolynomial === given, version === 1);
      assert.deepEqual(
        [...objects.keys()].map((key) => key.split("/")[0]),
        ["keys", "config"],
      );
      ids.add(made.id);
    }
    assert.equal(ids.size, 2);
  });

  test("is refused where there is one, or what is left of one", async () => {
    const made = place();
    const { storage, objects } = made;
    const init = (): Promise<unknown> =>
      initRepository({ storage, password: "pw", machine: testMachine() });
    await failure(init(), "REPO_EXISTS");
    const id = await quickKey(made, "x");
    objects.delete("config");
    const error = await failure(init(), "REPO_EXISTS");
    assert.match(error.message, /no config but still holds keys\//);
    objects.delete(keyOf("key", id));
    objects.set(keyOf("snapshot", id), Buffer.alloc(1));
    await failure(init(), "REPO_EXISTS");
    assert.equal(objects.size, 1, "nothing was added");
  });

  test("two at once: one wins, and nothing of the other is left", async () => {
    const objects = new Map<string, Uint8Array>();
    const storage = openMemoryStorage({ objects });
    const init = (password: string): Promise<unknown> =>
      initRepository({ storage, password, machine: testMachine() });
    const results = await Promise.allSettled([init("a"), init("b")]);
    const won = results.findIndex(({ status }) => status === "fulfilled");
    const lost = results[1 - won]!;
    assert.ok(lost.status === "rejected" && isHoldfastError(lost.reason, "REPO_EXISTS"));
    await open(storage, ["a", "b"][won]!);
    await failure(open(storage, ["a", "b"][1 - won]!), "WRONG_PASSWORD");
    assert.equal(objects.size, 2);
  });
});

test("keys are added, listed and removed, never the one in use", async () => {
  const made = place();
  const first = await quickKey(made, "first");
  const repository = await open(made.storage, "first");
  const { storage, master } = made;
  const second = await addKey({
    storage,
    master,
    password: "second",
    machine: testMachine({ hostname: "h2" }),
  });
  const listed = await listKeys(repository);
  assert.deepEqual(
    listed
      .map(({ id, current, hostname }) => ({ id, current, hostname }))
      .sort((a) => (a.current ? -1 : 1)),
    [
      { id: first, current: true, hostname: "h" },
      { id: second, current: false, hostname: "h2" },
    ],
  );
  await failure(removeKey(repository, first), "USAGE");
  await removeKey(await open(storage, "second"), first);
  await failure(open(storage, "first"), "WRONG_PASSWORD");
  await open(storage, "second");
});
