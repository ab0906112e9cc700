// Random YAML documents in the notations that people write, from a seed.

import fc from "fast-check";

const NOTATIONS = [
  "0644",
  "0o17",
  "0x1F",
  "0b11",
  "1_000",
  "-42",
  "+7",
  "08",
  "0",
  "-0",
  "1e3",
  "1.",
  ".5",
  "-1.5e-9",
  "1e22",
  "123456789.25",
  ".inf",
  "-.INF",
  ".nan",
  "true",
  "False",
  "null",
  "~",
  "",
  "yes",
  "off",
  "n",
  "2024-01-01",
  "2024-1-2",
  "2001-12-14t21:59:43.10-05:00",
  "2001-12-14 21:59:43.10",
  "2024-02-30",
  "12:30:45",
  "9223372036854775807",
  "-9223372036854775808",
  "123456789012345678901234567890",
  "1.2.3",
  "plain words",
  "a#b",
  "http://host:80/x?y=z",
  "'it''s'",
  "'0644'",
  '"tab\\there"',
  '" lead"',
  '"trail "',
  '"two\\nlines\\n"',
  '"two\\nlines"',
  '"x\\n\\n"',
  '"\\u00e9 \\U0001F600"',
  '"a: b"',
  '"- x"',
  '"# no"',
  '"%"',
  '"{"',
  '"\\0\\e"',
  "!!float 3",
  "!!str 12",
  "!!binary aGVsbG8=",
];

/** SOPS prints blocks that begin with a space or have a tab before a line so that it cannot read them again. */
function readable(text: string): string {
  return text.replace(/^\s+/, "").replace(/\n\t+/g, "\n");
}

const scalar = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...NOTATIONS) },
  fc
    .string({
      unit: fc.constantFrom("a", "é", " ", ":", "#", "'", '"', "\\", "\n", "-", "1", "\t", ">"),
    })
    .map((text) => JSON.stringify(text.includes("\n") ? readable(text) : text)),
  // A whole number of more than 63 bits is one that SOPS refuses.
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number.toExponential()),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
);

const key = fc.oneof(
  fc.constantFrom(
    "password",
    "a b",
    "data",
    "x_unencrypted",
    "stringData",
    '"1"',
    '"true"',
    "'y'",
    "k.l",
    "__proto__",
    "é",
    "a:b",
  ),
  fc
    .string({ unit: fc.constantFrom("a", "b", "c", "_", "-"), minLength: 1, maxLength: 5 })
    .map((text) => JSON.stringify(text)),
);

type Shape =
  | string
  | { readonly map: readonly (readonly [string, Shape])[] }
  | { readonly list: readonly Shape[] };

const { shape } = fc.letrec<{ shape: Shape; map: Shape }>((tie) => ({
  map: fc
    .uniqueArray(fc.tuple(key, tie("shape")), {
      selector: ([name]) => name.replace(/["']/g, ""),
      minLength: 1,
      maxLength: 4,
    })
    .map((map) => ({ map })),
  shape: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    scalar,
    tie("map"),
    fc.array(tie("shape"), { minLength: 1, maxLength: 4 }).map((list) => ({ list })),
  ),
}));

function print(node: Shape, indent: string): string {
  if (typeof node === "string") return ` ${node}\n`;
  const inner = `${indent}  `;
  if ("list" in node)
    return `\n${node.list.map((item) => `${inner}-${print(item, inner)}`).join("")}`;
  return `\n${node.map.map(([name, item]) => `${inner}${name}:${print(item, inner)}`).join("")}`;
}

/** `count` documents, each the text of a mapping. */
export function randomDocuments(count: number, seed: number): string[] {
  const map = fc.uniqueArray(fc.tuple(key, shape), {
    selector: ([name]) => name.replace(/["']/g, ""),
    minLength: 1,
    maxLength: 6,
  });
  return fc
    .sample(map, { numRuns: count, seed })
    .map((entries) =>
      entries
        .map(([name, item]) => `# about ${name.replace(/\W/g, "")}\n${name}:${print(item, "")}`)
        .join(""),
    );
}
