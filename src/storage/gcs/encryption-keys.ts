// Under which keys of Cloud KMS the service says that objects lie: counted for people, and compared with the one that is
// required.

import { HoldfastError } from "../../base/errors.ts";
import type { ObjectResource } from "./answers.ts";

export class EncryptionKeys {
  /** Names of key versions, and how many objects that we met lie under each; "" for Google's own keys. */
  readonly seen: Map<string, number> = new Map();
  readonly #required: string | undefined;

  constructor(required: string | undefined) {
    this.#required = required;
  }

  /** Takes note of an object's key. STORAGE_WRONG_KEY when it is not the required one. */
  accept(key: string, { kmsKeyName = "" }: ObjectResource): void {
    this.seen.set(kmsKeyName, (this.seen.get(kmsKeyName) ?? 0) + 1);
    const used = kmsKeyName.replace(/\/cryptoKeyVersions\/\d+$/, "");
    if (this.#required === undefined || used === this.#required) return;
    const which = used === "" ? "no customer-managed key" : `the key ${used}`;
    throw new HoldfastError("STORAGE_WRONG_KEY", `${key} is encrypted with ${which}`, {
      hint: `Required is ${this.#required}. An object that existed before must be rewritten with that key, or the requirement dropped.`,
    });
  }
}
