// Creating, changing and deleting objects as an API server does it: versions that decide whether a write may happen, what the
// server itself fills in, status apart from the rest, finalizers that hold an object back.

import { randomUUID } from "node:crypto";
import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";
import {
  ApiFault,
  badRequest,
  conflict,
  forbidden,
  invalid,
  MODIFIED,
  notFound,
} from "./api-fault.ts";
import {
  apiVersionOf,
  checkCrd,
  resourceKey,
  type ApiResource,
  type ApiResources,
} from "./api-resources.ts";
import { copy, isEqual, isObject, type Json } from "./json-value.ts";
import { mergedWrite } from "./merged-write.ts";
import { checkObject, kindName } from "./object-rules.ts";
import type { ObjectTable } from "./object-table.ts";
import { applyPatch, jsonPatch, mergePatch, type Applied } from "./patches.ts";
import { fillDefaults, prune, validate } from "./structural-schema.ts";

export interface Target {
  readonly resource: ApiResource;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly subresource?: string | undefined;
}

export interface Patch {
  readonly type: string;
  readonly body: unknown;
  readonly manager: string;
  readonly force: boolean;
}

const PVC_PROTECTION = "kubernetes.io/pvc-protection";

export class ObjectWrites {
  readonly #table: ObjectTable;
  readonly #resources: ApiResources;
  readonly #now: () => number;
  /** By resource and key. */
  readonly #applied = new Map<string, Applied>();

  constructor(table: ObjectTable, resources: ApiResources, now: () => number) {
    this.#table = table;
    this.#resources = resources;
    this.#now = now;
  }

  find(target: Target): KubeObject {
    const { resource, name } = target;
    const found = this.#table.get(resourceKey(resource), keyOf(target));
    if (found === undefined) throw notFound(resourceKey(resource), name);
    return found;
  }

  create(
    resource: ApiResource,
    namespace: string | undefined,
    body: unknown,
    dryRun: boolean,
  ): KubeObject {
    const object = this.#decode(resource, body);
    const { metadata } = object;
    const generateName = (metadata as { generateName?: string }).generateName;
    if (!metadata.name && generateName) metadata.name = generateName + randomUUID().slice(0, 5);
    if (!metadata.name) {
      throw invalid(kindName(resource), "", [
        {
          reason: "FieldValueRequired",
          field: "metadata.name",
          message: "Required value: name or generateName is required",
        },
      ]);
    }
    this.#place(object, namespace);
    if (metadata.resourceVersion) {
      // A real server answers like this, of all things.
      throw new ApiFault(500, "", "resourceVersion should not be set on objects to be created");
    }
    this.#checkNamespace(resource, namespace);
    const key = keyOf({ namespace, name: metadata.name });
    if (this.#table.get(resourceKey(resource), key) !== undefined) {
      throw new ApiFault(
        409,
        "AlreadyExists",
        `${resourceKey(resource)} "${metadata.name}" already exists`,
        { details: { name: metadata.name, kind: resource.plural } },
      );
    }
    metadata.uid = randomUUID();
    metadata.creationTimestamp = this.#time();
    delete metadata.deletionTimestamp;
    if (resource.hasGeneration) metadata.generation = 1;
    else delete metadata.generation;
    // A status that comes with a new object is dropped; what controllers say of it comes later.
    if (resource.hasStatus) delete (object as { status?: unknown }).status;
    this.#admit(resource, object);
    this.#check(resource, object, undefined);
    if (dryRun) return { ...object };
    const made = this.#table.put(resourceKey(resource), key, object)!;
    if (resource.plural === "customresourcedefinitions") this.#define(resource, key, made);
    return made;
  }

  update(target: Target, body: unknown, dryRun: boolean): KubeObject {
    const { resource, name, namespace } = target;
    const current = this.find(target);
    const object = this.#decode(resource, body);
    if (object.metadata.name !== name) {
      throw badRequest(
        `the name of the object (${object.metadata.name}) does not match the name on the URL (${name})`,
      );
    }
    this.#place(object, namespace);
    const version = object.metadata.resourceVersion;
    if (!version && (resource.schema !== undefined || resource.plural === "leases")) {
      throw invalid(kindName(resource), name, [
        {
          reason: "FieldValueInvalid",
          field: "metadata.resourceVersion",
          message: "Invalid value: 0x0: must be specified for an update",
        },
      ]);
    }
    return this.#write(target, current, object, dryRun);
  }

