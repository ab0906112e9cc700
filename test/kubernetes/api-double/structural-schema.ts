// The OpenAPI schemas of CustomResourceDefinitions, as far as ours use them: what is not named is pruned, defaults are filled in,
// the rest is validated. A schema that a real server would call not structural is refused when the CRD comes.

import type { Cause } from "./api-fault.ts";
import { copy, isObject, type Json } from "./json-value.ts";

export interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly nullable?: boolean;
  readonly default?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-embedded-resource"?: boolean;
}

/** Why `schema` is not structural. */
export function structuralFaults(schema: Schema, path: string): string[] {
  const faults: string[] = [];
  const isAny =
    schema["x-kubernetes-int-or-string"] || schema["x-kubernetes-preserve-unknown-fields"];
  if (schema.type === undefined && !isAny) faults.push(`${path}.type: Required value`);
  if (schema.properties && schema.additionalProperties) {
    faults.push(`${path}.additionalProperties: Forbidden: mutually exclusive with properties`);
  }
  if (schema.type === "array" && schema.items === undefined) {
    faults.push(`${path}.items: Required value: must be specified`);
  }
  for (const junctor of ["anyOf", "allOf", "oneOf"] as const) {
    for (const [i, branch] of (schema[junctor] ?? []).entries()) {
      if (branch.type !== undefined && !schema["x-kubernetes-int-or-string"]) {
        faults.push(`${path}.${junctor}[${i}].type: Forbidden: must be empty to be structural`);
      }
      for (const name of Object.keys(branch.properties ?? {})) {
        if (schema.properties?.[name] === undefined) {
          faults.push(`${path}.properties[${name}]: Required value: because it is in ${junctor}`);
        }
      }
    }
  }
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    faults.push(...structuralFaults(inner, `${path}.properties[${name}]`));
  }
  if (schema.items) faults.push(...structuralFaults(schema.items, `${path}.items`));
  if (isObject(schema.additionalProperties)) {
    faults.push(...structuralFaults(schema.additionalProperties, `${path}.additionalProperties`));
  }
  return faults;
}

/** A copy without the fields that no schema names. At the root `apiVersion`, `kind` and `metadata` stay. */
export function prune(value: unknown, schema: Schema, isRoot = false): unknown {
  if (Array.isArray(value)) {
    return value.map((item: unknown) => (schema.items ? prune(item, schema.items) : copy(item)));
  }
  if (!isObject(value)) return value;
  const result: Json = {};
  const { properties, additionalProperties } = schema;
  const keepsAll =
    additionalProperties === true ||
    schema["x-kubernetes-preserve-unknown-fields"] === true ||
    schema["x-kubernetes-embedded-resource"] === true;
  for (const [key, inner] of Object.entries(value)) {
    if (isRoot && ["apiVersion", "kind", "metadata"].includes(key)) result[key] = copy(inner);
    else if (properties?.[key] !== undefined) result[key] = prune(inner, properties[key]);
    else if (isObject(additionalProperties)) result[key] = prune(inner, additionalProperties);
    else if (keepsAll) result[key] = copy(inner);
  }
  return result;
}

/** Fills defaults in place: only below objects that are there. A null where none may be is as if it were absent. */
export function fillDefaults(value: unknown, schema: Schema): void {
  if (Array.isArray(value)) {
    if (schema.items) for (const item of value) fillDefaults(item, schema.items);
    return;
  }
  if (!isObject(value)) return;
  for (const [key, inner] of Object.entries(schema.properties ?? {})) {
    if (
      inner.default !== undefined &&
      (value[key] === undefined || (value[key] === null && !inner.nullable))
    ) {
      value[key] = copy(inner.default);
    }
    if (value[key] !== undefined) fillDefaults(value[key], inner);
  }
  if (isObject(schema.additionalProperties)) {
    for (const inner of Object.values(value)) fillDefaults(inner, schema.additionalProperties);
  }
}

const FORMATS: Readonly<Record<string, RegExp>> = {
  "date-time": /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/,
};

