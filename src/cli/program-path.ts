// Where this program's starter lies, for those who are to run it later: a restored server does. Its sources, its modules and
// its single file lie at different depths of the package.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** The path of `bin/holdfast` of the package that the folder `from` is in; the bare name where there is none. */
export function programPath(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    const program = join(folder, "bin", "holdfast");
    if (existsSync(program) && existsSync(join(folder, "package.json"))) return program;
    if (folder === dirname(folder)) return "holdfast";
  }
}
