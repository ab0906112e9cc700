import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  closeSync,
  fchmodSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Birthmarks } from "./birthmarks.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-births-"));
after(() => rmSync(folder, { recursive: true }));

const uid = process.geteuid!();
const gid = process.getegid!();
let files = 0;

/** Makes a file as a restore does; the mode it was made with, and what it lacked. */
function make(births: Birthmarks, directory: string, mode: number, owner = { uid, gid }) {
  const path = join(directory, `file ${files++}`);
  const made = births.modeFor(path, { mode, owner });
  const descriptor = openSync(path, "wx", made);
  try {
    const lacks = births.lacks(path, descriptor, made, { mode, owner });
    if (lacks.mode || lacks.owner) fchmodSync(descriptor, mode);
    assert.equal(fstatSync(descriptor).mode & 0o7777, mode);
    return { made, lacks };
  } finally {
    closeSync(descriptor);
  }
}

test("the first file of a directory is private until it is complete, the next ones are born right", () => {
  const births = new Birthmarks();
  const nothing = { owner: false, mode: false };
  assert.deepEqual(make(births, folder, 0o644), {
    made: 0o600,
    lacks: { owner: false, mode: true },
  });
  assert.deepEqual(make(births, folder, 0o644), { made: 0o644, lacks: nothing });
  assert.deepEqual(make(births, folder, 0o600), { made: 0o600, lacks: nothing });
  assert.deepEqual(make(births, folder, 0o400), { made: 0o400, lacks: nothing });
});

test("what the umask takes away is given back, each time", () => {
  const births = new Birthmarks();
  const umask = process.umask(0o027);
  try {
    make(births, folder, 0o600);
    for (let i = 0; i < 2; i++) {
      const lacks = { owner: false, mode: true };
      assert.deepEqual(make(births, folder, 0o666), { made: 0o666, lacks });
    }
    assert.equal(make(births, folder, 0o640).lacks.mode, false);
  } finally {
    process.umask(umask);
  }
});

test("a file of another owner, or with setuid, is private until it has both", () => {
  const births = new Birthmarks();
  make(births, folder, 0o644);
  const lacks = { owner: true, mode: true };
  assert.deepEqual(make(births, folder, 0o666, { uid: uid + 1, gid }), { made: 0o600, lacks });
  assert.deepEqual(make(births, folder, 0o666, { uid, gid: gid + 1 }), { made: 0o600, lacks });
  assert.deepEqual(make(births, folder, 0o4755), {
    made: 0o600,
    lacks: { owner: false, mode: true },
  });
});

test("a directory that gives its own group to new files is known by what it does", (context) => {
  if (uid !== 0) return context.skip("only root can give a directory to another group");
  const directory = join(folder, "shared");
  mkdirSync(directory);
  chownSync(directory, uid, gid + 7);
  chmodSync(directory, 0o2755);
  const births = new Birthmarks();
  make(births, directory, 0o644);
  assert.equal(make(births, directory, 0o644).lacks.owner, true);
  assert.equal(make(births, directory, 0o644, { uid, gid: gid + 7 }).lacks.owner, false);
});
