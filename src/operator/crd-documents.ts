// The two CRDs as text, for whoever installs them: `holdfast operator crds`, and the files of deploy/.

import { allCrds, crdYaml } from "./resources/crds.ts";

export interface CrdDocument {
  /** File name as upstream's: `volsync.backube_replicationsources.yaml`. */
  readonly file: string;
  /** YAML of one CustomResourceDefinition. */
  readonly text: string;
}

/** One document for each kind. `keep`: Helm leaves the kind in the cluster when its release goes, and the resources with it. */
export function crdDocuments({ keep = false }: { keep?: boolean } = {}): CrdDocument[] {
  const annotations = { "helm.sh/resource-policy": "keep" };
  return allCrds().map((crd) => ({
    file: `${crd.spec.group}_${crd.spec.names.plural}.yaml`,
    text: crdYaml(keep ? { ...crd, metadata: { annotations, ...crd.metadata } } : crd),
  }));
}
