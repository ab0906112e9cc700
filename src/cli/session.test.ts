import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { systemClock, systemRandom } from "../base/clock.ts";
import type { Clock } from "../base/clock.ts";
import { Meter } from "../storage/meter.ts";
import { createQuickRepository } from "../../test/interop/quick-repository.ts";
import { FakeClock, settle } from "../../test/fake-clock.ts";
import { recordOutput } from "../../test/cli/recorded-output.ts";
import { Closers } from "./closers.ts";
import type { Context } from "./command.ts";
import { readSettings } from "./environment.ts";
import { thisMachine } from "./machine.ts";
import { openNamedRepository, openNamedStorage, withRepository } from "./session.ts";
import type { LockMode } from "./session.ts";

let folder: string;
let repository: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "holdfast-session-"));
  repository = join(folder, "repository");
  await createQuickRepository(repository, "right");
});
after(() => rm(folder, { recursive: true }));

interface Person {
  /** What is typed at each prompt. */
  types?: string[];
  /** RESTIC_PASSWORD. */
  password?: string;
  repo?: string;
  lock?: boolean;
  clock?: Clock;
}

/** A run of the program by a person at a terminal. */
function sit(person: Person) {
  const { types = [], password, repo = repository, lock = true, clock = systemClock } = person;
  const { output, stderr } = recordOutput();
  const prompts: string[] = [];
  const environment = { HOME: folder, RESTIC_PASSWORD: password };
  const context: Context = {
    output,
    clock,
    random: systemRandom,
    machine: thisMachine(),
    cwd: "/",
    cores: 1,
    settings: readSettings({ lock }, environment),
    flags: { repo },
    environment,
    meter: new Meter(),
    secrets: {
      readFile: () => Promise.reject(new Error("no file is to be read")),
      run: () => Promise.reject(new Error("no program is to be run")),
      readLine: () => Promise.reject(new Error("stdin is not to be read")),
      readAll: () => Promise.reject(new Error("stdin is not to be read")),
      ask: (prompt) => {
        prompts.push(prompt);
        return Promise.resolve(types.shift()!);
      },
    },
    closers: new Closers(clock),
    signal: new AbortController().signal,
    leaveInterrupts: () => () => {},
  };
  return { context, prompts, stderr };
}

test("a person may mistype the password twice", async () => {
  const { context, prompts, stderr } = sit({ types: ["wrong", "worse", "right"] });
  const { keyId } = await openNamedRepository(context);
  assert.match(keyId, /^[0-9a-f]{64}$/);
  assert.equal(prompts.length, 3);
  assert.equal(stderr(), "wrong password or no key found. Try again\n".repeat(2));
});

test("the third wrong password is the last", async () => {
  const { context, prompts } = sit({ types: ["wrong", "worse", "worst", "right"] });
  await assert.rejects(openNamedRepository(context), { code: "WRONG_PASSWORD" });
  assert.equal(prompts.length, 3);
});

test("a password from elsewhere is tried once", async () => {
  const { context, prompts, stderr } = sit({ password: "wrong" });
  await assert.rejects(openNamedRepository(context), { code: "WRONG_PASSWORD" });
  assert.equal(prompts.length, 0);
  assert.equal(stderr(), "");
});

test("nobody is asked for the password of a repository that is not there", async () => {
  for (const repo of [folder, join(folder, "nothing")]) {
    const { context, prompts } = sit({ repo });
    await assert.rejects(openNamedRepository(context), (error: Error & { hint?: string }) => {
      assert.equal((error as { code?: string }).code, "REPO_NOT_FOUND");
      assert.equal(error.hint, `Is there a repository at the following location?\n${repo}`);
      return true;
    });
    assert.equal(prompts.length, 0);
  }
});

/** Locks that there are while a command of this kind works, and after it failed. */
async function countLocks(mode: LockMode, lock: boolean) {
  const { context, stderr } = sit({ password: "right", lock });
  const locks = async (): Promise<number> => (await readdir(join(repository, "locks"))).length;
  let during = NaN;
  const working = withRepository(context, mode, async () => {
    during = await locks();
    throw new Error("failed");
  });
  await assert.rejects(working, /failed/);
  return { during, after: await locks(), warned: stderr() !== "" };
}

test("a lock is held while a command works, and gone when it failed", async () => {
  for (const mode of ["read", "append", "exclusive"] as const) {
    assert.deepEqual(await countLocks(mode, true), { during: 1, after: 0, warned: false }, mode);
  }
  assert.deepEqual(await countLocks("none", true), { during: 0, after: 0, warned: false });
});

test("--no-lock is for commands that read; others warn and lock", async () => {
  assert.deepEqual(await countLocks("read", false), { during: 0, after: 0, warned: false });
  for (const mode of ["append", "exclusive"] as const) {
    assert.deepEqual(await countLocks(mode, false), { during: 1, after: 0, warned: true }, mode);
  }
});

test("a storage is closed when the run ends, with the connections it kept", async () => {
  const server = createServer((_request, response) => response.writeHead(404).end());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const { context } = sit({ repo: `rest:http://127.0.0.1:${port}/` });
  const storage = await openNamedStorage(context);
  const connected = once(server, "connection");
  await assert.rejects(storage.stat("config"), { code: "STORAGE_NOT_FOUND" });
  const [socket] = (await connected) as [Socket];
  const isEnded = once(socket, "close");
  assert.ok(!socket.destroyed);
  await context.closers.close();
  await isEnded;
  server.close();
});

test("closing never fails, and ends though something does not close", async () => {
  const clock = new FakeClock();
  const { closers } = sit({ clock }).context;
  const closed: string[] = [];
  closers.add({ close: () => Promise.reject(new Error("failed")) });
  closers.add({
    close: () => {
      closed.push("second");
      return new Promise(() => {});
    },
  });
  let isDone = false;
  const closing = closers.close().then(() => (isDone = true));
  await settle();
  assert.deepEqual([isDone, closed], [false, ["second"]]);
  await clock.advance(3000);
  await closing;
  await closers.close();
  assert.equal(closed.length, 1);
});
