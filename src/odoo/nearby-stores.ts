// Filestores right below a folder that is none itself: what somebody meant who named the folder above (".../filestore" for
// ".../filestore/odoo"). Looks at names, two levels deep, and at few of them.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { isStoreFolder } from "./store-name.ts";

/** Folders that are looked into on each level. */
const FOLDERS_MAX = 100;
/** As many are named. */
const NAMED_MAX = 3;

/** Filestores one or two levels below `folder`, at most three. Never throws: it is for a hint. */
export function nearbyStores(folder: string): string[] {
  const level = foldersIn(folder);
  const found = level.filter(isStore);
  const nearest =
    found.length > 0
      ? found
      : level
          .flatMap((one) => foldersIn(one))
          .slice(0, FOLDERS_MAX)
          .filter(isStore);
  return nearest.slice(0, NAMED_MAX);
}

/** "Did you mean …?" for people who named the folder above; undefined when there is no filestore near. */
export function nearbyHint(folder: string): string | undefined {
  const near = nearbyStores(folder);
  return near.length === 0 ? undefined : `Name the folder of one database: ${near.join(" or ")}.`;
}

function isStore(folder: string): boolean {
  return foldersIn(folder, isStoreFolder).length > 0;
}

function foldersIn(folder: string, isWanted: (name: string) => boolean = () => true): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && isWanted(entry.name))
      .slice(0, FOLDERS_MAX)
      .map(({ name }) => join(folder, name));
  } catch {
    return [];
  }
}
