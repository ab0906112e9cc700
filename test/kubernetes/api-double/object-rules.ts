// What an API server checks about every object, and about some of Kubernetes' own kinds: names, labels, owners, and fields that
// must be there or must not change.

import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";
import { invalid, type Cause } from "./api-fault.ts";
import { resourceKey, type ApiResource } from "./api-resources.ts";
import { isEqual, valueAt } from "./json-value.ts";

const LABEL_NAME =
  /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?$/;
const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const LABEL_LENGTH_NAMES = new Set(["namespaces", "services"]);
const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;

/** Throws 422 when the object breaks a rule. `before`: what it replaces. */
export function checkObject(
  resource: ApiResource,
  object: KubeObject,
  before: KubeObject | undefined,
): void {
  const causes: Cause[] = [];
  const blame = (field: string, message: string): void =>
    void causes.push({ reason: "FieldValueInvalid", field, message });
  const { metadata } = object;
  const name = String(metadata.name);
  const isRbac = resource.group === "rbac.authorization.k8s.io";
  const lengthMax = LABEL_LENGTH_NAMES.has(resource.plural) ? 63 : 253;
  if (!isRbac && (!SUBDOMAIN.test(name) || name.length > lengthMax)) {
    blame(
      "metadata.name",
      `Invalid value: "${name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'`,
    );
  }
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    if (!LABEL_NAME.test(key))
      blame(
        "metadata.labels",
        `Invalid value: "${key}": name part must consist of alphanumeric characters`,
      );
    if (typeof value !== "string" || !LABEL_VALUE.test(value)) {
      blame(
        "metadata.labels",
        `Invalid value: "${value}": must be no more than 63 bytes, a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.'`,
      );
    }
  }
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    if (!LABEL_NAME.test(key.toLowerCase()) && !LABEL_NAME.test(key)) {
      blame(
        "metadata.annotations",
        `Invalid value: "${key}": name part must consist of alphanumeric characters`,
      );
    }
    if (typeof value !== "string")
      blame("metadata.annotations", `Invalid value: "${key}": must be a string`);
  }
  const controllers = (metadata.ownerReferences ?? []).filter(({ controller }) => controller);
  if (controllers.length > 1) {
    blame(
      "metadata.ownerReferences",
      "Invalid value: Only one reference can have Controller set to true",
    );
  }
  for (const owner of metadata.ownerReferences ?? []) {
    for (const field of ["apiVersion", "kind", "name", "uid"] as const) {
      if (!owner[field])
        blame(`metadata.ownerReferences.${field}`, 'Invalid value: "": must not be empty');
    }
  }
  checkKind(resource, object, before, blame);
  if (causes.length > 0) throw invalid(kindName(resource), name, causes);
}

/** `Job.batch`, `Pod`. */
export function kindName({ kind, group }: ApiResource): string {
  return group === "" ? kind : `${kind}.${group}`;
}

type Blame = (field: string, message: string) => void;

