// Documents beside three versions of the real sops: what they encrypt is decrypted here to the byte they print, with its MAC right,
// and what is encrypted or changed here they decrypt and verify.

import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import { decryptDocument, nodeAt, parsePath } from "../../src/sops/decrypt.ts";
import type { Decrypted } from "../../src/sops/decrypt.ts";
import { openDocument } from "../../src/sops/document.ts";
import { encryptDocument } from "../../src/sops/encrypt.ts";
import { printJson } from "../../src/sops/json-print.ts";
import { setValue } from "../../src/sops/set-value.ts";
import type { Rule } from "../../src/sops/selection.ts";
import { splitSecret } from "../../src/sops/shamir.ts";
import { valueOf } from "../../src/sops/value.ts";
import { parseYaml } from "../../src/sops/yaml-tree.ts";
import { skipWithout } from "../peers.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { randomDocuments } from "./random-documents.ts";
import { realSops, VERSIONS, type RealSops } from "./real-sops.ts";

const skip = skipWithout("age", "age-keygen", ...VERSIONS);
const sops: RealSops = skip === false ? realSops({ after }) : (undefined as unknown as RealSops);
const NOW = "2026-11-25T12:00:00Z";
const BATCH = 170;

let seed = 0;
const random = (length: number): Uint8Array => seededBytes(`random ${seed++}`, length);

async function decrypted(name: string, content: Uint8Array): Promise<Decrypted> {
  const document = openDocument(content, { name });
  return decryptDocument(document, await sops.dataKeyOf(document));
}

/** What the values of a YAML file are, whatever it looks like. */
function meaning(text: Uint8Array | string): string[] {
  return parseYaml({ name: "x", text: Buffer.from(text).toString() }).map((root) =>
    printJson(root),
  );
}

function encrypted(
  name: string,
  content: Uint8Array | string,
  rule?: Rule,
  macOnlyEncrypted = false,
): Uint8Array {
  const dataKey = random(32);
  const groups = [[sops.wrap(dataKey)]];
  return encryptDocument(content, {
    name,
    groups,
    lastModified: NOW,
    rule,
    macOnlyEncrypted,
    dataKey,
    random,
  });
}

const OTHER: Readonly<Record<string, { text: Uint8Array | string; format: string }>> = {
  "a.json": {
    text: '{"a":1,"b":"<x>&é\u2028","c":[1,2.5,{"d":null,"e":true}],"f":{},"n":12345678901234567,"z":""}',
    format: "json",
  },
  "one.json": { text: '{"only": {"deep": ["x", {"y": "z"}]}}', format: "json" },
  "a.env": { text: '# c\nA=b\nB=with space # no\nC=\nexport D="q"\nE=a\\nb\n', format: "dotenv" },
  "a.bin": { text: seededBytes("binary", 3000), format: "binary" },
};

