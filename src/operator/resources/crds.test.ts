// The CRDs against upstream's list of fields.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import { allCrds } from "./crds.ts";
import { structuralSchema, type StructuralSchema } from "./structural-schema.ts";

const ROOT = join(import.meta.dirname, "../../..");
const FIELDS = join(ROOT, "test/fixtures/kubernetes/volsync-0.16-fields.txt");

/** Every place of a schema, as the list writes them. */
function places(schema: StructuralSchema, path: string): [string, string][] {
  const intOrString = schema["x-kubernetes-int-or-string"] === true;
  const here: [string, string] = [path, intOrString ? "int-or-string" : String(schema["type"])];
  const properties = (schema["properties"] ?? {}) as Record<string, StructuralSchema>;
  const below = Object.entries(properties).flatMap(([key, value]) =>
    places(value, `${path}.${key}`),
  );
  const items = schema["items"] as StructuralSchema | undefined;
  const values = schema["additionalProperties"] as StructuralSchema | undefined;
  return [
    here,
    ...below,
    ...(items === undefined ? [] : places(items, `${path}[]`)),
    ...(values === undefined ? [] : places(values, `${path}{}`)),
  ];
}

test("every field of upstream's is there, with its type; what is ours alone is known", () => {
  const upstream = new Map(
    readFileSync(FIELDS, "utf8")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => line.split(" ") as [string, string]),
  );
  assert.ok(upstream.size > 600);
  const ours = new Map(
    allCrds().flatMap(({ spec }) =>
      ["spec", "status"].flatMap((part) => {
        const root = spec.versions[0]?.schema.openAPIV3Schema["properties"] as Record<
          string,
          StructuralSchema
        >;
        return places(root[part] as StructuralSchema, `${spec.names.kind}.${part}`);
      }),
    ),
  );
  for (const [path, type] of upstream) assert.equal(ours.get(path), type, path);
  assert.deepEqual(
    [...ours.keys()].filter((path) => !upstream.has(path)),
    ["ReplicationSource.spec.restic.exclude", "ReplicationSource.spec.restic.exclude.caches"],
  );
});

test("a field without a type is refused before an API server does", () => {
  assert.throws(() => structuralSchema(z.looseObject({ any: z.unknown() })), /no type/);
});
