// `npm run kubernetes`: builds kube-apiserver and kube-controller-manager for the tests that use a real control plane, once for
// each machine: they go to a folder outside the checkout (test/kubernetes/cluster/binaries.ts says which). Takes about four
// minutes of two cores, needs Go, and changes nothing else.
//
//   --force   build although they are there
//   --locate  build nothing, and say what the tests will do

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  BUILT_PROGRAMS,
  KUBERNETES_CACHE,
  KUBERNETES_FOLDER,
  KUBERNETES_VERSION,
  skipWithoutCluster,
  unbuiltPrograms,
} from "../test/kubernetes/cluster/binaries.ts";

/** Where ours go, whatever KUBEBUILDER_ASSETS says: that folder is somebody else's. */
const FOLDER = join(KUBERNETES_CACHE, KUBERNETES_VERSION);

const MODULE = "k8s.io/kubernetes";

const { values: options } = parseArgs({
  options: {
    force: { type: "boolean", default: false },
    locate: { type: "boolean", default: false },
  },
});

/** Runs Go in `folder`; what it prints of its progress is shown. */
function go(folder: string, args: readonly string[]): string {
  return execFileSync("go", args, {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 64 << 20,
    env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-mod=mod", GOTOOLCHAIN: "auto" },
  });
}

/**
 * The module that the programs are built in. Kubernetes' own go.mod replaces its libraries with folders of its repository,
 * which nobody has who imports it: they are published under versions that follow from its own.
 */
function writeModule(folder: string): void {
  const { GoMod: path } = JSON.parse(
    go(folder, ["mod", "download", "-json", `${MODULE}@v${KUBERNETES_VERSION}`]),
  ) as { GoMod: string };
  const upstream = readFileSync(path, "utf8");
  const libraries = [...upstream.matchAll(/^\s*(k8s\.io\/\S+) => \.\/staging\//gm)].map(
    (match) => match[1]!,
  );
  const goVersion = /^go (\S+)$/m.exec(upstream)?.[1] ?? "1.24";
  const version = `v${KUBERNETES_VERSION.replace(/^1\./, "0.")}`;
  writeFileSync(
    join(folder, "go.mod"),
    [
      "module binaries",
      `go ${goVersion}`,
      `require ${MODULE} v${KUBERNETES_VERSION}`,
      "replace (",
      ...libraries.map((library) => `\t${library} => ${library} ${version}`),
      ")",
      "",
    ].join("\n"),
  );
  const imports = BUILT_PROGRAMS.map((name) => `import _ "${MODULE}/cmd/${name}"`);
  writeFileSync(
    join(folder, "tools.go"),
    ["//go:build tools", "", "package binaries", "", ...imports, ""].join("\n"),
  );
  go(folder, ["mod", "tidy"]);
}

/** Builds one program into FOLDER, and sees that it runs and is of the version. */
function build(folder: string, name: string): void {
  const [major, minor] = KUBERNETES_VERSION.split(".");
  const facts = {
    gitVersion: `v${KUBERNETES_VERSION}`,
    gitMajor: major,
    gitMinor: minor,
    gitTreeState: "clean",
  };
  const flags = Object.entries(facts).map(
    ([fact, value]) => `-X k8s.io/component-base/version.${fact}=${value}`,
  );
  const made = join(folder, name);
  console.error(`building ${name} …`);
  go(folder, [
    "build",
    "-trimpath",
    "-ldflags",
    ["-s -w", ...flags].join(" "),
    "-o",
    made,
    `${MODULE}/cmd/${name}`,
  ]);
  const told = execFileSync(made, ["--version"], { encoding: "utf8" }).trim();
  if (told !== `Kubernetes v${KUBERNETES_VERSION}`) throw new Error(`${name} is ${told}`);
  // Whole or not at all: tests may be looking for it. The folders may be on different disks.
  const place = join(FOLDER, name);
  execFileSync("cp", [made, `${place}.new`]);
  renameSync(`${place}.new`, place);
}

/** Builds what is missing, or all. */
function buildAll(): void {
  try {
    execFileSync("go", ["version"], { stdio: "ignore" });
  } catch {
    console.error("Go is missing, and builds them: https://go.dev/dl/.");
    process.exit(1);
  }
  mkdirSync(FOLDER, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), "holdfast-kubernetes-"));
  try {
    writeFileSync(join(folder, "go.mod"), "module binaries\n");
    writeModule(folder);
    for (const name of BUILT_PROGRAMS) build(folder, name);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (options.locate) {
  const skip = skipWithoutCluster();
  console.log(
    skip === false
      ? `Tests use the control plane in ${KUBERNETES_FOLDER}.`
      : `Tests that need a Kubernetes control plane are SKIPPED: ${skip}.`,
  );
} else {
  if (options.force || unbuiltPrograms().length > 0) buildAll();
  for (const name of BUILT_PROGRAMS) console.log(`${name} ${KUBERNETES_VERSION}: ${FOLDER}`);
}
