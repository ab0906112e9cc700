// The tools that are compared, and how each does the same work: make a repository, back up a directory, restore the
// newest snapshot, read everything back. Each gets a password from the environment and a cache of its own.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { peerStatus, type PeerName } from "../../test/peers.ts";
import type { Command } from "./measure.ts";

export const ACTIONS = ["init", "backup", "restore", "check"] as const;
export type Action = (typeof ACTIONS)[number];

/** Folders of one run of one tool. */
export interface Places {
  /** What is backed up. */
  readonly source: string;
  /** Repository, cache, configuration and restored files; starts empty. */
  readonly state: string;
}

export interface Tool {
  readonly name: string;
  readonly version: string;
  /** The command for `action`. Restores go to `<state>/restored`. */
  readonly command: (action: Action, places: Places) => Command;
}

export const repositoryOf = (places: Places): string => join(places.state, "repository");
export const restoredOf = (places: Places): string => join(places.state, "restored");

const PASSWORD = "correct horse battery staple";
const ROOT = join(import.meta.dirname, "..", "..");

type Commands = (program: string, action: Action, places: Places) => Command;

/** restic's command line, which ours is too. */
const resticCommand: Commands = (program, action, places) => {
  const args = {
    init: ["init"],
    backup: ["backup", "."],
    restore: ["restore", "latest", "--target", restoredOf(places)],
    check: ["check", "--read-data"],
  }[action];
  return {
    argv: [program, "--repo", repositoryOf(places), ...args],
    env: {
      RESTIC_PASSWORD: PASSWORD,
      RESTIC_CACHE_DIR: join(places.state, "cache"),
      HOLDFAST_DIST: "1",
    },
    cwd: places.source,
  };
};

const rusticCommand: Commands = (program, action, places) => {
  const args = {
    init: ["init"],
    backup: ["backup", "."],
    restore: ["restore", "latest", restoredOf(places)],
    check: ["check", "--read-data"],
  }[action];
  return {
    argv: [program, "--repository", repositoryOf(places), "--no-progress", ...args],
    env: { RUSTIC_PASSWORD: PASSWORD, RUSTIC_CACHE_DIR: join(places.state, "cache") },
    cwd: places.source,
  };
};

const kopiaCommand: Commands = (program, action, places) => {
  const args = {
    init: ["repository", "create", "filesystem", "--path", repositoryOf(places)],
    backup: ["snapshot", "create", places.source],
    restore: ["snapshot", "restore", places.source, restoredOf(places)],
    check: ["snapshot", "verify", "--verify-files-percent=100"],
  }[action];
  return {
    argv: [program, "--no-progress", ...args],
    env: {
      KOPIA_PASSWORD: PASSWORD,
      KOPIA_CONFIG_PATH: join(places.state, "kopia.config"),
      KOPIA_CACHE_DIRECTORY: join(places.state, "cache"),
      KOPIA_LOG_DIR: join(places.state, "log"),
      KOPIA_CHECK_FOR_UPDATES: "false",
    },
  };
};

const borgCommand: Commands = (program, action, places) => {
  const repository = repositoryOf(places);
  const newest = `"$(${program} list --short --last 1 "${repository}")"`;
  const argv: Record<Action, readonly [string, ...string[]]> = {
    init: [program, "init", "--encryption", "repokey", repository],
    backup: [program, "create", `${repository}::{utcnow:%Y%m%d%H%M%S.%f}`, "."],
    restore: ["sh", "-c", `${program} extract "${repository}"::${newest}`],
    check: [program, "check", "--verify-data", repository],
  };
  if (action === "restore") mkdirSync(restoredOf(places), { recursive: true });
  return {
    argv: argv[action],
    env: { BORG_PASSPHRASE: PASSWORD, BORG_BASE_DIR: places.state },
    cwd: action === "restore" ? restoredOf(places) : places.source,
  };
};

interface Candidate {
  readonly name: string;
  readonly peer: PeerName;
  readonly commands: Commands;
}

const PEER_TOOLS: readonly Candidate[] = [
  { name: "restic", peer: "restic-newest", commands: resticCommand },
  { name: "restic-oldest", peer: "restic-oldest", commands: resticCommand },
  { name: "rustic", peer: "rustic", commands: rusticCommand },
  { name: "kopia", peer: "kopia", commands: kopiaCommand },
  { name: "borg", peer: "borg", commands: borgCommand },
];

/** Ours, from the built dist/. */
export function ourTool(version: string): Tool {
  const program = join(ROOT, "bin", "holdfast");
  return {
    name: "holdfast",
    version,
    command: (action, places) => resticCommand(program, action, places),
  };
}

/** The peers that are here, and why the others are not. */
export function peerTools(): { tools: Tool[]; missing: string[] } {
  const tools: Tool[] = [];
  const missing: string[] = [];
  for (const { name, peer, commands } of PEER_TOOLS) {
    const status = peerStatus(peer);
    if ("missing" in status) {
      missing.push(`${name}: ${status.missing}`);
      continue;
    }
    const { path, version } = status;
    tools.push({
      name,
      version,
      command: (action, places) => commands(path, action, places),
    });
  }
  return { tools, missing };
}
