// Manifests as they are in public repositories and threads, with names of our own: what people really write. Each document has a
// word in the file's `expect` line: `job` (a mover is started), `error` (a condition says why not), `idle` (nothing is due), `ignored`
// (somebody else's) or `refused` (by the API server).

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import type { KubeObject } from "../../src/operator/cluster/kube-object.ts";

export type Expectation = "job" | "error" | "idle" | "ignored" | "refused";

export interface CorpusManifest {
  /** `guide.yaml ReplicationSource odoo-filestore` */
  readonly title: string;
  readonly expect: Expectation;
  readonly object: KubeObject & { spec: Record<string, unknown>; status?: Record<string, unknown> };
}

const FOLDER = join(import.meta.dirname, "manifests");

/** All documents of all files, in order. */
export function manifestCorpus(): CorpusManifest[] {
  return readdirSync(FOLDER)
    .toSorted()
    .flatMap((file) => {
      const text = readFileSync(join(FOLDER, file), "utf8");
      const words = /^# expect: (.*)$/m.exec(text)?.[1]?.split(" ") ?? [];
      const documents = parseAllDocuments(text).map(
        (document) => document.toJS() as CorpusManifest["object"],
      );
      if (words.length !== documents.length) throw new Error(`${file}: expect has another length`);
      return documents.map((object, at) => ({
        title: `${file} ${object.kind} ${object.metadata.name}`,
        expect: words[at] as Expectation,
        object,
      }));
    });
}
