// YAML to trees, one for each document of the file, as Go's YAML library and SOPS understand it: anchors are expanded, `<<` is a key
// like any other, keys are strings. Implements docs/formats/sops.md#yaml. The syntax is the `yaml` package's; what
// scalars mean is not.

import { Composer, isAlias, isMap, isSeq, Lexer, Parser } from "yaml";
import type { Alias, CST, Document, ParsedNode, Scalar, YAMLMap, YAMLSeq } from "yaml";
import { placeComments } from "./yaml-comments.ts";
import { DEPTH_MAX, failAt, LENGTH_MAX, NODES_MAX, uniqueKeys } from "./tree.ts";
import type { Comment, Entry, Mapping, Node, Place, Span } from "./tree.ts";
import { textOf } from "./value.ts";
import { plainScalar, taggedScalar } from "./yaml-scalar.ts";

/** What the lexer of `yaml` puts before the text of a scalar. */
const SCALAR_MARK = "\u001f";
const STANDARD_TAG = "tag:yaml.org,2002:";

function spanOf(node: ParsedNode): Span {
  return { start: node.range[0], end: node.range[1] };
}

/** Comments of the syntax tree in the order of the file; refuses what is nested too deeply for the code that follows. */
function commentsOf(place: Place, tokens: readonly CST.Token[]): Comment[] {
  const found: Comment[] = [];
  const seeSource = (source: readonly CST.SourceToken[] | undefined): void => {
    for (const token of source ?? []) {
      if (token.type !== "comment") continue;
      const at = { start: token.offset, end: token.offset + token.source.length };
      found.push({ kind: "comment", text: token.source.slice(1), at });
    }
  };
  const see = (token: CST.Token, depth: number): void => {
    if (depth > DEPTH_MAX) throw failAt(place, token.offset, "nested too deeply");
    if (token.type === "comment") seeSource([token]);
    if ("start" in token && Array.isArray(token.start)) seeSource(token.start);
    if ("props" in token)
      seeSource(token.props.filter((prop) => "source" in prop) as CST.SourceToken[]);
    if ("items" in token) {
      for (const item of token.items) {
        seeSource(item.start);
        if (item.key) see(item.key, depth + 1);
        seeSource(item.sep);
        if (item.value) see(item.value, depth + 1);
      }
    }
    if (token.type === "document" && token.value) see(token.value, depth);
    if ("end" in token && Array.isArray(token.end)) seeSource(token.end);
  };
  for (const token of tokens) see(token, 0);
  return found.sort((a, b) => a.at.start - b.at.start);
}

interface Sized {
  readonly node: Node;
  /** Nodes in it, aliases expanded. */
  readonly size: number;
  readonly depth: number;
}

/** Makes the tree of one document. */
class TreeMaker {
  readonly #place: Place;
  readonly #anchors = new Map<string, Sized | undefined>();
  #nodes = 0;

  constructor(place: Place) {
    this.#place = place;
  }

  make(node: ParsedNode | null, at: Span, depth = 0): Sized {
    this.#count(1, at);
    if (node === null) return { node: { kind: "leaf", value: undefined, at }, size: 1, depth: 0 };
    if (isAlias(node)) return this.#alias(node, depth);
    const anchor = (node as Scalar).anchor;
    if (anchor !== undefined) this.#anchors.set(anchor, undefined);
    const made = isMap(node)
      ? this.#mapping(node as YAMLMap.Parsed, depth)
      : isSeq(node)
        ? this.#list(node as YAMLSeq.Parsed, depth)
        : this.#leaf(node as Scalar.Parsed);
    if (anchor !== undefined) this.#anchors.set(anchor, made);
    return made;
  }

