// The two CRDs as text, for whoever installs them: `holdfast operator crds`, and the files of deploy/crds/.

import { allCrds, crdYaml } from "./resources/crds.ts";

export interface CrdDocument {
  /** File name as upstream's: `volsync.backube_replicationsources.yaml`. */
  readonly file: string;
  /** YAML of one CustomResourceDefinition. */
  readonly text: string;
}

/** One document for each kind. */
export function crdDocuments(): CrdDocument[] {
  return allCrds().map((crd) => ({
    file: `${crd.spec.group}_${crd.spec.names.plural}.yaml`,
    text: crdYaml(crd),
  }));
}
