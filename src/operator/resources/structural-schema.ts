// From a zod schema to the structural OpenAPI v3 schema that a CustomResourceDefinition holds. The API server drops every field that is not
// named there, unless the schema says that unknown ones are kept; it takes `type` in every place, but for an integer or a text.
//
// Pure. It must never make a schema stricter than the zod schema says: objects that are in clusters today would be refused.

import { z } from "zod";

/** A node of the schema, in the key order in which it is printed. */
export type StructuralSchema = { [key: string]: unknown };

interface JsonSchema {
  [key: string]: unknown;
  type?: string;
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  additionalProperties?: JsonSchema | boolean;
}

/** Keys that mean the same in both, in the order of the alphabet. */
const COPIED = [
  "description",
  "enum",
  "format",
  "maxLength",
  "minItems",
  "minLength",
  "pattern",
  "required",
  "x-kubernetes-int-or-string",
  "x-kubernetes-list-map-keys",
  "x-kubernetes-list-type",
  "x-kubernetes-map-type",
  "x-kubernetes-preserve-unknown-fields",
];

/** The schema of a custom resource's part. */
export function structuralSchema(schema: z.ZodType): StructuralSchema {
  return node(z.toJSONSchema(schema, { reused: "inline" }) as JsonSchema);
}

function node(from: JsonSchema): StructuralSchema {
  const out: StructuralSchema = {};
  if (from["x-kubernetes-int-or-string"] === true) {
    out["anyOf"] = [{ type: "integer" }, { type: "string" }];
    const pattern = from.anyOf?.find((one) => one.type === "string")?.["pattern"];
    if (pattern !== undefined) out["pattern"] = pattern;
  } else if (from.type === undefined) {
    throw new Error("a field of a custom resource has no type");
  } else out["type"] = from.type;
  for (const key of COPIED) if (from[key] !== undefined) out[key] = from[key];
  for (const bound of ["minimum", "maximum"]) {
    // Bounds of what a number of JavaScript can hold are no bounds of the field.
    if (
      typeof from[bound] === "number" &&
      Number.isSafeInteger(from[bound]) &&
      !atEdge(from[bound])
    )
      out[bound] = from[bound];
  }
  if (from.items !== undefined) out["items"] = node(from.items);
  if (from.properties !== undefined) {
    out["properties"] = Object.fromEntries(
      Object.entries(from.properties)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => [key, node(value)]),
    );
  } else if (isMap(from))
    out["additionalProperties"] = node(from.additionalProperties as JsonSchema);
  return sorted(out);
}

/** A record has a schema for its values; an open object has none, and a structural schema must not say it has. */
function isMap({ additionalProperties }: JsonSchema): boolean {
  return typeof additionalProperties === "object" && Object.keys(additionalProperties).length > 0;
}

function atEdge(bound: number): boolean {
  return Math.abs(bound) === Number.MAX_SAFE_INTEGER;
}

function sorted(map: StructuralSchema): StructuralSchema {
  return Object.fromEntries(Object.entries(map).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
