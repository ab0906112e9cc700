// The real programs our formats are tested against: which exist here, and where. `npm run peers` installs them and
// records what it found in .peers/peers.json; without that record whatever is on PATH serves. A missing peer is a
// skip with its reason, and a failure when REQUIRE_PEERS=1. This file never installs anything.

import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Folder of installed peers, and the record of where each one is. */
export const PEERS_FOLDER: string =
  process.env["HOLDFAST_PEERS"] ?? join(import.meta.dirname, "..", ".peers");
export const PEERS_RECORD: string = join(PEERS_FOLDER, "peers.json");

export interface PeerNeed {
  /** Name of the program on PATH. */
  readonly program: string;
  /** Arguments that print its version; without them it is the one that the Go compiler recorded in the program. */
  readonly versionArguments?: readonly string[];
  /** Oldest version that serves, and the version from which it no longer does. */
  readonly from: string;
  readonly before?: string;
  /** Folder where the system keeps it, when that is not on PATH. */
  readonly folder?: string;
  /** What it is for; "benchmark" peers are never required. */
  readonly use: "interop" | "benchmark";
}

export type PeerName =
  | "restic-oldest"
  | "restic-newest"
  | "rclone"
  | "rest-server"
  | "versitygw"
  | "fake-gcs-server"
  | "getfattr"
  | "setfattr"
  | "sops-newest"
  | "sops-3.13.1"
  | "sops-old"
  | "age"
  | "age-keygen"
  | "gpg"
  | "barman-oldest"
  | "barman-newest"
  | "postgres-13"
  | "postgres-14"
  | "postgres-15"
  | "postgres-16"
  | "postgres-17"
  | "postgres-18"
  | "etcd"
  | "kubectl"
  | "helm"
  | "promtool"
  | "lua"
  | "rustic"
  | "kopia"
  | "borg";

const restic = { program: "restic", versionArguments: ["version"], use: "interop" } as const;
const sops = { program: "sops", use: "interop" } as const;
const age = { versionArguments: ["--version"], from: "1.1.0", use: "interop" } as const;
/** A Python that has Barman's modules: tests ask those, not the programs, which want a server. */
const barman = {
  program: "python3",
  versionArguments: ["-c", "import barman; print(barman.__version__)"],
  use: "interop",
} as const;
/** The server of a major version; initdb and pg_ctl lie beside it. */
function postgres(major: number): PeerNeed {
  return {
    program: "postgres",
    folder: `/usr/lib/postgresql/${major}/bin`,
    versionArguments: ["--version"],
    from: `${major}.0`,
    before: `${major + 1}.0`,
    use: "interop",
  };
}
const attr = { versionArguments: ["--version"], from: "2.4.0", use: "interop" } as const;
const benchmark = { versionArguments: ["--version"], use: "benchmark" } as const;

/** Every peer by the name the tests use. */
export const PEERS: Readonly<Record<PeerName, PeerNeed>> = {
  "restic-oldest": { ...restic, from: "0.14.0", before: "0.15.0" },
  "restic-newest": { ...restic, from: "0.18.0" },
  rclone: { program: "rclone", versionArguments: ["version"], from: "1.60.0", use: "interop" },
  "rest-server": {
    program: "rest-server",
    versionArguments: ["--version"],
    from: "0.12.0",
    use: "interop",
  },
  versitygw: { program: "versitygw", from: "1.0.0", use: "interop" },
  "fake-gcs-server": { program: "fake-gcs-server", from: "1.50.0", use: "interop" },
  getfattr: { ...attr, program: "getfattr" },
  setfattr: { ...attr, program: "setfattr" },
  "sops-newest": { ...sops, from: "3.13.2" },
  // The last that reads comments which older versions stored as items of lists.
  "sops-3.13.1": { ...sops, from: "3.13.1", before: "3.13.2" },
  "sops-old": { ...sops, from: "3.8.0", before: "3.11.0" },
  age: { ...age, program: "age" },
  "age-keygen": { ...age, program: "age-keygen" },
  gpg: { program: "gpg", versionArguments: ["--version"], from: "2.2.0", use: "interop" },
  "barman-oldest": { ...barman, from: "3.4.0", before: "3.5.0" },
  "barman-newest": { ...barman, from: "3.17.0" },
  "postgres-13": postgres(13),
  "postgres-14": postgres(14),
  "postgres-15": postgres(15),
  "postgres-16": postgres(16),
  "postgres-17": postgres(17),
  "postgres-18": postgres(18),
  etcd: { program: "etcd", versionArguments: ["--version"], from: "3.5.0", use: "interop" },
  kubectl: {
    program: "kubectl",
    versionArguments: ["version", "--client"],
    from: "1.35.0",
    use: "interop",
  },
  helm: {
    program: "helm",
    versionArguments: ["version", "--short"],
    from: "3.14.0",
    use: "interop",
  },
  promtool: {
    program: "promtool",
    versionArguments: ["--version"],
    from: "2.42.0",
    use: "interop",
  },
  lua: { program: "lua5.4", versionArguments: ["-v"], from: "5.4.0", use: "interop" },
  rustic: { ...benchmark, program: "rustic", from: "0.9.0" },
  kopia: { ...benchmark, program: "kopia", from: "0.17.0" },
  borg: { ...benchmark, program: "borg", from: "1.2.0" },
};

