// Reads the backup guide that the product was asked to implement (test/seed/guide.md, the customer's text, word for word):
// its code blocks with the step they stand under, and the commands in them. Tests take every command and manifest from here,
// so that none of them is a retyped one that works while the guide's does not. It never changes what it reads.

import { readFileSync } from "node:fs";
import { join } from "node:path";

export const GUIDE: string = join(import.meta.dirname, "guide.md");

export interface GuideLine {
  /** From 1. */
  readonly number: number;
  readonly text: string;
  /** Fences, rulers and empty lines say nothing. */
  readonly saysSomething: boolean;
}

export interface GuideBlock {
  /** `bash`, `yaml`, or nothing. */
  readonly language: string;
  /** The heading or numbered step that it stands under, without marks: `Trigger restore`. */
  readonly step: string;
  /** Number of its first line, after the fence. */
  readonly line: number;
  /** As somebody would copy it: without the indentation of the list that it stands in. */
  readonly text: string;
}

export interface Guide {
  readonly lines: readonly GuideLine[];
  readonly blocks: readonly GuideBlock[];
}

export interface GuideCommand {
  readonly line: number;
  readonly text: string;
}

/** A heading, or a numbered step in bold letters. */
const STEP = /^(?:#{1,6} +(.+?)|\d+\. +\*\*(.+?)\*\*):?$/;
const FENCE = /^( *)```(\w*) *$/;

export function readGuide(text: string = readFileSync(GUIDE, "utf8")): Guide {
  const lines: GuideLine[] = [];
  const blocks: GuideBlock[] = [];
  let step = "";
  let open: { indent: number; language: string; line: number; content: string[] } | undefined;
  for (const [index, line] of text.replace(/\n$/, "").split("\n").entries()) {
    const number = index + 1;
    const fence = FENCE.exec(line);
    const saysSomething = fence === null && !/^(?:-{3,}|[\s|-]*)$/.test(line);
    lines.push({ number, text: line, saysSomething });
    if (fence !== null && open === undefined) {
      open = { indent: fence[1]!.length, language: fence[2]!, line: number + 1, content: [] };
    } else if (fence !== null && open !== undefined) {
      const { language, line: first, content } = open;
      blocks.push({ language, step, line: first, text: `${content.join("\n")}\n` });
      open = undefined;
    } else if (open !== undefined) {
      open.content.push(line.slice(Math.min(open.indent, /^ */.exec(line)![0].length)));
    } else {
      const found = STEP.exec(line);
      if (found !== null) step = (found[1] ?? found[2]!).replace(/ \(optional\)$/, "");
    }
  }
  if (open !== undefined) throw new Error(`the block of line ${open.line} has no end`);
  return { lines, blocks };
}

/** The one block under a step. */
export function blockOf(guide: Guide, step: string): GuideBlock {
  const found = guide.blocks.filter((block) => block.step === step);
  if (found.length !== 1) throw new Error(`${found.length} blocks stand under "${step}"`);
  return found[0]!;
}

/** The commands of a block, without comments; one that is broken over lines is one. */
export function commandsOf(block: GuideBlock): GuideCommand[] {
  const commands: { line: number; text: string; isOpen: boolean }[] = [];
  for (const [index, line] of block.text.split("\n").entries()) {
    if (line.trim() === "" || line.trimStart().startsWith("#")) continue;
    const last = commands.at(-1);
    if (last?.isOpen) {
      last.text += `\n${line}`;
      last.isOpen = line.endsWith("\\");
    } else commands.push({ line: block.line + index, text: line, isOpen: line.endsWith("\\") });
  }
  return commands.map(({ line, text }) => ({ line, text }));
}

/** The one command of a step that contains `part`. */
export function commandOf(guide: Guide, step: string, part: string): string {
  const found = commandsOf(blockOf(guide, step)).filter(({ text }) => text.includes(part));
  if (found.length !== 1) throw new Error(`${found.length} commands of "${step}" have ${part}`);
  return found[0]!.text;
}
