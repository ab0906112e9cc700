// A text is given to the editor of whoever sits here. What it holds is secret, and an editor wants a file: so it gets one in
// memory, in a folder that nobody else can enter, which is gone with whatever else the editor put there when it ends.

import { execFile, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import {
  access,
  chmod,
  constants,
  mkdtemp,
  readFile,
  realpath,
  rm,
  statfs,
  writeFile,
} from "node:fs/promises";
import { basename, delimiter, join, sep } from "node:path";
import { cancelled, throwIfCancelled } from "../base/cancellation.ts";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import { splitWords } from "../base/shell-words.ts";
import type { Context } from "./command.ts";

/** statfs(2): file systems that keep their files in memory. */
const TMPFS = 0x01021994;
const RAMFS = 0x858458f6;
/** What sops looks for when no variable names an editor. */
const USUAL = ["vim", "nano", "vi"];
/** What Vim is called where it is installed, which may not be how it is called here. */
const VIM = /^(?:[egnr]|rg)?vim(?:x|diff|\..*)?$/;
/** Vim or another one: each is asked. */
const VI = /^r?(?:vi|ex|view)$/;
const VIM_SAYS = /^N?VIM\b/;
const ASK_MS = 2000;
/** Keeps Vim from writing the text elsewhere: no swap file, no registers, no copies, no history. */
const DISCREET_VIM = ["-n", "-i", "NONE", "-c", "set nobackup nowritebackup noundofile"];

/** A text in the hands of an editor. */
export interface Editing {
  /** Lets the person edit it; the text as it was saved. USAGE when the editor fails. */
  edit(): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Puts `content` where an editor finds it, under the name `name`. USAGE when this machine has no place in memory, or no editor. */
export async function openEditor(
  context: Context,
  name: string,
  content: Uint8Array,
): Promise<Editing> {
  const command = await editorCommand(context);
  const folder = await privateFolder(context);
  // Whatever ends the program ends the text.
  const removeNow = (): void => rmSync(folder, { recursive: true, force: true });
  process.on("exit", removeNow);
  // Whoever is asked something meanwhile may take long to answer.
  context.signal.addEventListener("abort", removeNow);
  const close = async (): Promise<void> => {
    await rm(folder, { recursive: true, force: true });
    process.off("exit", removeNow);
    context.signal.removeEventListener("abort", removeNow);
  };
  const file = join(folder, basename(name));
  try {
    await writeFile(file, content, { mode: 0o600 });
  } catch (error) {
    await close();
    throw error;
  }
  return {
    close,
    edit: async () => {
      throwIfCancelled(context.signal);
      await runEditor(context, command, file);
      return await readFile(file).catch((error: unknown) => {
        const what = errnoOf(error) === "ENOENT" ? "left no file" : `left ${messageOf(error)}`;
        throw new HoldfastError("USAGE", `${command[0]} ${what}; ${name} is as it was`);
      });
    },
  };
}

async function editorCommand(context: Context): Promise<[string, ...string[]]> {
  const { environment } = context;
  for (const name of ["SOPS_EDITOR", "EDITOR"]) {
    const value = environment[name];
    if (value) return await discreet(context, splitWords(value, name));
  }
  for (const name of USUAL) {
    const path = await onPath(context, name);
    if (path !== undefined) return await discreet(context, [path]);
  }
  throw new HoldfastError("USAGE", `there is no editor here: no ${USUAL.join(", no ")}`, {
    hint: "Name one in EDITOR, or change single values: holdfast secrets set.",
  });
}

/** Where the program `name` is; undefined when it is nowhere. */
async function onPath({ environment }: Context, name: string): Promise<string | undefined> {
  const folders = name.includes(sep) ? [""] : (environment["PATH"] ?? "").split(delimiter);
  for (const folder of folders) {
    const path = join(folder, name);
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}

async function discreet(
  context: Context,
  [program, ...args]: [string, ...string[]],
): Promise<[string, ...string[]]> {
  return (await isVim(context, program)) ? [program, ...DISCREET_VIM, ...args] : [program, ...args];
}

async function isVim(context: Context, program: string): Promise<boolean> {
  const path = await onPath(context, program);
  if (path === undefined) return false;
  const names = [basename(path), basename(await realpath(path))];
  if (names.some((name) => VIM.test(name))) return true;
  if (!names.some((name) => VI.test(name))) return false;
  const { environment: env, signal } = context;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const asked = { env: { ...env }, signal, timeout: ASK_MS, killSignal: "SIGKILL" } as const;
  // Another one may fail at the word, or take it for the name of a file: it has nothing to read.
  const child = execFile(path, ["--version"], asked, (_, said) => resolve(VIM_SAYS.test(said)));
  child.stdin?.end();
  return await promise;
}

/** A new folder of our own in memory. */
async function privateFolder({ environment }: Context): Promise<string> {
  const tried: string[] = [];
  for (const place of [environment["XDG_RUNTIME_DIR"], "/dev/shm"]) {
    if (!place) continue;
    try {
      const { type } = await statfs(place);
      if (type !== TMPFS && type !== RAMFS) {
        tried.push(`${place} is not in memory`);
        continue;
      }
      const folder = await mkdtemp(join(place, "holdfast-edit-"));
      await chmod(folder, 0o700);
      return folder;
    } catch (error) {
      tried.push(messageOf(error));
    }
  }
  throw new HoldfastError("USAGE", `no place in memory for the editor: ${tried.join("; ")}`, {
    hint: "A file in plain is written to no disk. Change single values instead: holdfast secrets set.",
  });
}

function runEditor(
  { environment, signal, leaveInterrupts }: Context,
  [program, ...args]: [string, ...string[]],
  file: string,
): Promise<void> {
  const returnInterrupts = leaveInterrupts();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = spawn(program, [...args, file], {
    env: { ...environment },
    signal,
    stdio: "inherit",
  });
  const fail = (what: string): void =>
    reject(signal.aborted ? cancelled(signal) : new HoldfastError("USAGE", `${program} ${what}`));
  child.on("error", (error) => fail(`cannot be run: ${error.message}`));
  child.on("close", (status, by) => {
    if (status === 0) resolve();
    else fail(`ended with ${by ?? `status ${status}`}; the file is as it was`);
  });
  return promise.finally(returnInterrupts);
}
