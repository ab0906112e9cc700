// What deploy/ holds of the CRDs is what is made of the schemas.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crdDocuments } from "./crd-documents.ts";

const DEPLOY = join(import.meta.dirname, "../../deploy");

for (const { folder, keep, others, command } of [
  {
    folder: "crds",
    keep: false,
    others: ["kustomization.yaml"],
    command: "holdfast operator crds --to deploy/crds",
  },
  {
    folder: "chart/crds-of-release",
    keep: true,
    others: [],
    command: "holdfast operator crds --keep --to deploy/chart/crds-of-release",
  },
]) {
  test(`deploy/${folder} holds the kinds as they are made`, () => {
    const documents = crdDocuments({ keep });
    const files = [...others, ...documents.map(({ file }) => file)].toSorted();
    assert.deepEqual(readdirSync(join(DEPLOY, folder)).toSorted(), files);
    for (const { file, text } of documents) {
      assert.equal(readFileSync(join(DEPLOY, folder, file), "utf8"), text, `run \`${command}\``);
    }
  });
}
