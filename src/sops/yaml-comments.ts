// Puts the comments of a YAML file among the entries that they stand at. It decides which comments a comment rule looks at, and
// under which path an encrypted comment was encrypted. Implements docs/formats/sops.md#comments.

import { blockColumn, columnOf } from "./tree.ts";
import type { Comment, Entry, List, Mapping, Node } from "./tree.ts";

type Container = Mapping | List;
type Item = Container["items"][number];

/** A comment and the number of items of its container that it follows. */
interface Placed {
  readonly index: number;
  readonly comment: Comment;
}

function startOf(item: Item): number {
  return item.kind === "entry" ? item.keyAt.start : item.at.start;
}

/** The container that stands in `item` itself, not one that it points to with an alias. */
function containerIn(text: string, item: Item): Container | undefined {
  const node = item.kind === "entry" ? item.node : item;
  if (node.kind !== "map" && node.kind !== "list") return undefined;
  return text[node.at.start] === "*" ? undefined : node;
}

/** How many of `items` start before `offset`. */
function startedBefore(items: readonly Item[], offset: number): number {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (startOf(items[middle]!) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isInside(text: string, container: Container, offset: number, own: boolean): boolean {
  if (/[{[]/.test(text[container.at.start] ?? "")) {
    return container.at.start < offset && offset < container.at.end;
  }
  // A comment at the end of a line belongs to what is on the line, one on its own to what it is indented like.
  if (!own) return startedBefore(container.items, offset) > 0;
  return columnOf(text, offset) >= blockColumn(text, container);
}

function placeOf(
  text: string,
  root: Mapping,
  comment: Comment,
): { container: Container; index: number } {
  const { start } = comment.at;
  const own = text.slice(text.lastIndexOf("\n", start - 1) + 1, start).trim() === "";
  let container: Container = root;
  for (;;) {
    const before = startedBefore(container.items, start);
    if (before === 0) return { container, index: 0 };
    const inner = containerIn(text, container.items[before - 1]!);
    if (!inner || !isInside(text, inner, start, own)) {
      return { container, index: own ? before : before - 1 };
    }
    container = inner;
  }
}

function withComments<C extends Node>(node: C, placed: ReadonlyMap<Node, readonly Placed[]>): C {
  if (node.kind === "leaf") return node;
  const mine = placed.get(node) ?? [];
  const items: Item[] = [];
  let next = 0;
  const children: readonly Item[] = node.items;
  for (const [index, item] of children.entries()) {
    for (; next < mine.length && mine[next]!.index <= index; next++)
      items.push(mine[next]!.comment);
    if (item.kind === "comment") items.push(item);
    else if (item.kind === "entry")
      items.push({ ...item, node: withComments(item.node, placed) } satisfies Entry);
    else items.push(withComments(item, placed));
  }
  for (; next < mine.length; next++) items.push(mine[next]!.comment);
  return { ...node, items } as C;
}

/** The trees of the documents of `text`, in order, with `comments` in them. */
export function placeComments(
  text: string,
  roots: readonly Mapping[],
  comments: readonly Comment[],
): Mapping[] {
  if (comments.length === 0) return [...roots];
  const placed = new Map<Node, Placed[]>();
  let document = 0;
  for (const comment of comments) {
    while (document + 1 < roots.length && comment.at.start >= roots[document]!.at.end) document++;
    const root = roots[document];
    if (!root) continue;
    const { container, index } = placeOf(text, root, comment);
    const list = placed.get(container) ?? [];
    list.push({ index, comment });
    placed.set(container, list);
  }
  for (const list of placed.values()) list.sort((a, b) => a.index - b.index);
  return roots.map((root) => withComments(root, placed));
}
