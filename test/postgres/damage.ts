// Damage to archives in memory, named after what is damaged: bytes, tars, segments, what describes a backup. An archive is
// its objects by key, below the folder "pg".

import { gunzipSync, gzipSync } from "node:zlib";
import { formatBackupInfo, parseBackupInfo } from "../../src/barman/backup-info.ts";

export type Objects = Map<string, Uint8Array>;

export function keyOf(path: string): string {
  return `pg/${path}`;
}

export function infoOf(all: Objects, id: string): ReturnType<typeof parseBackupInfo> {
  return parseBackupInfo(all.get(keyOf(`base/${id}/backup.info`))!, "backup.info");
}

export function edit(all: Objects, id: string, change: object): void {
  all.set(keyOf(`base/${id}/backup.info`), formatBackupInfo({ ...infoOf(all, id), ...change }));
}

export function flip(all: Objects, key: string, place: number): void {
  const content = Buffer.from(all.get(key)!);
  content[Math.floor(content.length * place)]! ^= 1;
  all.set(key, content);
}

/**
 * Flips a bit of a compressed object so that another content, or none, comes out of it. Not every bit does that: inside a
 * run of zeros, a match at another distance copies the same zeros.
 */
export function flipCompressed(all: Objects, key: string): void {
  const whole = all.get(key)!;
  const content = gunzipSync(whole);
  for (let place = 0.5; ; place *= 0.9) {
    flip(all, key, place);
    try {
      if (!gunzipSync(all.get(key)!).equals(content)) return;
    } catch {
      return;
    }
    all.set(key, whole);
  }
}

export function cut(all: Objects, key: string, part: number): void {
  const content = all.get(key)!;
  all.set(key, content.slice(0, Math.floor(content.length * part)));
}

/** Changes the tar at `key`, compressed or not. */
export function inTar(all: Objects, key: string, change: (tar: Buffer) => Buffer): void {
  const isZipped = key.endsWith(".gz");
  const tar = Buffer.from(isZipped ? gunzipSync(all.get(key)!) : all.get(key)!);
  const changed = change(tar);
  all.set(key, isZipped ? gzipSync(changed, { level: 1 }) : changed);
}

/** Where the header of the first member whose name begins with `name`, and that has content, lies. */
function memberAt(tar: Buffer, name: string): number {
  for (let at = 0; at < tar.length; at += 512) {
    const size = Number.parseInt(tar.toString("latin1", at + 124, at + 135), 8);
    if (tar.toString("latin1", at, at + name.length) === name && size > 0) return at;
    at += Math.ceil((Number.isNaN(size) ? 0 : size) / 512) * 512;
  }
  throw new Error(`no ${name} in the tar`);
}

export function flipInside(all: Objects, key: string, name: string): void {
  inTar(all, key, (tar) => {
    tar[memberAt(tar, name) + 512 + 100]! ^= 1;
    return tar;
  });
}

export function rename(all: Objects, key: string, from: string, to: string): void {
  inTar(all, key, (tar) => {
    const at = memberAt(tar, from);
    tar.fill(0, at, at + 100).write(to, at, "latin1");
    tar.write("        ", at + 148, "latin1");
    let sum = 0;
    for (const byte of tar.subarray(at, at + 512)) sum += byte;
    tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, "latin1");
    return tar;
  });
}

export function withoutControl(all: Objects, key: string): void {
  inTar(all, key, (tar) => tar.subarray(0, memberAt(tar, "global/pg_control")));
}

export function swapPages(segment: Buffer): Buffer {
  const [a, b] = [Buffer.from(segment.subarray(8192, 16_384)), segment.subarray(16_384, 24_576)];
  segment.set(b, 8192);
  segment.set(a, 16_384);
  return segment;
}

export function foreign(segment: Buffer): Buffer {
  segment.writeBigUInt64LE(123n, 24);
  return segment;
}
