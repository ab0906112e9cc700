// What new files of a directory are born with: the owner and the mode that the kernel gives them, which depend on the
// process, the directory's setgid bit and default ACL, and the mount. Asking once for each directory saves two calls
// for each file that is born as it should be.

import { fstatSync } from "node:fs";

const PERMISSIONS = 0o777;
const ALL_BITS = 0o7777;
/** Nobody else may open a file while its owner or mode is not final. */
const PRIVATE = 0o600;
const DIRECTORIES_MAX = 1024;

interface Birthmark {
  uid: number;
  gid: number;
  /** For each mode that was asked for: whether it was granted. */
  modes: Map<number, boolean>;
}

export interface WantedBirth {
  /** Permission bits with setuid, setgid and sticky. */
  mode: number;
  /** undefined when owners are not set. */
  owner: { uid: number; gid: number } | undefined;
}

export class Birthmarks {
  readonly #byDirectory = new Map<string, Birthmark>();

  /** The mode to make a file at `path` with. */
  modeFor(path: string, wanted: WantedBirth): number {
    const mark = this.#byDirectory.get(directoryOf(path));
    return mark !== undefined && isPlain(wanted.mode) && hasOwner(mark, wanted)
      ? wanted.mode
      : PRIVATE;
  }

  /** What a file that was just made with `made`, the answer of modeFor, still lacks. */
  lacks(
    path: string,
    descriptor: number,
    made: number,
    wanted: WantedBirth,
  ): { owner: boolean; mode: boolean } {
    const directory = directoryOf(path);
    let mark = this.#byDirectory.get(directory);
    if (mark === undefined) {
      const { uid, gid } = fstatSync(descriptor);
      mark = { uid, gid, modes: new Map() };
      if (this.#byDirectory.size >= DIRECTORIES_MAX) this.#byDirectory.clear();
      this.#byDirectory.set(directory, mark);
    }
    let granted = mark.modes.get(made);
    if (granted === undefined) {
      granted = (fstatSync(descriptor).mode & ALL_BITS) === made;
      mark.modes.set(made, granted);
    }
    return { owner: !hasOwner(mark, wanted), mode: !granted || made !== wanted.mode };
  }
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function isPlain(mode: number): boolean {
  return (mode & PERMISSIONS) === mode;
}

function hasOwner(mark: Birthmark, { owner }: WantedBirth): boolean {
  return owner === undefined || (owner.uid === mark.uid && owner.gid === mark.gid);
}
