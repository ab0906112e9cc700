import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { isHoldfastError } from "../base/errors.ts";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { decryptDocument, nodeAt } from "./decrypt.ts";
import { openDocument } from "./document.ts";
import { encryptDocument, type EncryptOptions } from "./encrypt.ts";
import { setValue } from "./set-value.ts";
import { textOf, valueOf } from "./value.ts";

const dataKey = seededBytes("data key", 32);
let seed = 0;
const random = (length: number): Uint8Array => seededBytes(`random ${seed++}`, length);
const key = {
  kind: "age",
  id: "age1x",
  enc: "-----BEGIN\nx\n-----END\n",
  createdAt: undefined,
} as const;

function encrypt(
  name: string,
  content: string | Uint8Array,
  more: Partial<EncryptOptions> = {},
): string {
  const options = {
    name,
    groups: [[key]],
    lastModified: "2026-11-25T12:00:00Z",
    dataKey,
    random,
    ...more,
  };
  return Buffer.from(encryptDocument(content, options)).toString();
}

function roundTrip(
  name: string,
  content: string | Uint8Array,
  more: Partial<EncryptOptions> = {},
): Buffer {
  const decrypted = decryptDocument(openDocument(encrypt(name, content, more), { name }), dataKey);
  assert.equal(decrypted.mac, "right");
  return Buffer.from(decrypted.emit());
}

suite("encrypting", () => {
  test("after an edit, what was not changed is what it was, byte for byte", () => {
    const before = "# why\na: x\nlist:\n    - same\n    - same\nb: old\n";
    const first = encrypt("a.yaml", before);
    const document = openDocument(first, { name: "a.yaml" });
    const { emit, ivs } = decryptDocument(document, dataKey);
    const after = emit().toString().replace("b: old", "b: z\nc: x");
    const lines = (text: string): string[] => text.slice(0, text.indexOf("sops:")).split("\n");
    const [old, now] = [
      lines(first),
      lines(encrypt("a.yaml", after, { before: { document, ivs } })),
    ];
    assert.deepEqual(now.slice(0, 5), old.slice(0, 5));
    assert.notEqual(now[5], old[5]);
    const values = now.flatMap((line) => /iv:([^,]+)/.exec(line)?.[1] ?? []);
    assert.equal(new Set(values).size, values.length, "no IV twice");
  });

  test("keeps the form of what is encrypted", () => {
    const yaml =
      "# a\na:\n  b: x # c\n  d: [1, two, 'th''ree']\ne: |\n    f\n    g\n---\nh: null\ni: \"\"\nj: ~\n";
    const expected = yaml.replace("'th''ree'", "th'ree");
    assert.equal(roundTrip("a.yaml", yaml).toString(), expected);
    const empty = "---\na: b\n---\n# only\n---\nc: d\n---\n";
    const shown = "---\na: b\n---\n# only\n{}\n---\nc: d\n---\n{}\n";
    assert.equal(roundTrip("a.yaml", empty).toString(), shown);
    assert.equal(roundTrip("a.yaml", shown).toString(), shown);
    const json = '{\n\t"a": "x",\n\t"b": [1, {"c": true}]\n}\n';
    assert.equal(roundTrip("a.json", json).toString(), json);
    const env = "#c\nA=b\n\nC=d\\ne\n";
    assert.equal(roundTrip("a.env", env).toString(), env);
    const bytes = seededBytes("binary", 1000);
    assert.deepEqual(roundTrip("a.bin", bytes), bytes);
    assert.deepEqual(roundTrip("a.bin", ""), Buffer.of());
    const large = seededBytes("large", 4_000_000);
    assert.ok(roundTrip("a.bin", large).equals(large));
  });

  test("leaves in the clear what the rule says, and all else not", () => {
    const rule = { name: "encrypted_regex", text: "^stringData$" } as const;
    const text = encrypt("a.yaml", "kind: Secret\nstringData:\n    A: hidden\n", { rule });
    assert.match(text, /^kind: Secret\nstringData:\n {4}A: ENC\[/);
    assert.match(text, /\n {4}encrypted_regex: \^stringData\$\n/);
    assert.doesNotMatch(text, /hidden/);
    const both = roundTrip("a.yaml", "a_x: &x {b: 1}\nc: *x\n", {
      rule: { name: "encrypted_suffix", text: "_x" },
      macOnlyEncrypted: true,
    });
    assert.equal(both.toString(), "a_x:\n    b: 1\nc:\n    b: 1\n");
  });

  test("of several key groups says how many are needed", () => {
    const text = encrypt("a.json", '{"a":1}', {
      groups: [[key], [{ ...key, kind: "pgp", id: "AB" }]],
      threshold: 2,
    });
    const { recipients, metadata } = openDocument(text, { name: "a.json" });
    assert.deepEqual(
      recipients.map((group) => group.map(({ kind, id }) => `${kind} ${id}`)),
      [["age age1x"], ["pgp AB"]],
    );
    assert.equal(metadata.threshold, 2);
  });

  test("refuses what is encrypted already, empty, or no document", () => {
    const once = encrypt("a.yaml", "a: 1\n");
    assert.throws(
      () => encrypt("a.yaml", once),
      (error) => isHoldfastError(error, "SOPS_ENCRYPTED"),
    );
    assert.throws(
      () => encrypt("a.yaml", "---\n{}\n"),
      (error) => isHoldfastError(error, "SOPS_INVALID"),
    );
    assert.throws(
      () => encrypt("a.yaml", "- a\n"),
      (error) => isHoldfastError(error, "SOPS_INVALID"),
    );
    const rule = { name: "encrypted_regex", text: "(" } as const;
    assert.throws(
      () => encrypt("a.yaml", "a: 1\n", { rule }),
      (error) => isHoldfastError(error, "USAGE"),
    );
  });

  test("any text comes back from any format", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme" }),
        fc.constantFrom("a.yaml", "a.json", "a.bin"),
        (text, name) => {
          const content = name === "a.bin" ? text : JSON.stringify({ k: { l: [text] } });
          const document = openDocument(encrypt(name, content), { name });
          const { roots } = decryptDocument(document, dataKey);
          const node = nodeAt(roots, name === "a.bin" ? ["data"] : ["k", "l", "0"]);
          assert.ok(node?.kind === "leaf" && textOf(node.value!) === text);
        },
      ),
      { numRuns: 300 },
    );
  });
});

