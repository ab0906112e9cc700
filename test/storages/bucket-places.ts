// Repositories in buckets that this engine, its program and real restic reach alike: a real server of S3, and the double of
// Cloud Storage. Every request passes a watch (test/storages/request-watch.ts); tests look into the buckets from behind.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { systemClock, systemRandom } from "../../src/base/clock.ts";
import { openRepository } from "../../src/repository/open.ts";
import type { Machine, Repository } from "../../src/repository/repository.ts";
import { openStorage } from "../../src/storage/open-storage.ts";
import type { OpenStorageOptions } from "../../src/storage/open-storage.ts";
import { MACHINE } from "../faults/engine.ts";
import { PASSWORD } from "../faults/workbench.ts";
import type { Run, RunOptions, Workbench } from "../faults/workbench.ts";
import type { Bucket, BucketSettings } from "../gcs/bucket.ts";
import { GcsDouble } from "../gcs/double.ts";
import { peer } from "../peers.ts";
import { startVersitygw } from "../s3/versitygw.ts";
import { watchRequests } from "./request-watch.ts";
import type { RequestWatch, WatchedAnswer } from "./request-watch.ts";

/** Where in its bucket a repository is. */
export const PREFIX = "odoo/filestore/";

/** A repository in a bucket. */
export interface Place {
  /** As both programs name it. */
  readonly location: string;
  /** What both programs need to get in. */
  readonly env: Readonly<Record<string, string>>;
  /** Names of its objects, sorted: "data/ab/ab12…". */
  names(): string[];
  read(name: string): Buffer;
  /** Puts other content there, past every rule. */
  write(name: string, body: Buffer): void;
  remove(name: string): void;
}

/** A service with buckets. */
export interface Service {
  readonly watch: RequestWatch;
  /** A new bucket with the objects of `from`. */
  place(from?: Place, settings?: Partial<BucketSettings>): Place;
  /** The answer of a service that is asked too much. */
  readonly slowDown: WatchedAnswer;
  /** That of one that does not allow a deletion. */
  readonly denied: WatchedAnswer;
  close(): Promise<void>;
}

/** versitygw, a real server of S3. */
export async function startS3(): Promise<Service> {
  const server = await startVersitygw();
  const watch = await watchRequests(server.endpoint);
  const env = {
    AWS_ACCESS_KEY_ID: server.accessKeyId,
    AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
  };
  const error = (status: number, code: string): WatchedAnswer => ({
    status,
    headers: { "content-type": "application/xml" },
    body: `<Error><Code>${code}</Code><Message>The test says so.</Message></Error>`,
  });
  return {
    watch,
    slowDown: error(503, "SlowDown"),
    denied: error(403, "AccessDenied"),
    place: (from) => {
      const bucket = server.makeBucket();
      const folder = join(server.folderOf(bucket), PREFIX);
      const place: Place = {
        location: `s3:http://${watch.host}/${bucket}/${PREFIX.slice(0, -1)}`,
        env,
        names: () =>
          readdirSync(folder, { recursive: true, withFileTypes: true })
            .filter((entry) => entry.isFile())
            .map((entry) => join(entry.parentPath, entry.name).slice(folder.length))
            .toSorted(),
        read: (name) => readFileSync(join(folder, name)),
        write: (name, body) => {
          mkdirSync(dirname(join(folder, name)), { recursive: true });
          writeFileSync(join(folder, name), body);
        },
        remove: (name) => rmSync(join(folder, name)),
      };
      mkdirSync(folder, { recursive: true });
      const original = from && /\/(bucket-\d+)\//.exec(from.location)?.[1];
      // With what the server keeps beside the content.
      if (original)
        execFileSync("cp", ["-a", `${join(server.folderOf(original), PREFIX)}.`, folder]);
      return place;
    },
    close: async () => {
      await watch.close();
      await server.stop();
    },
  };
}