/** A peer that answered with a version that serves, or the reason why there is none. */
export type PeerStatus =
  | { readonly path: string; readonly version: string; readonly source: string }
  | { readonly missing: string };

/** Negative, zero or positive as dotted version `a` is older than, equal to or newer than `b`. */
export function compareVersions(a: string, b: string): number {
  const left = a.split(".").map(Number);
  const right = b.split(".").map(Number);
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** What the program prints of its version, or else the line that the Go compiler left in it. */
function printed(path: string, words: readonly string[] | undefined): string {
  const [program, given] = words ? [path, words] : ["go", ["version", "-m", path]];
  const output = execFileSync(program, given, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    timeout: 30_000,
  });
  return words ? output : (/^\s+mod\s.*$/m.exec(output)?.[0] ?? "");
}

function versionIn(text: string): string | undefined {
  return /\d+\.\d+(?:\.\d+)?/.exec(text)?.[0];
}

/** Asks the program at `path` for its version and judges whether it serves as `name`. */
export function probePeer(name: PeerName, path: string, source: string): PeerStatus {
  const need = PEERS[name];
  let version: string | undefined;
  try {
    version = versionIn(printed(path, need.versionArguments));
  } catch (error) {
    return { missing: `${path} does not run: ${(error as Error).message.split("\n")[0]}` };
  }
  if (version === undefined) return { missing: `${path} does not tell its version` };
  const tooOld = compareVersions(version, need.from) < 0;
  const tooNew = need.before !== undefined && compareVersions(version, need.before) >= 0;
  if (!tooOld && !tooNew) return { path, version, source };
  const wanted = need.before
    ? `${need.from} up to, not including, ${need.before}`
    : `${need.from} or newer`;
  return { missing: `${path} is ${version}, wanted ${wanted}` };
}

/** Looks for `name` in its own folder, if it has one, and on PATH. */
export function locatePeer(name: PeerName): PeerStatus {
  const { program, folder: own } = PEERS[name];
  const onPath = (process.env["PATH"] ?? "").split(delimiter);
  for (const folder of own === undefined ? onPath : [own, ...onPath]) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
    } catch {
      continue;
    }
    return probePeer(name, path, folder === own ? "the system" : "PATH");
  }
  return { missing: `no ${program} on PATH` };
}

let recorded: Partial<Record<string, PeerStatus>> | undefined;

/** Where `name` is, from the record or else from PATH. */
export function peerStatus(name: PeerName): PeerStatus {
  recorded ??= existsSync(PEERS_RECORD)
    ? (JSON.parse(readFileSync(PEERS_RECORD, "utf8")) as Partial<Record<string, PeerStatus>>)
    : {};
  const known = recorded[name];
  if (known !== undefined && "path" in known && existsSync(known.path)) return known;
  return (recorded[name] = locatePeer(name));
}

/** A peer as a test needs it: `path` to run, or `skip`, the reason to hand to `test(name, { skip }, …)`. */
export interface Peer {
  /** Throws with the reason when the peer is missing. */
  readonly path: string;
  readonly version: string;
  /** False when the peer is here, or when it is required, so that the test runs and fails on `path`. */
  readonly skip: string | false;
}

/** The peer called `name`. */
export function peer(name: PeerName): Peer {
  const status = peerStatus(name);
  if ("path" in status) return { path: status.path, version: status.version, skip: false };
  const reason = `${name}: ${status.missing}; \`npm run peers\` installs it`;
  return {
    get path(): string {
      throw new Error(`missing peer ${reason}`);
    },
    get version(): string {
      throw new Error(`missing peer ${reason}`);
    },
    skip: process.env["REQUIRE_PEERS"] === "1" ? false : reason,
  };
}

/** Path of the oldest restic that knows repository format 2, or of the newest one. Throws when it is missing. */
export function resticPath(which: "oldest" | "newest"): string {
  return peer(`restic-${which}`).path;
}

/** The reason to skip a test that needs all of `names`, or false. */
export function skipWithout(...names: PeerName[]): string | false {
  return names.map((name) => peer(name).skip).find((skip) => skip !== false) ?? false;
}
