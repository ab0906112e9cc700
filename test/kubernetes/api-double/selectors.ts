// Label and field selectors of lists and watches.

import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";
import { badRequest } from "./api-fault.ts";
import { valueAt } from "./json-value.ts";

export type Matcher = (object: KubeObject) => boolean;

/** Fields that a real server lets one select by; of any other kind only name and namespace. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  pods: ["spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.phase"],
  secrets: ["type"],
  namespaces: ["status.phase"],
  nodes: ["spec.unschedulable"],
  jobs: ["status.successful"],
  "events.events.k8s.io": ["reason", "type", "regarding.kind", "regarding.name", "regarding.uid"],
};

export function matcherOf(
  resource: string,
  labels: string | undefined,
  fields: string | undefined,
): Matcher {
  const tests = [
    ...split(labels).map(labelTest),
    ...split(fields).map((term) => fieldTest(resource, term)),
  ];
  return (object) => tests.every((matches) => matches(object));
}

/** Terms, between commas that are in no parentheses. */
function split(text: string | undefined): string[] {
  if (text === undefined || text.trim() === "") return [];
  return text
    .split(/,(?![^(]*\))/)
    .map((term) => term.trim())
    .filter((term) => term !== "");
}

function labelTest(term: string): Matcher {
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(term);
  if (set) {
    const [, key = "", operator, list = ""] = set;
    const values = list.split(",").map((value) => value.trim());
    return (object) => {
      const value = labelOf(object, key);
      const isIn = value !== undefined && values.includes(value);
      return operator === "in" ? isIn : !isIn;
    };
  }
  const [, key = "", operator, value = ""] = /^!?([^=!\s]+)\s*(==|=|!=)?\s*(.*)$/.exec(term) ?? [];
  if (!/^[A-Za-z0-9]([\w./-]*[A-Za-z0-9])?$/.test(key) || !/^[\w.-]*$/.test(value)) {
    throw badRequest(`unable to parse requirement: ${term}`);
  }
  if (value.length > 63) {
    throw badRequest(
      `unable to parse requirement: values[0][${key}]: must be no more than 63 bytes`,
    );
  }
  if (operator === undefined) {
    return term.startsWith("!")
      ? (object) => labelOf(object, key) === undefined
      : (object) => labelOf(object, key) !== undefined;
  }
  return operator === "!="
    ? (object) => labelOf(object, key) !== value
    : (object) => labelOf(object, key) === value;
}

function fieldTest(resource: string, term: string): Matcher {
  const [, field = "", operator, value = ""] = /^([\w.]+)(==|=|!=)(.*)$/.exec(term) ?? [];
  const known = ["metadata.name", "metadata.namespace", ...(FIELDS[resource] ?? [])];
  if (!known.includes(field)) {
    throw badRequest(
      FIELDS[resource] === undefined
        ? `"${field || term}" is not a known field selector: only "metadata.name", "metadata.namespace"`
        : `field label not supported: ${field || term}`,
    );
  }
  return (object) => {
    const found = valueAt(object, field.split("."));
    const isSame = (typeof found === "string" ? found : "") === value;
    return operator === "!=" ? !isSame : isSame;
  };
}

function labelOf(object: KubeObject, key: string): string | undefined {
  return object.metadata.labels?.[key];
}
