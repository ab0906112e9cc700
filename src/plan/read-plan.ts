// Reads a plan from YAML: every problem with its line and column, what is wrong, and what could be meant. A plan is code
// that runs for years, so nothing in it is guessed and nothing is ignored.

import { dirname, resolve } from "node:path";
import {
  isMap,
  isNode,
  isPair,
  LineCounter,
  parseDocument,
  type Document,
  type Node,
  type YAMLError,
} from "yaml";
import { HoldfastError } from "../base/errors.ts";
import { checkPlan, type PlanIssue } from "./plan-schema.ts";
import type { InstancePlan, Plan } from "./plan.ts";

/** Problems that are told at once: more of them have one cause. */
const PROBLEMS_MAX = 20;
const ALIASES_MAX = 100;

export interface PlanSource {
  readonly text: string;
  /** As it was named, for messages. */
  readonly name: string;
  /** The absolute path of the file: what a plan names is relative to its folder. */
  readonly path: string;
}

/** The plan in a file. Throws PLAN_INVALID with every problem on a line of its own. */
export function readPlan({ text, name, path }: PlanSource): Plan {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, merge: true, prettyErrors: false });
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0)
    throw invalid(
      name,
      faults.map((fault) => syntaxProblem(fault, lines)),
      "Look at the indentation there and in the line above: keys of one map begin in one column, after spaces and no tabs.",
    );
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: ALIASES_MAX });
  } catch (error) {
    throw invalid(name, [{ line: 1, column: 1, text: (error as Error).message }]);
  }
  if (value === null || value === undefined)
    throw invalid(name, [{ line: 1, column: 1, text: "the plan is empty" }]);
  const { plan, issues } = checkPlan(value);
  if (plan === undefined)
    throw invalid(
      name,
      issues.flatMap((issue) => problemsOf(issue, document, lines)),
    );
  return resolved(plan, dirname(path));
}

interface Problem {
  readonly line: number;
  readonly column: number;
  readonly text: string;
}

const HINT =
  "docs/operations/plan.md explains every key; `holdfast plan check` reads a plan and does nothing else.";

function invalid(name: string, problems: readonly Problem[], hint: string = HINT): HoldfastError {
  const ordered = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  const shown = ordered.slice(0, PROBLEMS_MAX);
  const more = ordered.length - shown.length;
  const texts = shown.map(({ line, column, text }) => `${name}:${line}:${column}: ${text}`);
  if (more > 0) texts.push(`${name}: and ${more} more`);
  return new HoldfastError("PLAN_INVALID", texts.join("\n"), { hint });
}

function syntaxProblem({ pos, message }: YAMLError, lines: LineCounter): Problem {
  const { line, col } = lines.linePos(pos[0]);
  return { line, column: col, text: message.replaceAll(/\s+/g, " ") };
}

function problemsOf(
  { path, message, unknown }: PlanIssue,
  document: Document,
  lines: LineCounter,
): Problem[] {
  if (unknown === undefined)
    return [{ ...placeOf(path, document, lines), text: sentence(path, message) }];
  return unknown.keys.map((key) => {
    const near = nearest(key, unknown.known);
    const known = unknown.known.join(", ");
    const hint = near === undefined ? `there are ${known}` : `did you mean \`${near}\`?`;
    const place = placeOf([...path, key], document, lines);
    return { ...place, text: `${sentence([...path, key], message)}: ${hint}` };
  });
}

/** "instances[0].capture.interval is no duration" */
function sentence(path: readonly PropertyKey[], message: string): string {
  let text = "";
  for (const step of path)
    text += typeof step === "number" ? `[${step}]` : `${text === "" ? "" : "."}${String(step)}`;
  if (text === "") return `the plan ${message}`;
  return /^[a-z"]/.test(message) && !/^(?:is|has|holds|needs|prunes) /.test(message)
    ? `${text}: ${message}`
    : `${text} ${message}`;
}

/** Where the value at `path` stands, or the nearest thing around it that is there: its key, where it has one. */
function placeOf(
  path: readonly PropertyKey[],
  document: Document,
  lines: LineCounter,
): { readonly line: number; readonly column: number } {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(
        ({ key }) => (isNode(key) ? (key as { value?: unknown }).value : key) === step,
      );
      if (!isPair(pair)) break;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else {
      node = document.getIn(path.slice(0, path.indexOf(step) + 1), true);
      const at = startOf(node);
      if (at === undefined) break;
      offset = at;
    }
  }
  const { line, col } = lines.linePos(offset);
  return { line, column: col };
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? (node as Node).range?.[0] : undefined;
}

/** The known key that somebody may have meant: alike but for case, one that begins so, or at most two letters away. */
function nearest(key: string, known: readonly string[]): string | undefined {
  const scored = known
    .map((one) => ({ one, distance: distance(key.toLowerCase(), one.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance);
  const [best] = scored;
  if (best !== undefined && best.distance <= Math.max(1, Math.min(2, key.length / 3)))
    return best.one;
  return known.find((one) => key.length >= 3 && one.toLowerCase().startsWith(key.toLowerCase()));
}

/** How many letters are to be put in, taken out or replaced. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + same));
    }
    row = next;
  }
  return row.at(-1)!;
}

/** With paths that count from the folder of the plan. */
function resolved(plan: Plan, folder: string): Plan {
  const from = (path: string): string => resolve(folder, path);
  const optional = (path: string | undefined): string | undefined => path && from(path);
  const instances = plan.instances.map((one): InstancePlan => {
    const { secrets, archive } = one;
    const receive = archive?.receive && {
      ...archive.receive,
      spool: optional(archive.receive.spool),
    };
    return {
      ...one,
      filestore: optional(one.filestore),
      secrets: { ...secrets, files: secrets.files.map(from) },
      archive: archive && { ...archive, receive },
    };
  });
  return { state: optional(plan.state), instances };
}
