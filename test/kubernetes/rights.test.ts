// The rights: the manifests give what src/operator/rights.ts lists, and the list is what the code asks of the API server, found by
// reading the calls. A right that nothing uses fails here, and so does a call that nobody may make.

import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import * as kinds from "../../src/operator/cluster/kinds.ts";
import type { Kind } from "../../src/operator/cluster/kinds.ts";
import { REPLICATION_DESTINATION } from "../../src/operator/resources/replication-destination.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import { LEASE_NAME, OWN_RIGHTS, OPERATOR_RIGHTS, type Right } from "../../src/operator/rights.ts";

const ROOT = join(import.meta.dirname, "../..");

interface Rule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
  resourceNames?: string[];
}
interface RoleDocument {
  kind: string;
  metadata: { name: string };
  rules?: Rule[];
}

function roles(file: string): RoleDocument[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  return parseAllDocuments(text).map((each) => each.toJS() as RoleDocument);
}

function rulesOf(file: string, name: string): Rule[] {
  return roles(file).find((one) => one.metadata.name === name)?.rules ?? [];
}

/** `group/resource verb`, for each. */
function flat(
  rules: readonly { group: string; resources: readonly string[]; verbs: readonly string[] }[],
): string[] {
  return rules
    .flatMap(({ group, resources, verbs }) =>
      resources.flatMap((resource) => verbs.map((verb) => `${group}/${resource} ${verb}`)),
    )
    .toSorted();
}

const grouped = (rules: readonly Rule[]): Right[] =>
  rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.map((group) => ({ group, resources, verbs, why: "" })),
  );

test("the ClusterRole gives what the list says", () => {
  const given = rulesOf("deploy/base/cluster-role.yaml", "holdfast");
  assert.deepEqual(flat(grouped(given)), flat(OPERATOR_RIGHTS));
});

test("the Role gives one Lease, by its name", () => {
  const given = rulesOf("deploy/base/role.yaml", "holdfast-leader");
  assert.deepEqual(flat(grouped(given)), flat(OWN_RIGHTS));
  for (const { resources, verbs, resourceNames } of given) {
    if (!resources.includes("leases")) continue;
    // Names say nothing about `create`: the server does not know the name when it decides.
    assert.deepEqual(resourceNames, verbs.includes("create") ? undefined : [LEASE_NAME]);
  }
});

test("no right is a wildcard, and Secrets are only read, one by one", () => {
  for (const { group, resources, verbs } of OPERATOR_RIGHTS) {
    for (const word of [group, ...resources, ...verbs]) assert.doesNotMatch(word, /\*/);
    if (resources.includes("secrets")) assert.deepEqual(verbs, ["get"]);
    for (const verb of ["escalate", "bind", "impersonate"]) assert.ok(!verbs.includes(verb));
  }
});

test("the chart's rights are those of the list, in a ClusterRole or in Roles", () => {
  const text = readFileSync(join(ROOT, "deploy/chart/templates/rights.yaml"), "utf8");
  const rules = [
    ...text.matchAll(
      /- apiGroups: \[(.*)\]\n +resources: \[(.*)\]\n(?: +resourceNames: .*\n)? +verbs: \[(.*)\]/g,
    ),
  ].map(([, group = "", resources = "", verbs = ""]) => ({
    group: group === '""' ? "" : group,
    resources: resources.split(", "),
    verbs: verbs.split(", "),
  }));
  assert.deepEqual(flat(rules), flat([...OPERATOR_RIGHTS, ...OWN_RIGHTS]));
});

/** What a call of the client asks of the API server. */
const VERBS: Readonly<Record<string, readonly string[]>> = {
  get: ["get"],
  list: ["list"],
  watch: ["watch"],
  create: ["create"],
  replace: ["update"],
  replaceStatus: ["update"],
  patch: ["patch"],
  delete: ["delete"],
};

/** Calls that name their kind by a constant: those of reconcilers. The client and its informers take any kind. */
function calls(): { kind: string; verb: string; status: boolean; where: string }[] {
  const found = [];
  for (const file of globSync("src/operator/**/*.ts", { cwd: ROOT })) {
    if (file.endsWith(".test.ts") || file.endsWith("migrate-volsync.ts")) continue;
    const source = readFileSync(join(ROOT, file), "utf8");
    for (const [, verb = "", kind = ""] of source.matchAll(
      /\b(?:api|#api)\s*\.(get|list|watch|create|replace|replaceStatus|patch|delete)(?:<[^(]*>)?\(\s*([A-Z][A-Z_]+)\b/g,
    )) {
      for (const each of VERBS[verb] ?? [])
        found.push({ kind, verb: each, status: verb === "replaceStatus", where: file });
    }
  }
  return found;
}

const KINDS: Readonly<Record<string, Kind>> = {
  ...(kinds as unknown as Record<string, Kind>),
  REPLICATION_SOURCE,
  REPLICATION_DESTINATION,
};

test("every call that the operator makes is allowed", () => {
  const allowed = new Set(flat([...OPERATOR_RIGHTS, ...OWN_RIGHTS]));
  const made = calls();
  assert.ok(made.length > 10, "the calls were not found");
  for (const { kind, verb, status, where } of made) {
    const known = KINDS[kind];
    // Kinds that a file makes for itself are told by their rights' test there.
    if (known === undefined) continue;
    const group = known.apiVersion.includes("/") ? known.apiVersion.split("/")[0] : "";
    const right = `${group}/${known.plural}${status ? "/status" : ""} ${verb}`;
    assert.ok(allowed.has(right), `${where} asks for ${right}, which nobody gives it`);
  }
});

/** Rights of calls whose kind is a variable where they are made, and of what the API server asks for by itself. */
const BY_VARIABLE: readonly string[] = [
  ...["replicationsources", "replicationdestinations"].flatMap((plural) => [
    `volsync.backube/${plural} get`,
    `volsync.backube/${plural} list`,
    `volsync.backube/${plural} watch`,
    `volsync.backube/${plural}/status update`,
    // Of an owner that blocks deletion.
    `volsync.backube/${plural}/finalizers update`,
  ]),
  // Informers.
  ...["batch/jobs", "/pods", "/persistentvolumeclaims"].flatMap((one) => [
    `${one} list`,
    `${one} watch`,
  ]),
  "snapshot.storage.k8s.io/volumesnapshots list",
  "snapshot.storage.k8s.io/volumesnapshots watch",
  // What volumes/owned.ts makes.
  "snapshot.storage.k8s.io/volumesnapshots create",
  // podLog.
  "/pods/log get",
  // Workloads, from the reference of a pod's owner.
  ...["deployments", "statefulsets", "replicasets"].map((plural) => `apps/${plural} list`),
  // Kinds that a file defines for itself.
  "authentication.k8s.io/tokenreviews create",
  "authorization.k8s.io/subjectaccessreviews create",
  "populator.storage.k8s.io/volumepopulators create",
];

test("no right is left over that nothing uses", () => {
  const made = new Set(
    calls().flatMap(({ kind, verb }) => {
      const known = KINDS[kind];
      if (known === undefined) return [];
      const group = known.apiVersion.includes("/") ? known.apiVersion.split("/")[0] : "";
      return [`${group}/${known.plural} ${verb}`];
    }),
  );
  const used = new Set([...made, ...BY_VARIABLE]);
  const given = flat([...OPERATOR_RIGHTS, ...OWN_RIGHTS]);
  assert.deepEqual(
    given.filter((right) => !used.has(right)),
    [],
  );
  assert.deepEqual(
    BY_VARIABLE.filter((right) => !given.includes(right)),
    [],
  );
});