  #count(more: number, at: Span): void {
    this.#nodes += more;
    if (this.#nodes > NODES_MAX)
      throw failAt(this.#place, at.start, "too many values, with aliases expanded");
  }

  #alias(alias: Alias.Parsed, depth: number): Sized {
    const at = spanOf(alias);
    const target = this.#anchors.get(alias.source);
    if (target === undefined) {
      const why = this.#anchors.has(alias.source)
        ? "an anchor that contains itself"
        : "an alias without anchor";
      throw failAt(this.#place, at.start, why);
    }
    this.#count(target.size, at);
    if (depth + target.depth > DEPTH_MAX) throw failAt(this.#place, at.start, "nested too deeply");
    return { ...target, node: { ...target.node, at } };
  }

  #leaf(scalar: Scalar.Parsed): Sized {
    const at = spanOf(scalar);
    const text = scalar.source;
    const quoted = scalar.type !== "PLAIN";
    const tag = scalar.tag;
    const resolved = tag?.startsWith(STANDARD_TAG)
      ? taggedScalar(tag.slice(STANDARD_TAG.length), text)
      : quoted || tag !== undefined
        ? taggedScalar("str", text)
        : plainScalar(text);
    if ("refused" in resolved) throw failAt(this.#place, at.start, resolved.refused);
    return { node: { kind: "leaf", value: resolved.value, at }, size: 1, depth: 0 };
  }

  #key(key: ParsedNode): { key: string; keyAt: Span } {
    const keyAt = spanOf(key);
    const { node } = this.make(key, keyAt);
    if (node.kind !== "leaf" || node.value?.type !== "str") {
      throw failAt(this.#place, keyAt.start, "a key that is not a string; put it in quotes");
    }
    return { key: textOf(node.value), keyAt };
  }

  #mapping(map: YAMLMap.Parsed, depth: number): Sized {
    const at = spanOf(map);
    const items: Entry[] = [];
    const add = uniqueKeys(this.#place);
    let [size, deepest] = [1, 0];
    for (const pair of map.items) {
      const key = this.#key(pair.key);
      add(key.key, key.keyAt);
      const empty = { start: key.keyAt.end, end: key.keyAt.end };
      const made = this.make(pair.value, pair.value ? spanOf(pair.value) : empty, depth + 1);
      items.push({ kind: "entry", ...key, node: made.node });
      size += made.size;
      deepest = Math.max(deepest, made.depth);
    }
    return { node: { kind: "map", items, at }, size, depth: deepest + 1 };
  }

  #list(list: YAMLSeq.Parsed, depth: number): Sized {
    const at = spanOf(list);
    const made = (list.items as ParsedNode[]).map((item) =>
      this.make(item, spanOf(item), depth + 1),
    );
    return {
      node: { kind: "list", items: made.map(({ node }) => node), at },
      size: made.reduce((sum, { size }) => sum + size, 1),
      depth: made.reduce((most, one) => Math.max(most, one.depth), 0) + 1,
    };
  }
}

function treeOf(place: Place, document: Document.Parsed): Mapping {
  const [error] = document.errors;
  // The library's message may quote the text; its code does not.
  if (error) throw failAt(place, error.pos[0], `not valid YAML (${error.code.toLowerCase()})`);
  const { contents, range } = document;
  const at = { start: range[0], end: range[1] };
  const { node } = new TreeMaker(place).make(contents, contents ? spanOf(contents) : at);
  if (node.kind === "map") return node;
  if (node.kind === "leaf" && node.value === undefined) return { kind: "map", items: [], at };
  throw failAt(place, node.at.start, "the top of a document is not a mapping");
}

function parseAll(place: Place): Mapping[] {
  const tokens = [...new Parser().parse(place.text)];
  const comments = commentsOf(place, tokens);
  const composer = new Composer<ParsedNode>({
    schema: "failsafe",
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: "silent",
  });
  const documents = [...composer.compose(tokens, false, place.text.length)];
  return placeComments(
    place.text,
    documents.map((document) => treeOf(place, document as Document.Parsed)),
    comments,
  );
}

/** The documents of a YAML file. Throws SOPS_INVALID with the line. */
export function parseYaml(place: Place): Mapping[] {
  if (place.text.length > LENGTH_MAX) throw failAt(place, 0, "too large for a SOPS document");
  try {
    return parseAll(place);
  } catch (error) {
    // The library's parser follows the nesting by calls and has no bound of its own.
    if (error instanceof RangeError) throw failAt(place, 0, "nested too deeply");
    throw error;
  }
}

/** Whether the text has anchors, aliases or tags. What follows the mark of a scalar is its text. */
export function usesReferences(text: string): boolean {
  let previous = "";
  for (const lexeme of new Lexer().lex(text)) {
    if (previous !== SCALAR_MARK && /^[&*!]/.test(lexeme)) return true;
    previous = lexeme;
  }
  return false;
}