  patch(target: Target, patch: Patch, dryRun: boolean): KubeObject {
    const { resource } = target;
    const key = keyOf(target);
    const current = this.#table.get(resourceKey(resource), key);
    if (patch.type === "application/apply-patch+yaml") return this.#apply(target, patch, dryRun);
    if (current === undefined) throw notFound(resourceKey(resource), target.name);
    const type = patch.type.split(";")[0];
    const patched =
      type === "application/json-patch+json"
        ? jsonPatch(current, patch.body)
        : type === "application/merge-patch+json" ||
            // Its lists of objects are merged by keys; nobody here patches such lists.
            (type === "application/strategic-merge-patch+json" && resource.schema === undefined)
          ? mergePatch(current, patch.body)
          : undefined;
    if (patched === undefined) {
      throw new ApiFault(
        415,
        "UnsupportedMediaType",
        `the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml`,
      );
    }
    const object = this.#decode(resource, patched);
    if (object.metadata.name !== target.name) throw badRequest("the name must not be patched");
    return this.#write(target, current, object, dryRun);
  }

  #apply(target: Target, { body, manager, force }: Patch, dryRun: boolean): KubeObject {
    const { resource, namespace, name, subresource } = target;
    if (!manager)
      throw badRequest(
        "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch",
      );
    const object = this.#decode(resource, body);
    if (object.metadata.name !== name)
      throw badRequest("the name of the object does not match the URL");
    const key = keyOf(target);
    const current = this.#table.get(resourceKey(resource), key);
    const owners = `${resourceKey(resource)} ${key} ${subresource ?? ""} ${current?.metadata.uid ?? ""}`;
    const applied: Applied = new Map(
      [...(this.#applied.get(owners) ?? [])].map(([who, what]) => [who, copy(what)]),
    );
    const merged = applyPatch({
      current: current as Json | undefined,
      patch: object as unknown as Json,
      manager,
      force,
      applied,
    }) as unknown as KubeObject;
    if (current === undefined && subresource !== undefined) {
      throw notFound(resourceKey(resource), name);
    }
    const result =
      current === undefined
        ? this.create(resource, namespace, merged, dryRun)
        : this.#write(target, current, merged, dryRun);
    if (!dryRun) {
      this.#applied.delete(owners);
      this.#applied.set(
        `${resourceKey(resource)} ${key} ${subresource ?? ""} ${result.metadata.uid}`,
        applied,
      );
    }
    return result;
  }

