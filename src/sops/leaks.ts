// Values that a document's own rules want encrypted and that stand there in plain: what a hand that knew nothing of SOPS
// leaves behind. Needs no key.

import { parseEncrypted } from "./cipher.ts";
import type { SopsDocument } from "./document.ts";
import { lineOf, pathText } from "./tree.ts";
import { textOf } from "./value.ts";
import { walkDocuments } from "./walk.ts";

/** Where each of them is: `line 7, "stringData.PASSWORD"`; never the value. */
export function findLeaks(document: SopsDocument): string[] {
  const leaks: string[] = [];
  walkDocuments(document.roots, document.metadata, {
    leaf: (leaf, encrypted, { path }) => {
      const isOpen =
        encrypted &&
        leaf.value.bytes.length > 0 &&
        (leaf.value.type !== "str" || parseEncrypted(textOf(leaf.value)) === undefined);
      if (isOpen) leaks.push(`line ${lineOf(document.text, leaf.at.start)}, ${pathText(path)}`);
      return { plain: leaf.value, becomes: leaf.value };
    },
    comment: (comment) => comment.text,
  });
  return leaks;
}