/** What is wrong with `value`, in the words of a real server. */
export function validate(value: unknown, schema: Schema, path: string): Cause[] {
  const causes: Cause[] = [];
  const blame = (
    message: string,
    reason: Cause["reason"] = "FieldValueInvalid",
    field = path,
  ): void => void causes.push({ reason, field, message });
  const shown = JSON.stringify(value);
  if (value === null) {
    if (!schema.nullable)
      blame(
        `Invalid value: null: ${path} in body must be of type ${schema.type}: "null"`,
        "FieldValueTypeInvalid",
      );
    return causes;
  }
  if (!isOfType(value, schema)) {
    const type = Array.isArray(value) ? "array" : typeof value;
    blame(
      `Invalid value: "${type}": ${path} in body must be of type ${schema.type}: "${type}"`,
      "FieldValueTypeInvalid",
    );
    return causes;
  }
  if (schema.enum && !schema.enum.includes(value)) {
    const values = schema.enum.map((known) => JSON.stringify(known)).join(", ");
    blame(`Unsupported value: ${shown}: supported values: ${values}`);
  }
  if (typeof value === "string") {
    if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value)) {
      blame(`Invalid value: ${shown}: ${path} in body should match '${schema.pattern}'`);
    }
    if (schema.minLength !== undefined && value.length < schema.minLength) {
      blame(
        `Invalid value: ${shown}: ${path} in body should be at least ${schema.minLength} chars long`,
      );
    }
    if (schema.maxLength !== undefined && value.length > schema.maxLength) {
      blame(`Too long: may not be more than ${schema.maxLength} bytes`);
    }
    const format = schema.format === undefined ? undefined : FORMATS[schema.format];
    if (format && (!format.test(value) || Number.isNaN(Date.parse(value)))) {
      blame(`Invalid value: ${shown}: ${path} in body must be of type ${schema.format}: ${shown}`);
    }
  }
  if (typeof value === "number") {
    if (schema.minimum !== undefined && value < schema.minimum) {
      blame(
        `Invalid value: ${shown}: ${path} in body should be greater than or equal to ${schema.minimum}`,
      );
    }
    if (schema.maximum !== undefined && value > schema.maximum) {
      blame(
        `Invalid value: ${shown}: ${path} in body should be less than or equal to ${schema.maximum}`,
      );
    }
    if (schema.format === "int32" && Math.abs(value) > 2 ** 31) {
      blame(`Invalid value: ${shown}: ${path} in body should be an int32`);
    }
  }
  if (Array.isArray(value)) {
    if (schema.minItems !== undefined && value.length < schema.minItems) {
      blame(
        `Invalid value: ${value.length}: ${path} in body should have at least ${schema.minItems} items`,
      );
    }
    if (schema.maxItems !== undefined && value.length > schema.maxItems) {
      blame(`Too many: ${value.length}: must have at most ${schema.maxItems} items`);
    }
    for (const [i, item] of value.entries()) {
      if (schema.items) causes.push(...validate(item, schema.items, `${path}[${i}]`));
    }
  }
  if (isObject(value)) {
    for (const name of schema.required ?? []) {
      if (value[name] === undefined)
        blame("Required value", "FieldValueRequired", join(path, name));
    }
    for (const [key, inner] of Object.entries(value)) {
      const property =
        schema.properties?.[key] ??
        (isObject(schema.additionalProperties)
          ? (schema.additionalProperties as Schema)
          : undefined);
      if (property) causes.push(...validate(inner, property, join(path, key)));
    }
  }
  for (const branch of schema.allOf ?? []) causes.push(...validate(value, branch, path));
  for (const junctor of ["anyOf", "oneOf"] as const) {
    const branches = schema[junctor];
    if (!branches) continue;
    const fitting = branches.filter((branch) => validate(value, branch, path).length === 0).length;
    if (fitting === 0 || (junctor === "oneOf" && fitting > 1)) {
      blame(
        `Invalid value: "${path}" must validate ${junctor === "anyOf" ? "at least one schema (anyOf)" : "one and only one schema (oneOf)"}`,
      );
    }
  }
  return causes;
}

function isOfType(value: unknown, schema: Schema): boolean {
  if (schema["x-kubernetes-int-or-string"]) {
    return typeof value === "string" || Number.isInteger(value);
  }
  switch (schema.type) {
    case "object":
      return isObject(value);
    case "array":
      return Array.isArray(value);
    case "string":
    case "boolean":
      return typeof value === schema.type;
    case "number":
      return typeof value === "number";
    case "integer":
      return Number.isInteger(value);
    default:
      return true;
  }
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}
