// Who may do what: rules as in a Role, given to users who are known by their tokens. Denials read like those of a real server.

import { ApiFault, forbidden } from "./api-fault.ts";

export interface Rule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  /** `pods`, `pods/log`, `*`. */
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  /** Namespaces in which it holds (a RoleBinding); everywhere when absent. */
  readonly namespaces?: readonly string[];
}

export interface User {
  readonly name: string;
  readonly rules: readonly Rule[];
}

export const ADMIN: User = {
  name: "system:admin",
  rules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }],
};

export interface Attributes {
  readonly verb: string;
  readonly group: string;
  readonly plural: string;
  readonly subresource?: string | undefined;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
}

export function isAllowed(user: User, asked: Attributes): boolean {
  const resource = asked.subresource ? `${asked.plural}/${asked.subresource}` : asked.plural;
  const has = (list: readonly string[], value: string): boolean =>
    list.includes("*") || list.includes(value);
  return user.rules.some(
    (rule) =>
      has(rule.verbs, asked.verb) &&
      has(rule.apiGroups, asked.group) &&
      (has(rule.resources, resource) ||
        (asked.subresource !== undefined &&
          (rule.resources.includes(`*/${asked.subresource}`) ||
            rule.resources.includes(`${asked.plural}/*`)))) &&
      // Rules with names say nothing about objects whose name is not known: create, list and the like.
      (rule.resourceNames === undefined ||
        (asked.name !== undefined && rule.resourceNames.includes(asked.name))) &&
      (rule.namespaces === undefined ||
        (asked.namespace !== undefined && rule.namespaces.includes(asked.namespace))),
  );
}

export function authorize(user: User, asked: Attributes): void {
  // Whoever is somebody may ask what they may (system:basic-user).
  if (isAllowed(user, asked) || asked.plural === "selfsubjectaccessreviews") return;
  const { verb, group, plural, subresource, namespace, name } = asked;
  const resource = group === "" ? plural : `${plural}.${group}`;
  const whole = subresource ? `${plural}/${subresource}` : plural;
  throw forbidden(
    `${resource} ${name === undefined ? "" : `"${name}" `}is forbidden: User "${user.name}" cannot ${verb} ` +
      `resource "${whole}" in API group "${group}" ` +
      (namespace === undefined ? "at the cluster scope" : `in the namespace "${namespace}"`),
  );
}

export function authenticate(
  users: ReadonlyMap<string, User> | undefined,
  header: string | undefined,
): User {
  if (users === undefined) return ADMIN;
  const token = /^Bearer (.+)$/.exec(header ?? "")?.[1];
  const user = token === undefined ? undefined : users.get(token);
  if (user === undefined) throw new ApiFault(401, "Unauthorized", "Unauthorized");
  return user;
}
