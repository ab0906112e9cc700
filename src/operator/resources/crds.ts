// The CustomResourceDefinitions of VolSync's two resources, made from the schemas that the operator reads with: same group, names,
// columns and fields as upstream's, and further columns that show with `-o wide`. deploy/crds/ holds what is printed here.

import { stringify } from "yaml";
import type { KubeObject } from "../cluster/kube-object.ts";
import type { Kind } from "../cluster/kinds.ts";
import { EXTERNAL, VOLSYNC_GROUP } from "../names.ts";
import {
  REPLICATION_DESTINATION,
  destinationSpec,
  destinationStatus,
} from "./replication-destination.ts";
import { REPLICATION_SOURCE, sourceSpec, sourceStatus } from "./replication-source.ts";
import { structuralSchema, type StructuralSchema } from "./structural-schema.ts";

/** A column of `kubectl get`. Those with a priority show with `-o wide` alone. */
export interface PrinterColumn {
  name: string;
  type: "string" | "date" | "integer";
  format?: string;
  jsonPath: string;
  description?: string;
  priority?: number;
}

export interface CustomResourceDefinition extends KubeObject {
  spec: {
    group: string;
    names: { kind: string; listKind: string; plural: string; singular: string };
    scope: "Namespaced";
    versions: {
      name: string;
      served: boolean;
      storage: boolean;
      additionalPrinterColumns: PrinterColumn[];
      schema: { openAPIV3Schema: StructuralSchema };
      subresources: { status: Record<string, never> };
    }[];
  };
}

/** The columns that upstream has, by the same names. */
const lastSync: PrinterColumn[] = [
  { name: "Last sync", type: "string", format: "date-time", jsonPath: ".status.lastSyncTime" },
  { name: "Duration", type: "string", jsonPath: ".status.lastSyncDuration" },
  { name: "Next sync", type: "string", format: "date-time", jsonPath: ".status.nextSyncTime" },
];

/** A dot in a key of a map is escaped. */
function externalPath(key: string): string {
  return `.status.external['${key.replaceAll(".", "\\.")}']`;
}

const wide: PrinterColumn[] = [
  {
    name: "Result",
    type: "string",
    jsonPath: ".status.latestMoverStatus.result",
    description: "How the last run went",
    priority: 1,
  },
  {
    name: "Problem",
    type: "string",
    jsonPath: ".status.conditions[?(@.type=='Problem')].reason",
    description: "What stands in the way; None when nothing does",
    priority: 1,
  },
  {
    name: "Snapshot",
    type: "string",
    jsonPath: externalPath(EXTERNAL.snapshot),
    description: "The snapshot that was made or restored last",
    priority: 1,
  },
  {
    name: "Recovery point age",
    type: "date",
    jsonPath: externalPath(EXTERNAL.pointInTime),
    description: "How long ago the data of that snapshot was taken",
    priority: 1,
  },
];

/** The definition of one kind. */
export function crdOf({
  kind,
  spec,
  status,
  description,
  columns,
}: {
  kind: Kind;
  spec: StructuralSchema;
  status: StructuralSchema;
  description: string;
  columns: PrinterColumn[];
}): CustomResourceDefinition {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${kind.plural}.${VOLSYNC_GROUP}` },
    spec: {
      group: VOLSYNC_GROUP,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.kind.toLowerCase(),
      },
      scope: "Namespaced",
      versions: [
        {
          additionalPrinterColumns: columns,
          name: kind.apiVersion.slice(kind.apiVersion.indexOf("/") + 1),
          schema: {
            openAPIV3Schema: {
              description,
              properties: {
                apiVersion: { type: "string" },
                kind: { type: "string" },
                metadata: { type: "object" },
                spec,
                status,
              },
              type: "object",
            },
          },
          served: true,
          storage: true,
          subresources: { status: {} },
        },
      ],
    },
  };
}

/** Both definitions. */
export function allCrds(): CustomResourceDefinition[] {
  return [
    crdOf({
      kind: REPLICATION_DESTINATION,
      spec: structuralSchema(destinationSpec),
      status: structuralSchema(destinationStatus),
      description: "A volume, or an image of one, that a snapshot is restored to",
      columns: [...lastSync, ...wide],
    }),
    crdOf({
      kind: REPLICATION_SOURCE,
      spec: structuralSchema(sourceSpec),
      status: structuralSchema(sourceStatus),
      description: "A volume that is backed up",
      columns: [
        { name: "Source", type: "string", jsonPath: ".spec.sourcePVC" },
        ...lastSync,
        ...wide,
      ],
    }),
  ];
}

/** One definition as YAML, which is what a file of deploy/crds/ holds. */
export function crdYaml(crd: CustomResourceDefinition): string {
  return stringify(crd, { lineWidth: 0, aliasDuplicateObjects: false });
}
