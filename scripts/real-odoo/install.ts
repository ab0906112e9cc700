// A real Odoo 19 without an installation: Debian's package of it, and whatever of its Python modules, fonts and scripts this
// machine's own release has, unpacked below .peers/. Nothing outside changes, and no package's script is run. Odoo is under
// the LGPL: it is started by our run against it and never becomes part of what we ship.

import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { PEERS_FOLDER } from "../../test/peers.ts";
import { privateApt, run } from "../peer-sources.ts";

/** An Odoo that can be started. */
export interface OdooProgram {
  /** The system's Python: those modules are compiled for it. */
  readonly python: string;
  /** The program `odoo`. */
  readonly program: string;
  /** Where Python and the linker find what was unpacked. */
  readonly environment: Readonly<Record<string, string>>;
  /** Version of Debian's package. */
  readonly version: string;
}

const PACKAGE = "odoo-19";
const PYTHON = "/usr/bin/python3";

/** What the older release calls a dependency, or has in another package. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  "python3-lxml-html-clean": "python3-lxml",
  "python3-pypdf": "python3-pypdf2",
  "python3-pytz": "python3-tz",
};
/** The run brings its own server, and Odoo must not be put under an account of the system. */
const NOT_WANTED: ReadonlySet<string> = new Set(["adduser", "postgresql-client", "python3"]);
/** Odoo links to these inside its own tree: they must lie beside it, whether or not the system has them. */
const LINKED = /^(?:fonts-|libjs-|gsfonts)/;

/** Fetches and unpacks Odoo unless an earlier run did. `release`: Debian's release of this machine, "bookworm". */
export function installOdoo(release: string): OdooProgram {
  const folder = join(PEERS_FOLDER, PACKAGE);
  const root = join(folder, "root");
  const record = join(folder, "version");
  if (!existsSync(record)) {
    rmSync(folder, { recursive: true, force: true });
    const archives = join(folder, "archives");
    mkdirSync(archives, { recursive: true });
    download("sid", [PACKAGE], archives);
    const version = field(archiveOf(archives, PACKAGE), "Version");
    fetchDependencies({ archives, release });
    const made = join(folder, "unpacked");
    for (const name of readdirSync(archives)) run("dpkg-deb", ["-x", join(archives, name), made]);
    renameSync(made, root);
    rmSync(archives, { recursive: true });
    writeFileSync(record, `${version}\n`);
  }
  const modules = join(root, "usr/lib/python3/dist-packages");
  const cache = join(folder, "compiled");
  if (!existsSync(cache)) {
    mkdirSync(cache);
    chmodSync(cache, 0o777);
  }
  return {
    python: PYTHON,
    program: join(root, "usr/bin/odoo"),
    environment: {
      PYTHONPATH: modules,
      LD_LIBRARY_PATH: join(root, "usr/lib", triplet()),
      // Modules are compiled once, to where Odoo's account may write.
      PYTHONPYCACHEPREFIX: cache,
    },
    version: readFileSync(record, "utf8").trim(),
  };
}

/** Its folders of addons. */
export function modulesOf({ environment }: OdooProgram): string[] {
  const packages = environment["PYTHONPATH"]!;
  return [join(packages, "odoo", "addons"), join(packages, "addons")];
}

/** The release of Debian that this machine runs. */
export function debianRelease(): string {
  const text = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  return /^VERSION_CODENAME=(\S+)$/m.exec(text)?.[1] ?? "bookworm";
}

function fetchDependencies(wanted: { archives: string; release: string }): void {
  const { archives, release } = wanted;
  const names = dependenciesOf(field(archiveOf(archives, PACKAGE), "Depends"));
  const apt = privateApt(release);
  const known = names.filter((name) => isKnown(apt, name));
  const linked = known.filter((name) => LINKED.test(name));
  // What the machine lacks, with all that belongs to it; nothing is installed, and nobody's lock is taken.
  const quiet = ["-y", "--no-install-recommends", "--download-only", "-o", "Debug::NoLocking=1"];
  const cache = ["-o", `Dir::Cache::archives=${archives}`];
  mkdirSync(join(archives, "partial"), { recursive: true });
  run("apt-get", [...apt, ...quiet, ...cache, "install", ...known]);
  rmSync(join(archives, "partial"), { recursive: true });
  rmSync(join(archives, "lock"), { force: true });
  download(release, linked, archives);
  // Fonts that the older release does not have are the same files in the newer one.
  const unknown = names.filter((name) => !known.includes(name));
  const newer = unknown.filter((name) => LINKED.test(name));
  if (newer.length > 0) download("sid", newer, archives);
  const lost = unknown.filter((name) => !LINKED.test(name));
  if (lost.length > 0) throw new Error(`Debian ${release} has no ${lost.join(", ")}`);
}

function download(suite: string, names: readonly string[], folder: string): void {
  run("apt-get", [...privateApt(suite), "download", ...names], { cwd: folder });
}

function archiveOf(folder: string, name: string): string {
  const found = readdirSync(folder).find((entry) => entry.startsWith(`${name}_`));
  if (found === undefined) throw new Error(`apt-get downloaded no ${name}`);
  return join(folder, found);
}

function field(archive: string, name: string): string {
  return execFileSync("dpkg-deb", ["-f", archive, name], { encoding: "utf8" }).trim();
}

function isKnown(apt: readonly string[], name: string): boolean {
  try {
    run("apt-cache", [...apt, "show", "--no-all-versions", name]);
    return true;
  } catch {
    return false;
  }
}

function triplet(): string {
  return process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
}

/** The packages that a `Depends` field asks for, under the names of the older release; the first of alternatives. */
export function dependenciesOf(depends: string): string[] {
  const names = depends
    .split(",")
    .map((entry) => entry.split("|")[0]!.trim())
    .map((entry) => /^[a-z0-9.+-]+/.exec(entry)?.[0] ?? "")
    .filter((name) => name !== "" && !NOT_WANTED.has(name))
    .map((name) => OTHER_NAMES[name] ?? name);
  return [...new Set(names)];
}