for (const [index, version] of VERSIONS.entries()) {
  void suite(`beside ${version}`, { skip }, () => {
    test(`${BATCH} random documents of its are decrypted as it prints them`, async () => {
      const text = randomDocuments(BATCH, 100 + index).join("---\n");
      const file = sops.run(version, ["-e", "--age", sops.recipient], "plain.yaml", text);
      const printed = sops.run(version, ["-d"], "encrypted.yaml", file);
      const ours = await decrypted("encrypted.yaml", file);
      assert.equal(ours.mac, "right");
      assert.equal(Buffer.from(ours.emit()).toString(), printed.toString());
      assert.deepEqual(
        ours.roots.map((root) => printJson(root)),
        meaning(text),
      );
    });

    test(`it decrypts and verifies ${BATCH} random documents made here`, async () => {
      const text = randomDocuments(BATCH, 200 + index).join("---\n");
      const file = encrypted("plain.yaml", text);
      assert.deepEqual(meaning(sops.run(version, ["-d"], "ours.yaml", file)), meaning(text));
      assert.deepEqual(
        (await decrypted("ours.yaml", file)).roots.map((root) => printJson(root)),
        meaning(text),
      );
    });

    for (const rule of [
      ["encrypted_regex", "(?i)^(pass|DATA)", "--encrypted-regex"],
      ["unencrypted_regex", "[[:alpha:]]{3}", "--unencrypted-regex"],
      ["encrypted_suffix", "data", "--encrypted-suffix"],
      ["encrypted_comment_regex", "about [a-c]", "--encrypted-comment-regex"],
      ["unencrypted_comment_regex", "about [a-c]", "--unencrypted-comment-regex"],
    ] as const) {
      test(`with ${rule[0]}, both ways`, async () => {
        const text = randomDocuments(40, 300 + index).join("---\n");
        const args = ["-e", "--mac-only-encrypted", "--age", sops.recipient, rule[2], rule[1]];
        const theirs = await decrypted("theirs.yaml", sops.run(version, args, "plain.yaml", text));
        assert.deepEqual(
          theirs.roots.map((root) => printJson(root)),
          meaning(text),
        );
        const ours = encrypted("plain.yaml", text, { name: rule[0], text: rule[1] }, true);
        assert.deepEqual(meaning(sops.run(version, ["-d"], "ours.yaml", ours)), meaning(text));
      });
    }

    for (const [name, { text, format }] of Object.entries(OTHER)) {
      test(`${name}, both ways`, async () => {
        const theirs = sops.run(version, ["-e", "--age", sops.recipient], name, text);
        const types = ["--input-type", format, "--output-type", format];
        const printed = sops.run(version, ["-d", ...types], name, theirs);
        assert.deepEqual(Buffer.from((await decrypted(name, theirs)).emit()), printed);
        const back = sops.run(version, ["-d", ...types], name, encrypted(name, text));
        if (format === "json")
          assert.deepEqual(JSON.parse(back.toString()), JSON.parse(text.toString()));
        else assert.deepEqual(back, Buffer.from(text));
      });
    }

    test("several key groups, both ways", async () => {
      const group = `{age: [${sops.recipient}]}`;
      const rules = `{creation_rules: [{shamir_threshold: 2, key_groups: [${group}, ${group}, ${group}]}]}`;
      const theirs = sops.run(
        version,
        ["--config", sops.config(rules), "-e"],
        "groups.json",
        '{"a": 1}',
      );
      const { metadata } = openDocument(theirs, { name: "groups.json" });
      assert.deepEqual([metadata.groups.length, metadata.threshold], [3, 2]);
      assert.equal((await decrypted("groups.json", theirs)).mac, "right");
      const dataKey = random(32);
      const groups = splitSecret(dataKey, { count: 3, threshold: 2 }, random).map((share) => [
        sops.wrap(share),
      ]);
      const options = {
        name: "ours.json",
        groups,
        threshold: 2,
        lastModified: NOW,
        dataKey,
        random,
      };
      const back = sops.run(version, ["-d"], "ours.json", encryptDocument('{"a": 1}', options));
      assert.deepEqual(JSON.parse(back.toString()), { a: 1 });
    });

    test("one value changed here: one line and the two of the metadata differ, and it verifies", async () => {
      const plain =
        "a:\n  b: old # why\n  c: [x, 1]\nd_unencrypted: 5\ne: |\n  x\n  y\nf: null\ng: last\n";
      const file = sops.run(version, ["-e", "--age", sops.recipient], "plain.yaml", plain);
      const document = openDocument(file, { name: "x.yaml" });
      const dataKey = await sops.dataKeyOf(document);
      const values: [string, string][] = [
        ["a.b", "new: value"],
        ["a.c.1", "two\nlines\n"],
        ["d_unencrypted", "0644"],
        ["e", ""],
        ["f", "set"],
      ];
      for (const [path, text] of values) {
        const before = decryptDocument(document, dataKey);
        const changed = setValue(document, before, {
          dataKey,
          path: parsePath(path),
          value: valueOf("str", text),
          lastModified: NOW,
          random,
        });
        const [old, now] = [file, changed].map((bytes) =>
          Buffer.from(bytes).toString().split("\n"),
        );
        assert.ok(
          old!.filter((line, at) => line !== now![at]).length <= 3 || text.includes("\n"),
          path,
        );
        const printed = sops.run(version, ["-d"], "changed.yaml", changed);
        const node = nodeAt(parseYaml({ name: "x", text: printed.toString() }), parsePath(path));
        assert.equal(
          node?.kind === "leaf" && Buffer.from(node.value!.bytes).toString(),
          text,
          path,
        );
      }
    });
  });
}