  /** The common end of updates and patches. */
  #write(target: Target, current: KubeObject, object: KubeObject, dryRun: boolean): KubeObject {
    const { resource, subresource } = target;
    const key = resourceKey(resource);
    const { metadata } = object;
    const { resourceVersion } = metadata;
    if (metadata.uid && metadata.uid !== current.metadata.uid) {
      throw conflict(
        key,
        target.name,
        `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${current.metadata.uid}`,
      );
    }
    if (resourceVersion && resourceVersion !== current.metadata.resourceVersion) {
      throw conflict(key, target.name, MODIFIED);
    }
    const next = mergedWrite(target, current, object);
    if (subresource === undefined) this.#admit(resource, next);
    this.#check(resource, next, current);
    const isSpecChanged = !isEqual(withoutMeta(current, resource), withoutMeta(next, resource));
    if (resource.hasGeneration && isSpecChanged) {
      next.metadata.generation = (current.metadata.generation ?? 0) + 1;
    }
    if (next.metadata.deletionTimestamp && (next.metadata.finalizers ?? []).length === 0) {
      if (!dryRun) this.#table.put(key, keyOf(target), undefined);
      return next;
    }
    // A write that changes nothing leaves no trace.
    if (isEqual(current, next) || dryRun) return next;
    const written = this.#table.put(key, keyOf(target), next)!;
    if (resource.plural === "customresourcedefinitions") this.#resources.define(written as never);
    return written;
  }

  /** False when finalizers hold it back. */
  delete(target: Target, options: Json, dryRun: boolean): KubeObject {
    const { resource } = target;
    const key = resourceKey(resource);
    const current = this.find(target);
    const { uid, resourceVersion } = (options["preconditions"] ?? {}) as Record<string, string>;
    for (const [field, wanted, is] of [
      ["UID", uid, current.metadata.uid],
      ["ResourceVersion", resourceVersion, current.metadata.resourceVersion],
    ]) {
      if (wanted !== undefined && wanted !== is) {
        throw conflict(
          key,
          target.name,
          `Precondition failed: ${field} in precondition: ${wanted}, ${field} in object meta: ${is}`,
        );
      }
    }
    if (dryRun) return current;
    const finalizers = new Set(current.metadata.finalizers);
    if (options["propagationPolicy"] === "Foreground") finalizers.add("foregroundDeletion");
    if (options["propagationPolicy"] === "Orphan") finalizers.add("orphan");
    if (finalizers.size === 0) {
      this.#table.put(key, keyOf(target), undefined);
      if (resource.plural === "customresourcedefinitions") this.#resources.remove(current as never);
      return current;
    }
    const next = copy(current);
    next.metadata.finalizers = [...finalizers];
    next.metadata.deletionTimestamp ??= this.#time();
    return isEqual(current, next) ? current : this.#table.put(key, keyOf(target), next)!;
  }

  #decode(resource: ApiResource, body: unknown): KubeObject {
    if (!isObject(body) || !isObject(body["metadata"])) {
      throw badRequest(
        "the object provided is unrecognized (must be of type object with metadata)",
      );
    }
    const version = apiVersionOf(resource);
    if (body["kind"] !== resource.kind || body["apiVersion"] !== version) {
      throw badRequest(
        `the API version in the data (${String(body["apiVersion"])}, ${String(body["kind"])}) does not match the expected API version (${version}, ${resource.kind})`,
      );
    }
    const object = copy(body);
    const pruned = resource.schema === undefined ? object : prune(object, resource.schema, true);
    if (resource.schema !== undefined) fillDefaults(pruned, resource.schema);
    return pruned as unknown as KubeObject;
  }

  #place({ metadata }: KubeObject, namespace: string | undefined): void {
    if (namespace === undefined) {
      delete metadata.namespace;
      return;
    }
    if (metadata.namespace && metadata.namespace !== namespace) {
      throw badRequest(
        `the namespace of the provided object does not match the namespace sent on the request`,
      );
    }
    metadata.namespace = namespace;
  }

  #checkNamespace(resource: ApiResource, namespace: string | undefined): void {
    if (!resource.namespaced) return;
    const found = this.#table.get("namespaces", namespace ?? "");
    if (found === undefined) throw notFound("namespaces", namespace ?? "");
    if (found.metadata.deletionTimestamp) {
      throw forbidden(
        `unable to create new content in namespace ${namespace} because it is being terminated`,
      );
    }
  }

  /** What admission of a real server adds. */
  #admit(resource: ApiResource, object: KubeObject): void {
    const finalizer = { persistentvolumeclaims: PVC_PROTECTION, namespaces: "kubernetes" }[
      resource.plural
    ];
    if (finalizer === undefined || object.metadata.resourceVersion) return;
    object.metadata.finalizers = [...new Set([...(object.metadata.finalizers ?? []), finalizer])];
  }

  #check(resource: ApiResource, object: KubeObject, before: KubeObject | undefined): void {
    checkObject(resource, object, before);
    if (resource.plural === "customresourcedefinitions") checkCrd(object as unknown as Json);
    if (resource.schema === undefined) return;
    const causes = validate(object, resource.schema, "");
    if (causes.length > 0) throw invalid(kindName(resource), object.metadata.name, causes);
  }

  #define(resource: ApiResource, key: string, crd: KubeObject): void {
    this.#resources.define(crd as unknown as Json);
    const established = { type: "Established", status: "True", reason: "InitialNamesAccepted" };
    this.#table.put(resourceKey(resource), key, {
      ...crd,
      status: { conditions: [established] },
    } as KubeObject);
  }

  #time(): string {
    return new Date(this.#now()).toISOString().replace(/\.\d+Z$/, "Z");
  }
}

export function keyOf({ namespace, name }: Pick<Target, "namespace" | "name">): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** What a generation counts the changes of. */
function withoutMeta(object: KubeObject, resource: ApiResource): Json {
  const { metadata: _, ...rest } = object as unknown as Json;
  if (resource.hasStatus) delete rest["status"];
  return rest;
}
