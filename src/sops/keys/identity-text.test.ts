import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import fc from "fast-check";
import { readIdentities, type Identities, type LockedIdentities } from "./identity-text.ts";

const [one, two] = [await generateX25519Identity(), await generateX25519Identity()];

const shown = async (identity: string): Promise<string> =>
  `${(await identityToRecipient(identity)).slice(0, 16)}…`;
const [first, second] = [await shown(one), await shown(two)];

function read(text: string | Uint8Array): Promise<Identities | LockedIdentities> {
  return readIdentities(Buffer.from(text), "F", identityToRecipient);
}

suite("texts with identities", () => {
  test("lines, words, comments, line ends and marks of every editor", async () => {
    const both = { identities: [one, two], holds: [first, second], faults: [] };
    assert.deepEqual(await read(`# created: today\n# public key: age1\n${one}\n\n${two}\n`), both);
    assert.deepEqual(await read(`${one}\r\n  # note\r\n${two}\r\n`), both);
    assert.deepEqual(await read(`${one} ${two}`), both);
    assert.deepEqual(await read(`\uFEFF${one}\n${two}`), both);
    assert.deepEqual(await read(Buffer.from(`\uFEFF${one}\n${two}`, "utf16le")), both);
    assert.deepEqual(await read(""), { identities: [], holds: [], faults: [] });
  });

  test("a bad line is told by its number, and the others still serve", async () => {
    const typo = one.slice(0, -1) + (one.endsWith("Q") ? "P" : "Q");
    const text = [typo, one, one.toLowerCase(), "AGE-PLUGIN-YUBIKEY-1QQQ", "-----", "age1qqq"];
    assert.deepEqual(await read(text.join("\n")), {
      identities: [one],
      holds: [first],
      faults: [
        "F:1 is a damaged age identity",
        "F:3 is no age identity",
        "F:4 is for age-plugin-yubikey, which opens recipients of its own, by `sops`",
        "F:5 is no age identity",
        "F:6 is a recipient, which cannot open anything",
      ],
    });
  });

  test("an age file is one to unlock", async () => {
    assert.ok("locked" in (await read("age-encryption.org/v1\n-> scrypt")));
    assert.ok("locked" in (await read("\n-----BEGIN AGE ENCRYPTED FILE-----\n")));
  });

  test("an SSH key that cannot be used is a fault of the file", async () => {
    assert.deepEqual(await read("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"), {
      identities: [],
      holds: [],
      faults: ["F: the SSH key is damaged"],
    });
    assert.deepEqual(await read("-----BEGIN CERTIFICATE-----\nAAAA\n"), {
      identities: [],
      holds: [],
      faults: ["F: no SSH private key"],
    });
  });

  test("no text throws, and none is quoted", async () => {
    const secret = one.slice(20, 40);
    const piece = fc.constantFrom(
      one,
      secret,
      "\n",
      " ",
      "#",
      "AGE-SECRET-KEY-1",
      "AGE-PLUGIN-",
      "1",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(piece, fc.string()), { maxLength: 12 }), async (parts) => {
        const found = await read(parts.join(""));
        if (!("locked" in found)) assert.ok(!found.faults.join().includes(secret));
      }),
    );
  });
});