/** The double of Cloud Storage, which is as strict as the real one. */
export async function startGcs(): Promise<Service> {
  const double = await new GcsDouble().listen();
  const watch = await watchRequests(double.endpoint);
  let buckets = 0;
  const env = {
    STORAGE_EMULATOR_HOST: watch.host,
    GOOGLE_ACCESS_TOKEN: "any",
    GOOGLE_PROJECT_ID: "project",
  };
  const error = (code: number, reason: string, message: string): WatchedAnswer => ({
    status: code,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ error: { code, message, errors: [{ reason }] } }),
  });
  const denial = "somebody does not have storage.objects.delete access to the object.";
  return {
    watch,
    slowDown: error(503, "backendError", "Slow down."),
    denied: error(403, "forbidden", denial),
    place: (from, settings = {}) => {
      const bucket: Bucket = double.createBucket({ name: `bucket-${buckets++}`, ...settings });
      const { denied, limitWrites } = bucket.settings;
      const beyondRules = <T>(work: () => T): T => {
        const { retentionSeconds } = bucket.settings;
        Object.assign(bucket.settings, {
          denied: new Set(),
          retentionSeconds: 0,
          limitWrites: false,
        });
        try {
          return work();
        } finally {
          Object.assign(bucket.settings, { denied, retentionSeconds, limitWrites });
        }
      };
      const place: Place = {
        location: `gs:${bucket.settings.name}:/${PREFIX.slice(0, -1)}`,
        env,
        names: () =>
          beyondRules(() => bucket.all(false)).map(({ name }) => name.slice(PREFIX.length)),
        read: (name) => bucket.peek(PREFIX + name)!.content,
        write: (name, content) => {
          const metadata = { name: PREFIX + name };
          beyondRules(() => bucket.insert({ metadata, content, preconditions: {} }));
        },
        remove: (name) => beyondRules(() => bucket.delete(PREFIX + name, undefined, {})),
      };
      for (const name of from?.names() ?? []) place.write(name, from!.read(name));
      return place;
    },
    close: async () => {
      await watch.close();
      await double.close();
    },
  };
}

/** The same objects of a bucket of S3, by way of a real rclone. */
export function throughRclone(place: Place): Place {
  const [, host = "", path = ""] = /^s3:(http:\/\/[^/]+)\/(.+)$/.exec(place.location) ?? [];
  const { path: program } = peer("rclone");
  const env = {
    PATH: `${dirname(program)}:${process.env["PATH"]}`,
    HOLDFAST_RCLONE_NATIVE: "never",
    HOLDFAST_RCLONE_PROGRAM: program,
    RCLONE_CONFIG: "/dev/null",
    RCLONE_CONFIG_BOX_TYPE: "s3",
    RCLONE_CONFIG_BOX_PROVIDER: "Other",
    RCLONE_CONFIG_BOX_ENDPOINT: host,
    RCLONE_CONFIG_BOX_ACCESS_KEY_ID: place.env["AWS_ACCESS_KEY_ID"]!,
    RCLONE_CONFIG_BOX_SECRET_ACCESS_KEY: place.env["AWS_SECRET_ACCESS_KEY"]!,
  };
  return { ...place, location: `rclone:box:${path}`, env };
}

/** Puts the files of a repository's folder into a new bucket. */
export function placeFolder(service: Service, folder: string): Place {
  const place = service.place();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    place.write(path.slice(folder.length + 1), readFileSync(path));
  }
  return place;
}

/** Opens the repository of a place in this process, as another one on the same machine would; close its storage. */
export async function openPlace(
  place: Place,
  machine: Partial<Machine> = {},
  options: Partial<OpenStorageOptions> = {},
): Promise<Repository> {
  const storage = await openStorage(place.location, {
    env: place.env,
    clock: systemClock,
    random: systemRandom,
    retry: { delayFirst: 1, delayMax: 4, attemptsMax: 8 },
    ...options,
  });
  return openRepository({ storage, password: PASSWORD, machine: { ...MACHINE, ...machine } });
}

/** Both programs on the repository of a place. */
export interface Programs {
  holdfast(words: readonly string[], options?: RunOptions): Promise<Run>;
  restic(words: readonly string[], options?: RunOptions): Promise<Run>;
}

export function programsOn(bench: Workbench, place: Place): Programs {
  const on = (options: RunOptions = {}): RunOptions => ({
    repository: place.location,
    ...options,
    env: { ...place.env, ...options.env },
  });
  return {
    holdfast: (words, options) => bench.holdfast(words, { status: 0, ...on(options) }),
    restic: (words, options) => bench.restic("newest", words, { status: 0, ...on(options) }),
  };
}

/** Real restic reads every byte and finds nothing wrong; locks that were left behind would be in its way. */
export async function assertResticContent(bench: Workbench, place: Place): Promise<void> {
  const { restic } = programsOn(bench, place);
  if (place.names().some((name) => name.startsWith("locks/")))
    await restic(["unlock", "--remove-all"]);
  const { stdout } = await restic(["check", "--read-data"]);
  assert.match(stdout, /no errors were found/);
}
