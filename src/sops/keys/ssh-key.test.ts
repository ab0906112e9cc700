import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { suite, test } from "node:test";
import fc from "fast-check";
import { isHoldfastError } from "../../base/errors.ts";
import { parseSshPrivateKey, parseSshPublicKey } from "./ssh-key.ts";
import { wireInteger, wireStrings } from "./ssh-wire.ts";

interface Made {
  readonly cipher?: string;
  readonly type?: string;
  readonly seed?: Uint8Array;
  readonly check?: number;
  readonly keys?: number;
}

const pair = generateKeyPairSync("ed25519");
const { d, x } = pair.privateKey.export({ format: "jwk" });
const [seed, point] = [Buffer.from(d!, "base64url"), Buffer.from(x!, "base64url")];

/** An OpenSSH private key, as PROTOCOL.key of OpenSSH lays it out. */
function opensshBytes(made: Made = {}): Buffer {
  const text = (value: string): Buffer => Buffer.from(value);
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const name = text(made.type ?? "ssh-ed25519");
  const secret = Buffer.concat([made.seed ?? seed, point]);
  const inner = Buffer.concat([
    number(7),
    number(made.check ?? 7),
    wireStrings(name, point, secret, text("comment")),
    Buffer.from([1, 2, 3]),
  ]);
  return Buffer.concat([
    text("openssh-key-v1\0"),
    wireStrings(text(made.cipher ?? "none"), text("none"), text("")),
    number(made.keys ?? 1),
    wireStrings(wireStrings(name, point), inner),
  ]);
}

function armored(bytes: Uint8Array): string {
  const body = Buffer.from(bytes).toString("base64").replaceAll(/.{70}/g, "$&\n");
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${body}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

suite("SSH private keys", () => {
  test("OpenSSH's format and PEM give the same key", () => {
    const key = parseSshPrivateKey(armored(opensshBytes()));
    assert.equal(key.type, "ssh-ed25519");
    assert.deepEqual(key.wire, wireStrings(Buffer.from("ssh-ed25519"), point));
    const pem = pair.privateKey.export({ format: "pem", type: "pkcs8" }).toString();
    assert.deepEqual(parseSshPrivateKey(pem).wire, key.wire);
  });

  test("what cannot be used is told why", () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 });
    const cipher = { cipher: "aes-256-cbc", passphrase: "secret" };
    const locked = rsa.privateKey.export({ format: "pem", type: "pkcs8", ...cipher });
    const lockedOld = rsa.privateKey.export({ format: "pem", type: "pkcs1", ...cipher });
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const cases: [text: string, why: RegExp][] = [
      ["", /no SSH private key/],
      ["-----BEGIN OPENSSH PRIVATE KEY-----\n", /damaged/],
      [armored(opensshBytes({ cipher: "aes256-ctr" })), /has a passphrase/],
      [locked.toString(), /has a passphrase/],
      [lockedOld.toString(), /has a passphrase/],
      [armored(opensshBytes({ type: "ssh-dss" })), /age knows no ssh-dss keys/],
      [armored(opensshBytes({ type: "\x1b[2J" })), /age knows no such keys/],
      [ec.privateKey.export({ format: "pem", type: "pkcs8" }).toString(), /age knows no ec keys/],
      [armored(opensshBytes({ seed: Buffer.alloc(32) })), /damaged/],
      [armored(opensshBytes({ seed: Buffer.alloc(31) })), /damaged/],
      [armored(opensshBytes({ check: 8 })), /damaged/],
      [armored(opensshBytes({ keys: 2 })), /more than one/],
      ["-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", /damaged/],
    ];
    for (const [text, why] of cases) {
      assert.throws(() => parseSshPrivateKey(text), { code: "KEY_DAMAGED", message: why });
    }
  });

  test("damage of any kind ends in a reason, never in another error", () => {
    const whole = opensshBytes();
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.boolean(), (at, value, cut) => {
        const bytes = Buffer.from(whole);
        bytes[at] = value;
        try {
          parseSshPrivateKey(armored(cut ? bytes.subarray(0, at) : bytes));
        } catch (error) {
          assert.ok(isHoldfastError(error, "KEY_DAMAGED"), String(error));
          assert.ok(!error.message.includes("MC4CAQ"));
        }
      }),
    );
  });
});

suite("SSH public keys", () => {
  const line = (wire: Uint8Array, type = "ssh-ed25519"): string =>
    `${type} ${Buffer.from(wire).toString("base64")}`;
  const ed = wireStrings(Buffer.from("ssh-ed25519"), point);

  test("with and without a comment", () => {
    assert.deepEqual(parseSshPublicKey(line(ed))?.parts, [point]);
    assert.deepEqual(parseSshPublicKey(`${line(ed)} me@here, 2\n`)?.wire, ed);
  });

  test("nothing else", () => {
    const tiny = wireStrings(
      Buffer.from("ssh-rsa"),
      wireInteger(Buffer.from([1, 0, 1])),
      wireInteger(Buffer.alloc(64, 255)),
    );
    for (const text of [
      "",
      "age1qqq",
      line(ed, "ssh-rsa"),
      line(ed.subarray(0, -1)),
      line(Buffer.concat([ed, Buffer.from([0])])),
      line(wireStrings(Buffer.from("ssh-ed25519"), Buffer.alloc(31))),
      line(tiny, "ssh-rsa"),
      line(wireStrings(Buffer.from("ecdsa-sha2-nistp256")), "ecdsa-sha2-nistp256"),
    ]) {
      assert.equal(parseSshPublicKey(text), undefined, text);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        assert.equal(parseSshPublicKey(line(bytes, "ssh-rsa")), undefined);
      }),
    );
  });
});
