import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseArchive, parseAptSources } from "./apt-archive.ts";

const STANZAS = `# comment
Types: deb
# URIs: http://old.example.org/debian
URIs: http://mirror.example.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb
URIs: http://mirror.example.org/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example.org/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://sources.example.org/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
`;

test("stanzas: enabled binary sources, comments ignored", () => {
  assert.deepEqual(parseAptSources("debian.sources", STANZAS), [
    {
      uri: "http://mirror.example.org/debian",
      suites: ["bookworm", "bookworm-updates"],
      components: ["main"],
      signedBy: "/usr/share/keyrings/archive.gpg",
    },
    {
      uri: "http://mirror.example.org/debian-security",
      suites: ["bookworm-security"],
      components: ["main"],
      signedBy: undefined,
    },
  ]);
});

test("lines: with and without options", () => {
  const text = `# deb http://no.example.org/debian bookworm main
deb-src http://mirror.example.org/debian bookworm main
deb [arch=amd64 signed-by=/etc/key.gpg] http://mirror.example.org/debian bookworm main contrib
deb http://other.example.org/apt other-bookworm main
`;
  const [first, second, ...rest] = parseAptSources("sources.list", text);
  assert.deepEqual(first, {
    uri: "http://mirror.example.org/debian",
    suites: ["bookworm"],
    components: ["main", "contrib"],
    signedBy: "/etc/key.gpg",
  });
  assert.equal(second?.uri, "http://other.example.org/apt");
  assert.deepEqual(rest, []);
});

test("files that apt does not read give nothing", () => {
  assert.deepEqual(parseAptSources("debian.sources.bak", STANZAS), []);
});

test("the archive is the one of the release, not security updates or somebody else's", () => {
  const sources = [
    ...parseAptSources("a.list", "deb http://other.example.org/apt other-bookworm main"),
    ...parseAptSources("b.list", "deb http://docker.example.org/debian bookworm stable"),
    ...parseAptSources("c.list", "deb http://mirror.example.org/debian-security bookworm main"),
    ...parseAptSources("d.sources", STANZAS),
  ];
  assert.equal(chooseArchive(sources, "bookworm")?.uri, "http://mirror.example.org/debian");
  assert.equal(chooseArchive(sources, "trixie"), undefined);
});
