// `npm run release-check`: builds the package, lints its manifest, packs it, installs the tarball in an empty folder
// and uses it there as a stranger would: every public module loads, and the command brings a file back. TypeScript
// sources never run from node_modules, so only this shows that what we publish works.

import { execFileSync } from "node:child_process";
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, matchesGlob } from "node:path";
import { generateIdentity, identityToRecipient } from "age-encryption";

const root = join(import.meta.dirname, "..");

function run(program: string, args: readonly string[], cwd: string): string {
  return execFileSync(program, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      HOLDFAST_NODE: process.execPath,
      RESTIC_PASSWORD: "release",
      SOPS_AGE_KEY_FILE: "key.txt",
    },
  });
}

/** The specifiers of all public modules: what the patterns in `exports` match in dist/. */
function publicModules(): string[] {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    name: string;
    exports: Record<string, string | null>;
  };
  const rules = Object.entries(manifest.exports);
  const hidden = rules.filter(([, target]) => target === null).map(([subpath]) => subpath);
  return rules
    .flatMap(([subpath, target]) =>
      globSync(target ?? [], { cwd: root }).map((file) =>
        subpath.replace("*", basename(file, ".js")),
      ),
    )
    .filter((subpath) => !hidden.some((pattern) => matchesGlob(subpath, pattern)))
    .map((subpath) => join(manifest.name, subpath));
}

function sameContent(a: string, b: string): boolean {
  return readFileSync(a).equals(readFileSync(b));
}

const folder = mkdtempSync(join(tmpdir(), "holdfast-package-"));
try {
  run(process.execPath, [join(root, "scripts", "build.ts")], root);
  run("publint", ["--strict", "--level", "warning"], root);
  run("npm", ["pack", "--silent", "--pack-destination", folder], root);
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;

  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
  run("npm", ["install", ...quiet, `./${tarball}`], folder);

  const modules = publicModules();
  if (modules.length === 0) throw new Error("the package exports nothing");
  const loader = modules.map((name) => `await import(${JSON.stringify(name)});`).join("\n");
  writeFileSync(join(folder, "load.js"), loader);
  run(process.execPath, ["load.js"], folder);

  const holdfast = (...args: string[]): string =>
    run(join("node_modules", ".bin", "holdfast"), ["--repo", "repository", ...args], folder).trim();
  mkdirSync(join(folder, "source"));
  cpSync(join(root, "LICENSE"), join(folder, "source", "file"));
  holdfast("init");
  holdfast("backup", "source");
  holdfast("restore", "latest", "--target", "restored");
  const restored = globSync("restored/**/file", { cwd: folder });
  if (restored.length !== 1 || !sameContent(join(folder, restored[0]!), join(root, "LICENSE"))) {
    throw new Error("the installed command did not bring the file back");
  }
  const identity = await generateIdentity();
  writeFileSync(join(folder, "key.txt"), `${identity}\n`);
  const recipient = await identityToRecipient(identity);
  const rule = `  - age: ${recipient}\n    encrypted_regex: ^(data|stringData)$\n`;
  writeFileSync(join(folder, ".sops.yaml"), `creation_rules:\n${rule}`);
  holdfast("secrets", "init", "secret.enc.yaml", join(folder, "repository-2"));
  holdfast("secrets", "check", "secret.enc.yaml", "--require-key");
  if (holdfast("secrets", "get", "secret.enc.yaml", "stringData.RESTIC_PASSWORD").length < 40) {
    throw new Error("the installed command did not open its own secret");
  }
  const version = holdfast("version");
  console.log(`${tarball}: ${modules.length} public modules load, and it says: ${version}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