suite("changing a value", () => {
  const name = "a.yaml";
  const set = (content: string, path: string[], text: string): string => {
    const document = openDocument(content, { name });
    const options = {
      dataKey,
      path,
      value: valueOf("str", text),
      lastModified: "2026-11-26T00:00:00Z",
      random,
    };
    return Buffer.from(setValue(document, decryptDocument(document, dataKey), options)).toString();
  };

  test("keeps every other byte, and verifies", () => {
    const before = encrypt(name, "# c\na:\n  b: 1 # d\n  c: [x, y]\nz: last\n");
    const after = set(before, ["a", "c", "1"], "new");
    const [old, now] = [before.split("\n"), after.split("\n")];
    assert.deepEqual(
      old.flatMap((line, at) => (line === now[at] ? [] : [line.trim().split(":")[0]])),
      ["c", "lastmodified", "mac"],
    );
    const { roots } = decryptDocument(openDocument(after, { name }), dataKey);
    const node = nodeAt(roots, ["a", "c", "1"]);
    assert.ok(node?.kind === "leaf" && textOf(node.value!) === "new");
  });

  test("that is not there, or is none, is refused", () => {
    const content = encrypt(name, "a: {b: 1}\n");
    for (const path of [["x"], ["a"], ["a", "b", "c"]]) {
      assert.throws(
        () => set(content, path, "new"),
        (error) => isHoldfastError(error, "USAGE"),
      );
    }
  });
});
