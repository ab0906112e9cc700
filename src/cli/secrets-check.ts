// The look that `secrets check` takes at files: is each encrypted as its name says, whole, free of plain values, and is there
// a key for it on this machine. Tells no value.

import { opendir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import { looksLikeSops, openDocument } from "../sops/document.ts";
import type { SopsDocument } from "../sops/document.ts";
import type { WrappedKey } from "../sops/key-source.ts";
import { findLeaks } from "../sops/leaks.ts";
import type { Context } from "./command.ts";
import { EXIT } from "./exit-status.ts";
import { formatShortAge } from "./format.ts";
import { runProgram } from "./key-context.ts";
import { openSopsContent, readNamedFile } from "./sops-file.ts";
import { formatTable } from "./table.ts";

/** Flux takes no larger ones either. */
const FILE_BYTES_MAX = 5 << 20;
/** Has a name before that: `.sops.yaml` is the file of the rules. */
const NAMED_ENCRYPTED = /[^/]\.(?:enc|sops)\.(?:ya?ml|json|env)$/;
const SKIPPED = new Set([".git", "node_modules"]);

/**
 * "sound": opened, and its MAC is right. "not checked": no key here opens it; whether it is whole cannot be told.
 * "plain": nothing of it, or not all that its rules want, is encrypted. "changed": its MAC is wrong. "damaged": no document.
 * "unread": the file itself cannot be read.
 */
type State = "sound" | "not checked" | "plain" | "changed" | "damaged" | "unread";

interface Finding {
  file: string;
  state: State;
  /** What is wrong, or which key opened it. */
  notes: string[];
  recipients: { kind: string; id: string; created_at?: string | undefined }[];
  last_modified?: string | undefined;
  /** When the data key was made, where the file tells: the first time that it was wrapped. */
  data_key_created_at?: string | undefined;
}

/** Runs the check; the status is 1 when something is wrong. */
export async function checkSecrets(
  context: Context,
  paths: readonly string[],
  options: Record<string, unknown>,
): Promise<number> {
  const offline = options["offline"] === true;
  const findings: Finding[] = [];
  const files = options["staged"] === true ? stagedFiles(context, paths) : filesOf(paths);
  for await (const { path, read } of files) {
    const finding = await lookAt(context, path, read, offline);
    if (finding !== undefined) findings.push(finding);
  }
  const wrong = findings.filter(
    ({ state }) => state !== "sound" && (state !== "not checked" || options["requireKey"] === true),
  );
  report(context, findings, wrong.length);
  return wrong.length === 0 ? EXIT.ok : EXIT.failed;
}

interface Candidate {
  path: string;
  read: () => Promise<Uint8Array>;
}

/** What git would commit of these paths: what stands in the index, whatever the files hold by now. */
async function* stagedFiles(
  { environment, signal }: Context,
  paths: readonly string[],
): AsyncGenerator<Candidate> {
  const git = async (...args: string[]): Promise<Uint8Array> => {
    const options = { input: undefined, env: environment, signal };
    const { status, stdout, stderr } = await runProgram("git", args, options).catch(
      (error: unknown) => {
        throw new HoldfastError("USAGE", `git cannot be run: ${messageOf(error)}`);
      },
    );
    if (status === 0) return stdout;
    throw new HoldfastError("USAGE", `git ${args[0]} failed: ${stderr.trim()}`);
  };
  const diff = ["diff", "--cached", "--name-only", "--relative", "-z", "--diff-filter=d"];
  const listed = await git(...diff, "--", ...paths);
  for (const path of Buffer.from(listed).toString("utf8").split("\0")) {
    if (path !== "") yield { path, read: () => git("show", `:./${path}`) };
  }
}

async function* filesOf(paths: readonly string[]): AsyncGenerator<Candidate> {
  for (const given of paths.length > 0 ? paths : ["."]) {
    for await (const path of filesBelow(given, true)) {
      yield { path, read: () => readNamedFile(path) };
    }
  }
}

async function* filesBelow(path: string, isNamed: boolean): AsyncGenerator<string> {
  const stats = await stat(path).catch((error: unknown) => {
    throw new HoldfastError("USAGE", `${path} cannot be read: ${messageOf(error)}`);
  });
  if (!stats.isDirectory()) {
    if (isNamed || stats.size <= FILE_BYTES_MAX) yield path;
    return;
  }
  const names: string[] = [];
  for await (const entry of await opendir(path)) {
    // Links lead out of the tree, or in circles.
    const isWanted = entry.isDirectory() ? !SKIPPED.has(entry.name) : entry.isFile();
    if (isWanted) names.push(entry.name);
  }
  for (const name of names.toSorted()) yield* filesBelow(join(path, name), false);
}

/** What there is to say of a file; undefined when it is none of ours. */
async function lookAt(
  context: Context,
  path: string,
  read: Candidate["read"],
  offline: boolean,
): Promise<Finding | undefined> {
  let content: Uint8Array;
  try {
    content = await read();
  } catch (error) {
    if (!isHoldfastError(error, "USAGE")) throw error;
    return { file: path, state: "unread", notes: [error.message], recipients: [] };
  }
  const isNamed = NAMED_ENCRYPTED.test(path);
  const isEncrypted = looksLikeSops(content, path);
  if (!isNamed && !isEncrypted) return undefined;
  const file = relative(".", path) || path;
  if (!isEncrypted) {
    return {
      file,
      state: "plain",
      notes: ["it has no sops block: nothing of it is encrypted"],
      recipients: [],
    };
  }
  let document: SopsDocument;
  try {
    document = openDocument(content, { name: file });
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    return { file, state: "damaged", notes: [error.message], recipients: [] };
  }
  const recipients = document.recipients.flat();
  const facts = {
    file,
    recipients: recipients.map(({ kind, id, createdAt }) => ({ kind, id, created_at: createdAt })),
    last_modified: document.metadata.lastModified,
    data_key_created_at: recipients.flatMap(({ createdAt }) => createdAt ?? []).toSorted()[0],
  };
  const leaks = findLeaks(document);
  if (leaks.length > 0) {
    return { ...facts, state: "plain", notes: leaks.map((leak) => `${leak} is not encrypted`) };
  }
  return { ...facts, ...(await open(context, file, content, offline)) };
}

async function open(
  context: Context,
  file: string,
  content: Uint8Array,
  offline: boolean,
): Promise<Pick<Finding, "state" | "notes">> {
  try {
    const { tried, document } = await openSopsContent(context, file, content, { offline });
    const opened = tried.filter((each) => each.opened);
    const keys = new Set(opened.map(({ key }) => key));
    const others = document.recipients.flat().filter((key) => !keys.has(key));
    const notes = [
      ...opened.map(({ key, explanation }) => `opens with ${nameOf(key)}: ${explanation}`),
      ...others.map((key) => `also for ${nameOf(key)}`),
    ];
    return { state: "sound", notes };
  } catch (error) {
    // What is wrong with the settings is not wrong with the file.
    if (!isHoldfastError(error) || error.code === "USAGE") throw error;
    if (error.code === "SOPS_NO_KEY")
      return { state: "not checked", notes: error.message.split("\n").slice(1) };
    const state = error.code === "SOPS_MAC_MISMATCH" ? "changed" : "damaged";
    return { state, notes: [error.message] };
  }
}

function nameOf({ kind, id }: WrappedKey): string {
  return `${kind} ${id}`;
}

/** An edit keeps the data key, so where no file tells when it was made it is at least as old as the last one. */
function keyAge(finding: Finding, age: (time: string | undefined) => string): string {
  if (finding.data_key_created_at !== undefined) return age(finding.data_key_created_at);
  const least = age(finding.last_modified);
  return least === "" ? "" : `≥ ${least}`;
}

function report({ output, clock }: Context, findings: readonly Finding[], wrong: number): void {
  if (output.isJson) {
    output.json({ message_type: "secrets", ok: wrong === 0, files: findings });
    return;
  }
  const age = (time: string | undefined): string => {
    const changed = Date.parse(time ?? "");
    return Number.isNaN(changed) ? "" : formatShortAge((clock.now() - changed) / 1000);
  };
  const rows = findings.map((finding) => [
    finding.file,
    finding.state === "sound" ? finding.state : finding.state.toUpperCase(),
    age(finding.last_modified),
    keyAge(finding, age),
    finding.notes.map((note) => note.trim()).join("\n"),
  ]);
  const headers = ["File", "State", "Changed", "Data key", ""];
  for (const line of formatTable({ headers, rows })) output.data(line);
  const unchecked = findings.filter(({ state }) => state === "not checked").length;
  const rest = unchecked > 0 ? `, ${unchecked} not checked` : "";
  const files = findings.length === 1 ? "1 file" : `${findings.length} files`;
  output.data(`${files}, ${wrong} with something wrong${rest}`);
}
