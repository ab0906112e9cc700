import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { isHoldfastError } from "../base/errors.ts";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { decryptDocument, nodeAt } from "./decrypt.ts";
import { IV_BYTES, sealValue } from "./cipher.ts";
import { looksLikeSops, openDocument } from "./document.ts";
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

  test("after an edit, no vector serves for other bytes than it did", () => {
    // Another program may write a bool as it likes: it means the same, and is not the same under a cipher.
    const first = encrypt("a.yaml", "a: true\nb: x\n");
    const odd = sealValue(
      { type: "bool", bytes: Buffer.from("true") },
      dataKey,
      "a:",
      random(IV_BYTES),
    );
    const written = first.replace(/a: ENC.*/, `a: ${odd}`);
    const vectors = (text: string): string[] =>
      [...text.matchAll(/^[ab]: .*iv:([^,]+)/gm)].map((match) => match[1]!);
    const again = (text: string, ignoreMac = false): string => {
      const document = openDocument(text, { name: "a.yaml" });
      const { ivs, emit } = decryptDocument(document, dataKey, { ignoreMac });
      return encrypt("a.yaml", emit(), { before: { document, ivs } });
    };
    const [a, b] = vectors(written);
    const after = vectors(again(written));
    assert.notEqual(after[0], a);
    assert.equal(after[1], b);
    // Whoever changed the file may have changed a type, which nothing proves.
    const forged = vectors(again(written.replace("type:bool", "type:str"), true));
    assert.ok(forged[0] !== a && forged[1] !== b);
  });

  test("after an edit, metadata stand where they can, wherever they stood", () => {
    const edit = (name: string, text: string): string => {
      const document = openDocument(text, { name });
      const { emit, ivs } = decryptDocument(document, dataKey);
      const plain = emit().toString().replace("old", "new");
      const saved = encrypt(name, plain, { before: { document, ivs } });
      const opened = decryptDocument(openDocument(saved, { name }), dataKey);
      assert.match(Buffer.from(opened.emit()).toString(), /new/);
      return saved;
    };
    const yaml = encrypt("a.yaml", "a: old\nb: x\n");
    const commented = edit("a.yaml", `${yaml}# keep me\n`);
    assert.match(commented, /# ?keep me|#ENC/);
    assert.match(
      Buffer.from(
        decryptDocument(openDocument(commented, { name: "a.yaml" }), dataKey).emit(),
      ).toString(),
      /# keep me/,
    );
    const indented = yaml.replace(/^/gm, "  ").trimEnd();
    edit("a.yaml", `${indented}\n`);
    // What is written as JSON in a .yaml file, over many lines and in one.
    const json = encrypt("a.json", '{\n\t"a": "old",\n\t"b": [1]\n}\n');
    edit("a.yaml", json);
    edit("a.yaml", JSON.stringify(JSON.parse(json)));
    edit("a.json", JSON.stringify(JSON.parse(json)));
    const [first = "", second = ""] = yaml.split("sops:\n");
    edit("a.yaml", `sops:\n${second}${first}`);
    const env = encrypt("a.env", "A=old\nB=x\n");
    const [values, metadata] = [
      env.slice(0, env.indexOf("sops_")),
      env.slice(env.indexOf("sops_")),
    ];
    const lines = metadata.trimEnd().split("\n");
    const mixed = `${lines[0]}\n# between\n${values}${lines.slice(1).join("\n")}\n`;
    const once = edit("a.env", mixed);
    assert.equal(
      edit("a.env", once.replace("new", "old")).split("between").length,
      once.split("between").length,
    );
    assert.ok(edit("a.env", env).endsWith("\n"));
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

test("a SOPS document is told from what only has the word in it", () => {
  const looks = (name: string, text: string): boolean => looksLikeSops(Buffer.from(text), name);
  const yaml = encrypt("a.yaml", "a: old\n");
  const json = encrypt("a.json", '{"a": "old"}');
  for (const [name, text] of [
    ["a.yaml", yaml],
    ["a.yaml", yaml.replace(/^/gm, "  ").trimEnd()],
    ["a.yaml", yaml.replace("sops:", "sops: !!map")],
    ["a.yaml", json],
    ["a.json", JSON.stringify(JSON.parse(json))],
    ["a.bin", encrypt("a.bin", "x")],
    ["a.env", encrypt("a.env", "A=b\n")],
    // Damaged: not to be taken for plain.
    ["a.yaml", `${yaml}b: [\n`],
    ["a.yaml", yaml.replace(/ +(?:mac|lastmodified): .*\n/g, "")],
  ] as const) {
    assert.equal(looks(name, text), true, text);
  }
  for (const [name, text] of [
    ["a.yaml", "a: old\n"],
    ["a.yaml", "sops: x\n"],
    ["a.yaml", "sops:\n  enabled: true\n"],
    ["a.yaml", 'a: |\n  {"sops": {"mac": "x"}}\n'],
    ["a.md", "sops:\n  mac: x\n"],
    ["a.env", "sops_mode=1\n"],
  ] as const) {
    assert.equal(looks(name, text), false, text);
  }
});
