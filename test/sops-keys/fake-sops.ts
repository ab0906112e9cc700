// Programs in the place of sops, as its key service: they note their number and their socket, and do what a test wants.

import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Folder } from "./programs.ts";

export const SYSTEM_PATH: string = process.env["PATH"] ?? "";

/** Nothing of this machine may help. */
export function alone(home: Folder, path: string): Record<string, string> {
  return { HOME: home.path, XDG_CONFIG_HOME: home.path, PATH: path };
}

/** What a program in the place of sops does once it was told its socket. */
export function fakeSops(home: Folder, body: string): Record<string, string> {
  const note = JSON.stringify(join(home.path, "ran"));
  const text = `#!${process.execPath}
const socket = process.argv.at(-1);
require("node:fs").writeFileSync(${note} + ".new", process.pid + " " + socket);
require("node:fs").renameSync(${note} + ".new", ${note});
${body}
`;
  chmodSync(home.write("sops", text), 0o700);
  return alone(home, `${home.path}:${SYSTEM_PATH}`);
}

/** The number of the program that was run last, and its socket. */
export function ran(home: Folder): [pid: string, socket: string] {
  return readFileSync(join(home.path, "ran"), "utf8").split(" ") as [string, string];
}

/** Nothing is left of the program that was run. */
export function assertGone(home: Folder): void {
  const [pid, socket] = ran(home);
  assert.throws(() => process.kill(Number(pid), 0), { code: "ESRCH" });
  assert.ok(!existsSync(dirname(socket)));
}

/** Waits until it holds. */
export async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    assert.ok(tries < 3000);
    await sleep(20);
  }
}

/** It runs, and is no mere entry in a table. */
export function isAlive(pid: string): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** A sops that answers with `reply` in hexadecimal, and these trailers. */
export function answering(reply: string, trailers: Record<string, string>): string {
  return `require("node:http2").createServer().on("stream", (one) => {
  one.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  one.on("wantTrailers", () => one.sendTrailers(${JSON.stringify(trailers)}));
  one.on("error", () => {});
  one.resume().on("end", () => one.end(Buffer.from("${reply}", "hex")));
}).listen(socket);`;
}
