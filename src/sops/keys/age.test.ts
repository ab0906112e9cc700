import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import * as age from "age-encryption";
import fc from "fast-check";
import { keyContext, wrapped } from "../../../test/sops-keys/context.ts";
import { cancelled } from "../../base/cancellation.ts";
import type { KeyAttempt, KeyContext } from "../key-source.ts";
import { openAge, wrapAge } from "./age.ts";
import { identityPlaces } from "./age-places.ts";
import { parseSshPrivateKey, parseSshPublicKey } from "./ssh-key.ts";
import { sshIdentity, sshRecipient } from "./ssh-stanza.ts";

const dataKey = randomBytes(32);
const identity = await age.generateX25519Identity();
const recipient = await age.identityToRecipient(identity);

/** A context whose only files are `files`. */
function withFiles(files: Record<string, Uint8Array | string>, more: Partial<KeyContext> = {}) {
  return keyContext(
    { HOME: "/home/me" },
    {
      readFile: (path) => Promise.resolve(path in files ? Buffer.from(files[path]!) : undefined),
      ...more,
    },
  );
}

async function locked(text: string, passphrase: string): Promise<Uint8Array> {
  const encrypter = new age.Encrypter();
  encrypter.setPassphrase(passphrase);
  encrypter.setScryptWorkFactor(8);
  return encrypter.encrypt(text);
}

function reasonOf(attempt: KeyAttempt): string {
  assert.ok(!attempt.opened);
  return attempt.reason;
}

suite("identity files with a passphrase", () => {
  const path = "/home/me/.config/sops/age/keys.txt";
  const asking = (answer: string, asked: string[] = []): Partial<KeyContext> => ({
    askPassphrase: (what) => {
      asked.push(what);
      return Promise.resolve(answer);
    },
  });

  test("binary and armored ones are unlocked, once for all recipients", async () => {
    const file = await locked(`# mine\n${identity}\n`, "secret");
    const key = wrapped("age", recipient, await wrapAge(recipient, dataKey, keyContext()));
    for (const content of [file, age.armor.encode(file)]) {
      const asked: string[] = [];
      const context = withFiles({ [path]: content }, asking("secret", asked));
      for (const _ of [1, 2]) {
        const attempt = await openAge(key, context, "linux");
        assert.ok(attempt.opened);
        assert.equal(attempt.where, path);
      }
      assert.deepEqual(asked, [path]);
    }
  });

  test("nobody is asked where another place has the key", async () => {
    const asked: string[] = [];
    const files = {
      [path]: await locked(identity, "secret"),
      "/home/me/.ssh/id_rsa": identity,
    };
    const key = wrapped("age", recipient, await wrapAge(recipient, dataKey, keyContext()));
    const attempt = await openAge(key, withFiles(files, asking("secret", asked)), "linux");
    assert.ok(attempt.opened);
    assert.deepEqual(asked, []);
  });

  test("a wrong passphrase, a file in a file, and nobody to ask", async () => {
    const file = await locked(identity, "secret");
    const key = wrapped("age", recipient, await wrapAge(recipient, dataKey, keyContext()));
    const cases: [content: Uint8Array, more: Partial<KeyContext>, why: string][] = [
      [file, asking("wrong"), "wrong passphrase, or a damaged file"],
      [file, {}, "needs a passphrase, and there is nobody to ask"],
      [
        await locked(age.armor.encode(file), "a"),
        asking("a"),
        "an encrypted file within an encrypted file",
      ],
      [await locked("", "a"), asking("a"), "no identity in it"],
    ];
    for (const [content, more, why] of cases) {
      const reason = reasonOf(await openAge(key, withFiles({ [path]: content }, more), "linux"));
      assert.ok(reason.split("\n").includes(`${path}: ${why}`), reason);
    }
  });
});

