// Finds Debian's main archive in the package sources of this machine, of both forms (deb822 stanzas and single lines),
// so that other releases can be fetched from where the machine's own packages come from. Only reads.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A package source, as far as we need it. */
export interface AptSource {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** File of the keys that sign it. */
  readonly signedBy: string | undefined;
}

/** The sources in the text of a file called `name`; none when apt would not read a file of that name. */
export function parseAptSources(name: string, text: string): AptSource[] {
  const plain = text.replace(/^\s*#.*(?:\n|$)/gm, "");
  if (name.endsWith(".sources")) return plain.split(/\n\s*\n/).flatMap(parseStanza);
  return name.endsWith(".list") ? plain.split("\n").flatMap(parseLine) : [];
}

function parseStanza(stanza: string): AptSource[] {
  const field = (name: string): string[] =>
    new RegExp(`^${name}:[ \\t]*(.*(?:\\n[ \\t]+.*)*)`, "mi")
      .exec(stanza)?.[1]
      ?.trim()
      .split(/\s+/) ?? [];
  if (!field("Types").includes("deb") || field("Enabled")[0] === "no") return [];
  const key = field("Signed-By");
  return field("URIs").map((uri) => ({
    uri,
    suites: field("Suites"),
    components: field("Components"),
    // A key may also stand in the stanza itself; apt then finds the archive's key on its own.
    signedBy: key.length === 1 ? key[0] : undefined,
  }));
}

function parseLine(line: string): AptSource[] {
  const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)$/.exec(line.trim());
  if (!match) return [];
  return [
    {
      uri: match[2]!,
      suites: [match[3]!],
      components: match[4]!.trim().split(/\s+/),
      signedBy: /signed-by=(\S+)/.exec(match[1] ?? "")?.[1],
    },
  ];
}

/** The source among `sources` that serves the main archive of the release called `codename`. */
export function chooseArchive(
  sources: readonly AptSource[],
  codename: string,
): AptSource | undefined {
  const releases = new Set([codename, "stable", "testing", "unstable", "sid"]);
  return sources.find(
    ({ uri, suites, components }) =>
      components.includes("main") &&
      suites.some((suite) => releases.has(suite)) &&
      !uri.includes("security"),
  );
}

const APT = "/etc/apt";

/** The machine's source of Debian's main archive. Throws when it is no Debian, or has none. */
export function debianArchive(): AptSource {
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  if (!/^ID=debian$/m.test(release)) throw new Error("this machine does not run Debian");
  const parts = join(APT, "sources.list.d");
  const files = [
    join(APT, "sources.list"),
    ...(existsSync(parts) ? readdirSync(parts).map((name) => join(parts, name)) : []),
  ].filter((path) => existsSync(path));
  const sources = files.flatMap((path) => parseAptSources(path, readFileSync(path, "utf8")));
  const codename = /^VERSION_CODENAME=(\S+)$/m.exec(release)?.[1] ?? "sid";
  const archive = chooseArchive(sources, codename);
  if (!archive) throw new Error("no source of Debian's main archive in apt's configuration");
  return archive;
}
