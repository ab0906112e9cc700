import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { decryptDocument, nodeAt, parsePath, printPart } from "./decrypt.ts";
import { encryptDocument } from "./encrypt.ts";
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

function encrypted(name: string, content: string): string {
  const random = (length: number): Uint8Array => seededBytes(`${name} ${length}`, length);
  const groups = [[{ kind: "age", id: "age1x", enc: "x", createdAt: undefined } as const]];
  const lastModified = "2026-11-25T12:00:00Z";
  const options = { name, groups, lastModified, dataKey, random };
  return Buffer.from(encryptDocument(content, options)).toString();
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

  suite("that was tampered with is refused, and the error names what and where", () => {
    const value = (name: string): string => new RegExp(`^ +${name}: (ENC.*)$`, "m").exec(text)![1]!;
    const items = [...text.matchAll(/^ +- (ENC.*type:str\])$/gm)].map((match) => match[1]!);
    const swap = (a: string, b: string): string =>
      text.replace(a, "\0").replace(b, a).replace("\0", b);
    const mac = value("mac");
    const kinds: Record<string, [changed: string, code: string, message: RegExp]> = {
      "a value": [
        text.replace("data:pGIiu", "data:pGIiv"),
        "SOPS_DECRYPT_FAILED",
        /line 12: the value at "stringData\.RESTIC_PASSWORD" does not open/,
      ],
      "the name of a key": [
        text.replace("RESTIC_PASSWORD:", "PASSWORD:"),
        "SOPS_DECRYPT_FAILED",
        /line 12: the value at "stringData\.PASSWORD" does not open/,
      ],
      "two values swapped": [
        swap(value("RESTIC_PASSWORD"), value("RESTIC_REPOSITORY")),
        "SOPS_DECRYPT_FAILED",
        /line 12: the value at "stringData\.RESTIC_PASSWORD"/,
      ],
      "two items of a list swapped": [
        swap(items[0]!, items[1]!),
        "SOPS_MAC_MISMATCH",
        /changed after it was encrypted/,
      ],
      "an item of a list left out": [
        text.replace(/^ +- ENC.*type:str\]\n/m, ""),
        "SOPS_MAC_MISMATCH",
        /changed after it was encrypted/,
      ],
      "a value from another place": [
        text.replace(/second: ENC.*/, `second: ${value("RESTIC_PASSWORD")}`),
        "SOPS_DECRYPT_FAILED",
        /the value at "second" does not open/,
      ],
      "a MAC cut short": [
        text.replaceAll(mac, mac.replace(/data:.{20}/, "data:")),
        "SOPS_MAC_MISMATCH",
        /line \d+: the MAC is not that of the document/,
      ],
      "a MAC that is none": [
        text.replaceAll(mac, mac.slice(0, 40)),
        "SOPS_MAC_MISMATCH",
        /line \d+: the MAC is not that of the document/,
      ],
      "the MAC of another document": [
        text.replaceAll(mac, value("RESTIC_PASSWORD")),
        "SOPS_MAC_MISMATCH",
        /line \d+: the MAC is not that of the document/,
      ],
      "cleartext edited": [
        text.replace("mode: 420", "mode: 511"),
        "SOPS_MAC_MISMATCH",
        /changed after it was encrypted/,
      ],
      "a key twice": [
        text.replace(/^( +NUMBER: .*\n)/m, "$1$1"),
        "SOPS_INVALID",
        /line 15: .*NUMBER/,
      ],
      "the time of the last change": [
        text.replaceAll('lastmodified: "2026', 'lastmodified: "2025'),
        "SOPS_MAC_MISMATCH",
        /the MAC is not/,
      ],
    };
    for (const [kind, [changed, code, message]] of Object.entries(kinds)) {
      test(kind, () => {
        assert.notEqual(changed, text);
        const error = failure(changed);
        assert.deepEqual([error.code, message.test(error.message)], [code, true], error.message);
        assert.doesNotMatch(error.message, /correct horse|rclone:gcs/);
      });
    }
  });

  function decryptFailure(key: Uint8Array): HoldfastError {
    try {
      decryptDocument(open(text), key);
    } catch (error) {
      if (error instanceof HoldfastError) return error;
    }
    throw new Error("not refused");
  }

  test("damaged in more than 2,000 ways never crashes and never shows a value that its MAC does not cover", () => {
    const secrets = ["correct horse", "rclone:gcs", "AAAA\n"];
    const files = [
      ["secret.sops.yaml", text],
      ["a.json", encrypted("a.json", '{"a": "correct horse", "b": [1, {"c": "rclone:gcs"}]}')],
      ["a.env", encrypted("a.env", "A=correct horse\nB=rclone:gcs\n")],
    ] as const;
    for (let seed = 0; seed < 2400; seed++) {
      const [name, whole] = files[seed % 6 < 4 ? 0 : (seed % 6) - 3]!;
      const dice = seededBytes(`damage ${seed}`, 16);
      const at = dice.readUInt32BE(0) % whole.length;
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
      const damaged = whole.slice(0, at) + put + whole.slice(at + length);
      try {
        const decrypted = decryptDocument(openDocument(damaged, { name }), dataKey);
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