suite("age keys", () => {
  test("where each system keeps the file", () => {
    const third = (env: Record<string, string>, platform: "linux" | "darwin" | "win32"): string =>
      identityPlaces("age1", keyContext(env), platform)[2]!.name;
    const home = { HOME: "/h" };
    assert.equal(third(home, "linux"), "/h/.config/sops/age/keys.txt");
    assert.equal(third({ ...home, XDG_CONFIG_HOME: "/x" }, "linux"), "/x/sops/age/keys.txt");
    assert.equal(third(home, "darwin"), "/h/Library/Application Support/sops/age/keys.txt");
    assert.equal(third({ ...home, XDG_CONFIG_HOME: "/x" }, "darwin"), "/x/sops/age/keys.txt");
    assert.equal(third({ AppData: "C:\\A" }, "win32"), "C:\\A\\sops\\age\\keys.txt");
    assert.equal(third({}, "linux"), "sops/age/keys.txt");
  });

  test("a file that cannot be read is a reason; being stopped is not", async () => {
    const key = wrapped("age", recipient, await wrapAge(recipient, dataKey, keyContext()));
    const refused = withFiles(
      {},
      {
        readFile: () => Promise.reject(Object.assign(new Error(identity), { code: "EACCES" })),
      },
    );
    const reason = reasonOf(await openAge(key, refused, "linux"));
    assert.match(reason, /keys\.txt: must not be read \(permissions\)$/m);
    assert.ok(!reason.includes(identity));
    const signal = AbortSignal.abort();
    const stopped = [
      withFiles({}, { signal }),
      withFiles({}, { readFile: () => Promise.reject(cancelled(signal)) }),
    ];
    for (const context of stopped) {
      await assert.rejects(openAge(key, context, "linux"), { code: "CANCELLED" });
    }
  });

  test("a recipient of a plugin is sops's work", async () => {
    const enc = await wrapAge(recipient, dataKey, keyContext());
    const key = wrapped("age", "age1yubikey1qqqqqq", enc);
    const reason = reasonOf(await openAge(key, withFiles({}), "linux"));
    assert.match(reason, /^age-plugin-yubikey, by sops: no sops on PATH$/m);
    await assert.rejects(wrapAge("age1yubikey1qqqqqq", dataKey, keyContext()), {
      code: "SOPS_NO_KEY",
      message: "cannot encrypt to age1yubikey1qqqqqq: no sops on PATH",
      hint: /age-plugin-yubikey/,
    });
    for (const bad of ["", "age1qqq", recipient.slice(0, -1), "ssh-ed25519 AAAA"]) {
      await assert.rejects(wrapAge(bad, dataKey, keyContext()), { code: "USAGE" });
    }
  });

  test("no wrapped key throws, however damaged", async () => {
    const whole = await wrapAge(recipient, dataKey, keyContext());
    const context = keyContext({ SOPS_AGE_KEY: identity });
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length), fc.string({ maxLength: 20 }), async (at, put) => {
        const enc = whole.slice(0, at) + put + whole.slice(at + put.length);
        const attempt = await openAge(wrapped("age", recipient, enc), context, "linux");
        if (attempt.opened) assert.deepEqual(Buffer.from(attempt.dataKey), dataKey);
      }),
    );
    const long = reasonOf(
      await openAge(wrapped("age", recipient, "A".repeat(70_000)), context, "linux"),
    );
    assert.equal(long, "the wrapped key is no age file");
  });
});

suite("SSH stanzas", () => {
  const keys = [
    generateKeyPairSync("ed25519"),
    generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ].map(({ privateKey }) => {
    const key = parseSshPrivateKey(privateKey.export({ format: "pem", type: "pkcs8" }).toString());
    const line = `${key.type} ${key.wire.toString("base64")}`;
    return { key, theirs: parseSshPublicKey(line)! };
  });
  const fileKey = randomBytes(16);
  const make = (args: string[], body: Uint8Array): age.Stanza => new age.Stanza(args, body);

  for (const { key, theirs } of keys) {
    test(`${key.type}: opens its own stanza among others, and refuses changed ones`, async () => {
      const recipientOf = sshRecipient(theirs, randomBytes, make);
      const [own] = await recipientOf.wrapFileKey(fileKey);
      const other = make(["X25519", "AAAA"], Buffer.alloc(32));
      const open = (...stanzas: age.Stanza[]) => sshIdentity(key).unwrapFileKey(stanzas);
      assert.deepEqual(Buffer.from((await open(other, own!))!), fileKey);
      assert.equal(await open(other), null);
      assert.equal(await open(make(own!.args.with(1, "AAAAAA"), own!.body)), null);
      const { args, body } = own!;
      const last = args.length - 1;
      const changed: age.Stanza[] = [
        make(args, body.subarray(1)),
        make(
          args,
          body.map((byte, index) => (index === 3 ? byte ^ 1 : byte)),
        ),
        make([...args, "more"], body),
      ];
      if (key.type === "ssh-ed25519") {
        // A point of small order would make the shared secret known to everybody.
        const zero = Buffer.alloc(32).toString("base64").replace("=", "");
        changed.push(
          make(args.with(last, zero), body),
          make(args.with(last, `${args[last]}=`), body),
        );
        changed.push(make(args.slice(0, 2), body), make(args.with(last, "AAAA"), body));
      }
      for (const stanza of changed) assert.throws(() => open(stanza));
    });
  }
});
