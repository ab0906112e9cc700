// Values that stand in plain although a document's own rules want them encrypted, or although they are those of a Kubernetes
// Secret: what a hand that knew nothing of SOPS, or a rule that fits nothing, leaves behind. Needs no key.

import { parseEncrypted } from "./cipher.ts";
import type { SopsDocument } from "./document.ts";
import { textAt } from "./manifest.ts";
import { lineOf, pathText } from "./tree.ts";
import { textOf } from "./value.ts";
import { walkDocuments } from "./walk.ts";

/** What of a Kubernetes Secret is secret, whatever the rules say. */
const SECRET_PARTS: ReadonlySet<string> = new Set(["data", "stringData"]);

/** Where each of them is: `line 7, "stringData.PASSWORD"`; never the value. */
export function findLeaks({ roots, metadata, text }: SopsDocument): string[] {
  const leaks: string[] = [];
  for (const root of roots) {
    const isSecret = textAt(root, "kind") === "Secret";
    walkDocuments([root], metadata, {
      leaf: (leaf, encrypted, { path }) => {
        const isWanted = encrypted || (isSecret && SECRET_PARTS.has(path[0] ?? ""));
        const isOpen =
          isWanted &&
          leaf.value.bytes.length > 0 &&
          (leaf.value.type !== "str" || parseEncrypted(textOf(leaf.value)) === undefined);
        if (isOpen) leaks.push(`line ${lineOf(text, leaf.at.start)}, ${pathText(path)}`);
        return { plain: leaf.value, becomes: leaf.value };
      },
      comment: (comment) => comment.text,
    });
  }
  return leaks;
}