function checkKind(
  resource: ApiResource,
  object: KubeObject,
  before: KubeObject | undefined,
  blame: Blame,
): void {
  const at = (path: string): unknown => valueAt(object, path.split("."));
  const isChanged = (path: string): boolean =>
    before !== undefined && !isEqual(at(path), valueAt(before, path.split(".")));
  switch (resourceKey(resource)) {
    case "events.events.k8s.io":
      return checkEvent(object, at, blame);
    case "leases.coordination.k8s.io":
      for (const field of ["spec.acquireTime", "spec.renewTime"]) {
        const time = at(field);
        if (time !== undefined && !(typeof time === "string" && MICRO_TIME.test(time))) {
          blame(field, "Invalid value: must be a time with microseconds");
        }
      }
      if (
        at("spec.leaseDurationSeconds") !== undefined &&
        Number(at("spec.leaseDurationSeconds")) <= 0
      ) {
        blame(
          "spec.leaseDurationSeconds",
          `Invalid value: ${String(at("spec.leaseDurationSeconds"))}: must be greater than 0`,
        );
      }
      if (Number(at("spec.leaseTransitions") ?? 0) < 0) {
        blame("spec.leaseTransitions", "Invalid value: must be greater than or equal to 0");
      }
      return;
    case "jobs.batch": {
      const policy = at("spec.template.spec.restartPolicy");
      if (policy !== "Never" && policy !== "OnFailure") {
        blame(
          "spec.template.spec.restartPolicy",
          `Required value: valid values: "OnFailure", "Never"`,
        );
      }
      checkPod(at("spec.template.spec"), "spec.template.spec", blame);
      if (isChanged("spec.template") && !valueAt(before, ["spec", "suspend"])) {
        blame("spec.template", "Invalid value: field is immutable");
      }
      for (const field of ["spec.completions", "spec.selector", "spec.podFailurePolicy"]) {
        if (isChanged(field)) blame(field, "Invalid value: field is immutable");
      }
      return;
    }
    case "pods":
      checkPod(at("spec"), "spec", blame);
      for (const field of ["spec.volumes", "spec.serviceAccountName", "spec.nodeSelector"]) {
        if (isChanged(field))
          blame(
            "spec",
            "Forbidden: pod updates may not change fields other than the image and a few others",
          );
      }
      return;
    case "persistentvolumeclaims": {
      if (
        !Array.isArray(at("spec.accessModes")) ||
        (at("spec.accessModes") as unknown[]).length === 0
      ) {
        blame("spec.accessModes", "Required value: at least 1 access mode is required");
      }
      if (at("spec.resources.requests.storage") === undefined) {
        blame("spec.resources[storage]", "Required value");
      }
      for (const field of [
        "spec.accessModes",
        "spec.dataSource",
        "spec.dataSourceRef",
        "spec.volumeMode",
      ]) {
        if (isChanged(field))
          blame(
            "spec",
            "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
          );
      }
      return;
    }
    case "secrets":
    case "configmaps":
      if (before !== undefined && valueAt(before, ["immutable"]) === true && isChanged("data")) {
        blame("data", "Forbidden: field is immutable when `immutable` is set");
      }
      return;
    case "storageclasses.storage.k8s.io":
      if (!at("provisioner")) blame("provisioner", "Required value");
  }
}

function checkPod(spec: unknown, path: string, blame: Blame): void {
  const { containers, volumes = [] } = (spec ?? {}) as {
    containers?: {
      name?: string;
      image?: string;
      volumeMounts?: { name: string; mountPath?: string }[];
    }[];
    volumes?: { name: string }[];
  };
  if (!containers?.length) blame(`${path}.containers`, "Required value");
  const names = new Set(volumes.map(({ name }) => name));
  if (names.size !== volumes.length) blame(`${path}.volumes`, "Duplicate value");
  for (const volume of volumes) {
    if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(volume.name)) {
      blame(
        `${path}.volumes.name`,
        `Invalid value: "${volume.name}": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'`,
      );
    }
  }
  for (const [i, container] of (containers ?? []).entries()) {
    if (!container.name) blame(`${path}.containers[${i}].name`, "Required value");
    if (!container.image) blame(`${path}.containers[${i}].image`, "Required value");
    const places = new Set<string>();
    for (const mount of container.volumeMounts ?? []) {
      if (!names.has(mount.name)) {
        blame(`${path}.containers[${i}].volumeMounts.name`, `Not found: "${mount.name}"`);
      }
      if (!mount.mountPath)
        blame(`${path}.containers[${i}].volumeMounts.mountPath`, "Required value");
      else if (places.has(mount.mountPath)) {
        blame(
          `${path}.containers[${i}].volumeMounts.mountPath`,
          `Invalid value: "${mount.mountPath}": must be unique`,
        );
      }
      places.add(mount.mountPath ?? "");
    }
  }
}

function checkEvent(object: KubeObject, at: (path: string) => unknown, blame: Blame): void {
  if (typeof at("eventTime") !== "string" || !MICRO_TIME.test(String(at("eventTime")))) {
    blame("eventTime", "Required value");
  }
  for (const field of ["reportingController", "reportingInstance", "action", "reason"]) {
    const value = at(field);
    if (typeof value !== "string" || value === "") blame(field, "Required value");
    else if (Buffer.byteLength(value) > 128)
      blame(field, "Invalid value: can have at most 128 characters");
  }
  const note = at("note");
  if (typeof note === "string" && Buffer.byteLength(note) > 1024) {
    blame("message", "Invalid value: can have at most 1024 characters");
  }
  if (at("type") !== "Normal" && at("type") !== "Warning")
    blame("type", "Invalid value: has invalid value");
  const about = at("regarding.namespace") as string | undefined;
  if ((about ?? "default") !== object.metadata.namespace) {
    blame("involvedObject.namespace", "Invalid value: does not match event.namespace");
  }
  const series = at("series") as { count?: number; lastObservedTime?: string } | undefined;
  if (
    series &&
    (!(Number(series.count) >= 2) || !MICRO_TIME.test(String(series.lastObservedTime)))
  ) {
    blame("series", "Invalid value: should be at least 2, with lastObservedTime");
  }
}
