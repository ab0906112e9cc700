import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { decryptDocument, nodeAt, parsePath, printPart } from "./decrypt.ts";
import { formatOf, openDocument, type SopsDocument } from "./document.ts";

/** Made by sops 3.10.2; its data key was taken from it with the age key, which is gone. */
const FIXTURES = join(import.meta.dirname, "..", "..", "test", "fixtures", "sops");
const dataKey = Buffer.from(
  "c2822f4115f028dbcaa7f3c46f37f180c4507cad64fad2dec44e4a88d2112724",
  "hex",
);
const text = readFileSync(join(FIXTURES, "secret.sops.yaml"), "utf8");
const plain = readFileSync(join(FIXTURES, "secret.yaml"), "utf8");
const open = (content: string): SopsDocument => openDocument(content, { name: "secret.sops.yaml" });

function failure(content: string): HoldfastError {
  try {
    decryptDocument(open(content), dataKey);
  } catch (error) {
    if (error instanceof HoldfastError) return error;
    throw error;
  }
  throw new Error("not refused");
}

suite("a document made by sops", () => {
  test("says who can open it", () => {
    const { recipients, metadata } = open(text);
    assert.equal(recipients.length, 1);
    assert.equal(recipients[0]![0]!.kind, "age");
    assert.match(recipients[0]![0]!.id, /^age1/);
    assert.match(recipients[0]![0]!.enc, /^-----BEGIN AGE/);
    assert.equal(metadata.version, "3.10.2");
    assert.deepEqual(metadata.rule, {
      name: "encrypted_regex",
      text: "^(data|stringData|second)$",
    });
  });

  test("is decrypted to what sops prints, with its MAC right", () => {
    const decrypted = decryptDocument(open(text), dataKey);
    assert.equal(decrypted.mac, "right");
    assert.equal(Buffer.from(decrypted.emit()).toString(), plain);
  });

  test("gives single values by their path", () => {
    const { roots } = decryptDocument(open(text), dataKey);
    const at = (path: string): string =>
      Buffer.from(printPart(nodeAt(roots, parsePath(path))!, "yaml")).toString();
    assert.equal(at('["stringData"]["RESTIC_PASSWORD"]'), "correct horse battery staple");
    assert.equal(at("stringData.NUMBER"), "42\n");
    assert.equal(at("['stringData']['LIST'][1]"), "two");
    assert.equal(at("second"), "document");
    assert.equal(at("stringData.LIST"), "- one\n# between\n- two\n");
    assert.equal(nodeAt(roots, ["stringData", "__proto__"]), undefined);
    assert.throws(
      () => parsePath("[x"),
      (error) => isHoldfastError(error, "USAGE"),
    );
  });

  test("with a cleartext value changed, its MAC is wrong, unless nobody asks", () => {
    const changed = text.replace("mode: 420", "mode: 511");
    assert.equal(failure(changed).code, "SOPS_MAC_MISMATCH");
    assert.match(failure(changed).message, /^secret\.sops\.yaml, line \d+: the MAC is not/);
    assert.equal(decryptDocument(open(changed), dataKey, { ignoreMac: true }).mac, "wrong");
    const without = text.replaceAll(/^ {4}mac: .*\n/gm, "");
    assert.equal(failure(without).code, "SOPS_MAC_MISMATCH");
    assert.equal(decryptDocument(open(without), dataKey, { ignoreMac: true }).mac, "missing");
    const notation = text.replace('lastmodified: "2026', 'lastmodified: "2027');
    assert.equal(failure(notation).code, "SOPS_MAC_MISMATCH");
  });

  test("with a value moved, damaged or in the clear, the error says where and never what", () => {
    const moved = failure(text.replace("RESTIC_PASSWORD:", "PASSWORD:"));
    assert.equal(moved.code, "SOPS_DECRYPT_FAILED");
    assert.match(
      moved.message,
      /^secret\.sops\.yaml, line 12: the value at "stringData\.PASSWORD" does not open/,
    );
    const clear = failure(text.replace(/NUMBER: .*/, "NUMBER: 4711"));
    assert.match(clear.message, /line 14: the value at "stringData\.NUMBER" is not encrypted/);
    assert.doesNotMatch(clear.message, /4711/);
    const wrong = decryptFailure(seededBytes("other", 32));
    assert.equal(wrong.code, "SOPS_DECRYPT_FAILED");
    assert.equal(decryptFailure(seededBytes("short", 16)).code, "SOPS_DECRYPT_FAILED");
  });

  function decryptFailure(key: Uint8Array): HoldfastError {
    try {
      decryptDocument(open(text), key);
    } catch (error) {
      if (error instanceof HoldfastError) return error;
    }
    throw new Error("not refused");
  }

  test("damaged in 2,000 ways never crashes and never shows a value that its MAC does not cover", () => {
    const secrets = ["correct horse", "rclone:gcs", "AAAA\n"];
    for (let seed = 0; seed < 2000; seed++) {
      const dice = seededBytes(`damage ${seed}`, 16);
      const at = dice.readUInt32BE(0) % text.length;
      const length = dice[4]! % 3 === 0 ? dice[5]! : 1;
      const put = [
        "",
        "\0",
        "x",
        " ",
        "\n",
        ": ",
        "- ",
        "*a",
        "{",
        "\t",
        "sops:",
        "\ud800",
        "9",
        "&a",
        "|",
        "ENC[",
      ][dice[6]! % 16]!;
      const damaged = text.slice(0, at) + put + text.slice(at + length);
      try {
        const decrypted = decryptDocument(open(damaged), dataKey);
        assert.equal(decrypted.mac, "right");
        decrypted.emit();
      } catch (error) {
        assert.ok(
          error instanceof HoldfastError,
          `seed ${seed}: ${String((error as Error).stack)}`,
        );
        for (const secret of secrets) assert.ok(!error.message.includes(secret), `seed ${seed}`);
      }
    }
  });
});

suite("what is no document of sops", () => {
  const refused = (content: string | Uint8Array, name: string): void => {
    assert.throws(
      () => openDocument(content, { name }),
      (error) => isHoldfastError(error, "SOPS_INVALID"),
      name,
    );
  };
  test("is refused", () => {
    refused("a: 1\n", "a.yaml");
    refused("a: 1\nsops: 5\n", "a.yaml");
    refused("a: 1\nsops: {}\n", "a.yaml");
    refused("", "a.yaml");
    refused("{}", "a.json");
    refused("A=b\n", "a.env");
    refused("anything", "a.bin");
    refused(Buffer.of(0xff, 0xfe), "a.yaml");
    refused("[a]\n", "a.ini");
    refused('{"sops":{"mac":"x"}}', "a.bin");
    refused('{"a":1,"sops":{"mac":"x","encrypted_regex":"(","age":[]}}', "a.json");
    refused('{"a":1,"sops":{"mac":"x","encrypted_regex":"a","encrypted_suffix":"b"}}', "a.json");
    refused('{"a":1,"sops":{"mac":"x","age":[{}]}}', "a.json");
    refused('{"a":1,"sops":{"mac":{},"age":[{}]}}', "a.json");
    refused(`sops_mac=\nsops_${"a__map_".repeat(50_000)}=1\n`, "a.env");
    refused("sops_mac=1\nsops_age__list_1__map_enc=2\n", "a.env");
  });

  test("formats go by the name", () => {
    assert.deepEqual(["a.yaml", "a.yml", "a.json", "x/.env", "a.txt"].map(formatOf), [
      "yaml",
      "yaml",
      "json",
      "dotenv",
      "binary",
    ]);
  });
});
