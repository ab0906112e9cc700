// The ways to get a peer program: a Debian package unpacked into .peers/, a Go, Rust, Python or npm package put into it,
// or a package of the machine's own system. Each returns the program's path or throws one line that says why not.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { PEERS_FOLDER } from "../test/peers.ts";
import { debianArchive } from "./apt-archive.ts";

/** Runs a program quietly; throws its last line of complaint. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): void {
  try {
    execFileSync(program, args, {
      stdio: ["ignore", "ignore", "pipe"],
      timeout: 15 * 60_000,
      maxBuffer: 64 << 20,
      ...options,
      env: { ...process.env, ...options.env },
    });
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: Buffer };
    if (code === "ENOENT") throw new Error(`no ${program} on this machine`, { cause: error });
    const lines = (stderr?.toString() ?? "").trim().split("\n");
    const complaint = lines.find((line) => line.startsWith("E: ")) ?? lines.at(-1);
    throw new Error(`${program} failed: ${complaint?.trim() || "no reason given"}`, {
      cause: error,
    });
  }
}

interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const updated = new Map<string, readonly string[]>();

/** Options of an apt that knows only the main archive of `suite` and keeps its state in .peers/. */
export function privateApt(suite: string): readonly string[] {
  const known = updated.get(suite);
  if (known) return known;
  const { uri, signedBy } = debianArchive();
  const state = join(PEERS_FOLDER, "apt", suite);
  for (const folder of ["lists/partial", "cache/archives/partial"]) {
    mkdirSync(join(state, folder), { recursive: true });
  }
  const list = join(state, "sources.list");
  const key = signedBy ? `[signed-by=${signedBy}] ` : "";
  writeFileSync(list, `deb ${key}${uri} ${suite} main\n`);
  const settings = {
    "Dir::Etc::sourcelist": list,
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::Etc::preferencesparts": "/dev/null",
    // A package of the same name that this machine got elsewhere would count as the newer one.
    "Dir::State::status": "/dev/null",
    "Dir::State::Lists": join(state, "lists"),
    "Dir::Cache": join(state, "cache"),
    "Acquire::Languages": "none",
    "Acquire::Retries": "3",
    // The unprivileged user that apt fetches as cannot enter a folder of ours.
    "APT::Sandbox::User": "root",
    // Hooks of the machine are about its own cache.
    "APT::Update::Post-Invoke": "",
    "APT::Update::Post-Invoke-Success": "",
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  run("apt-get", [...options, "update"]);
  updated.set(suite, options);
  return options;
}

/** Unpacks package `name` of Debian `suite` below .peers/; the path of `program` in it. */
export function debianPackage(wanted: { suite: string; name: string; program: string }): string {
  const options = privateApt(wanted.suite);
  const folder = join(PEERS_FOLDER, `debian-${wanted.suite}`);
  mkdirSync(folder, { recursive: true });
  const archives = (): string[] =>
    readdirSync(folder).filter(
      (name) => name.startsWith(`${wanted.name}_`) && name.endsWith(".deb"),
    );
  for (const earlier of archives()) rmSync(join(folder, earlier));
  run("apt-get", [...options, "download", wanted.name], { cwd: folder });
  const [archive] = archives();
  if (!archive) throw new Error(`apt-get downloaded no ${wanted.name}`);
  const tree = join(folder, archive.slice(0, -".deb".length));
  run("dpkg-deb", ["-x", join(folder, archive), tree]);
  return join(tree, wanted.program);
}

/** Builds a Go program below .peers/; its path. */
export function goInstall(wanted: { module: string; version: string }): string {
  const folder = join(PEERS_FOLDER, `go-${wanted.version}`);
  run("go", ["install", `${wanted.module}@${wanted.version}`], {
    env: { GOBIN: folder, CGO_ENABLED: "0", GOFLAGS: "" },
  });
  return join(folder, wanted.module.split("/").at(-1)!);
}

/** Builds a Rust program below .peers/; its path. */
export function cargoInstall(crate: string, program: string): string {
  const folder = join(PEERS_FOLDER, "cargo");
  run("cargo", ["install", "--locked", "--root", folder, crate]);
  return join(folder, "bin", program);
}

/**
 * Installs a Python package into an environment of its own below .peers/, with `needs` in place of what it asks for:
 * that may have to be compiled. The path of that environment's Python.
 */
export function pythonInstall(wanted: {
  name: string;
  version: string;
  needs: readonly string[];
}): string {
  const { name, version, needs } = wanted;
  const folder = join(PEERS_FOLDER, `python-${name}${version.replace(/[^\d.]+/g, "-")}`);
  run("python3", ["-m", "venv", folder]);
  const python = join(folder, "bin", "python3");
  const pip = ["-m", "pip", "install", "--quiet"];
  run(python, [...pip, ...needs]);
  run(python, [...pip, "--no-deps", name + version]);
  return python;
}

/**
 * Puts a Python package of Debian `suite` into an environment that has an earlier version of it from `pythonInstall`, whose
 * programs then run the newer modules. The path of that environment's Python.
 */
export function debianPython(wanted: {
  suite: string;
  name: string;
  module: string;
  environment: () => string;
}): string {
  const { suite, name, module } = wanted;
  const python = wanted.environment();
  const newer = debianPackage({ suite, name, program: "usr/lib/python3/dist-packages" });
  const libraries = join(dirname(python), "..", "lib");
  const version = readdirSync(libraries).find((entry) => entry.startsWith("python3"));
  if (!version) throw new Error(`${libraries} has no Python`);
  const place = join(libraries, version, "site-packages");
  // The module, and the folder that tells its version.
  const isOurs = (entry: string): boolean => entry === module || entry.startsWith(`${module}-`);
  for (const entry of readdirSync(place).filter(isOurs)) {
    rmSync(join(place, entry), { recursive: true, force: true });
  }
  for (const entry of readdirSync(newer).filter(isOurs)) {
    symlinkSync(join(newer, entry), join(place, entry));
  }
  return python;
}

/** Installs an npm package below .peers/; the path of `program` in it. */
export function npmInstall(wanted: { name: string; version: string; program: string }): string {
  const { name, version, program } = wanted;
  const folder = join(PEERS_FOLDER, `npm-${name.replace(/\W+/g, "-")}-${version}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), "{}\n");
  const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"];
  run("npm", ["install", ...quiet, `${name}@${version}`], { cwd: folder });
  const tree = join(folder, "node_modules", name);
  // Packages hold no links: this one's own script makes them, and is all of it that is run.
  const script = join(tree, "scripts", "hydrate-symlinks.js");
  if (existsSync(script)) run(process.execPath, [script], { cwd: tree });
  return join(tree, program);
}

/** Installs a package of the machine's own system, for programs that cannot be unpacked elsewhere; its path. */
export function systemPackage(name: string, program: string): string {
  if (process.getuid?.() !== 0) {
    throw new Error(`needs root: run \`apt-get install ${name}\` as root, then again`);
  }
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  run("apt-get", ["update"], { env });
  run("apt-get", ["install", "-y", "--no-install-recommends", name], { env });
  return resolve("/usr/bin", program);
}
