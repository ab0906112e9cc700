import { test } from "node:test";
import assert from "node:assert/strict";
import { isHoldfastError } from "../base/errors.ts";
import { readSettings } from "./environment.ts";
import type { Environment, GlobalFlags } from "./environment.ts";

test("without anything set there are defaults", () => {
  assert.deepEqual(readSettings({}, { HOME: "/home/odoo" }), {
    compression: "auto",
    packSize: undefined,
    readConcurrency: undefined,
    host: undefined,
    cacheFolder: "/home/odoo/.cache/restic",
    progressFps: 0,
    caCertificates: [],
    clientCertificate: undefined,
    insecureTls: false,
    uploadRate: undefined,
    downloadRate: undefined,
    requestSilence: undefined,
    userAgent: undefined,
    storageOptions: new Map(),
    sopsKeys: undefined,
    lock: true,
    retryLock: 0,
    extraVerify: true,
    debug: false,
    timeZone: undefined,
    canRedraw: true,
  });
});

test("variables are read under restic's names", () => {
  const settings = readSettings(
    {
      lock: false,
      retryLock: "5m",
      extraVerify: false,
      insecureTls: true,
      limitUpload: "1024",
      limitDownload: "0",
      stuckRequestTimeout: "90s",
      option: ["gs.connections=8"],
    },
    {
      HOLDFAST_SOPS_KEYS: "sops-age.yaml",
      RESTIC_COMPRESSION: "max",
      RESTIC_PACK_SIZE: "64",
      RESTIC_READ_CONCURRENCY: "4",
      RESTIC_HOST: "volsync",
      RESTIC_CACHE_DIR: "/cache",
      RESTIC_PROGRESS_FPS: "0.016666",
      RESTIC_CACERT: "/a.pem,/b.pem",
      RESTIC_TLS_CLIENT_CERT: "/c.pem",
      RESTIC_HTTP_USER_AGENT: "curl/8",
      HOLDFAST_DEBUG: "1",
      TZ: "UTC",
      TERM: "dumb",
    },
  );
  assert.deepEqual(settings, {
    compression: "max",
    packSize: 64 * 2 ** 20,
    readConcurrency: 4,
    host: "volsync",
    cacheFolder: "/cache",
    progressFps: 0.016666,
    caCertificates: ["/a.pem", "/b.pem"],
    clientCertificate: "/c.pem",
    insecureTls: true,
    uploadRate: 1_048_576,
    downloadRate: undefined,
    requestSilence: 90_000,
    userAgent: "curl/8",
    storageOptions: new Map([["gs.connections", "8"]]),
    sopsKeys: { value: "sops-age.yaml", source: "HOLDFAST_SOPS_KEYS" },
    lock: false,
    retryLock: 300_000,
    extraVerify: false,
    debug: true,
    timeZone: "UTC",
    canRedraw: false,
  });
});

test("a flag beats a variable, HOLDFAST_ beats RESTIC_, and an empty variable is not set", () => {
  const environment = { RESTIC_HOST: "a", HOLDFAST_HOST: "b", RESTIC_PACK_SIZE: "not a number" };
  const flags = { host: "c", packSize: "8" };
  const chosen = readSettings(flags, environment);
  assert.deepEqual([chosen.host, chosen.packSize], ["c", 8 * 2 ** 20]);
  assert.equal(readSettings({}, { RESTIC_HOST: "a", HOLDFAST_HOST: "b" }).host, "b");
  assert.equal(readSettings({}, { RESTIC_HOST: "a", HOLDFAST_HOST: "" }).host, "a");
  assert.equal(readSettings({}, { RESTIC_COMPRESSION: "", HOLDFAST_DEBUG: "0" }).debug, false);
});

test("0 stands for the default", () => {
  const settings = readSettings(
    {},
    { RESTIC_PACK_SIZE: "0", RESTIC_READ_CONCURRENCY: "0", RESTIC_PROGRESS_FPS: "-1" },
  );
  assert.deepEqual(
    [settings.packSize, settings.readConcurrency, settings.progressFps],
    [undefined, undefined, 0],
  );
});

test("the cache is restic's own folder", () => {
  const folder = (flags: GlobalFlags, environment: Environment) =>
    readSettings(flags, environment).cacheFolder;
  assert.equal(folder({}, { XDG_CACHE_HOME: "/xdg", HOME: "/root" }), "/xdg/restic");
  assert.equal(folder({ cacheDir: "/flag" }, { RESTIC_CACHE_DIR: "/cache" }), "/flag");
  assert.equal(folder({ cache: false }, { RESTIC_CACHE_DIR: "/cache" }), undefined);
  assert.equal(folder({}, {}), undefined);
});

test("an invalid value is a usage error that names its source", () => {
  const cases: [GlobalFlags, Environment, string][] = [
    [{}, { RESTIC_COMPRESSION: "zip" }, "RESTIC_COMPRESSION"],
    [{ compression: "" }, {}, "--compression"],
    [{}, { HOLDFAST_PACK_SIZE: "64M" }, "HOLDFAST_PACK_SIZE"],
    [{ packSize: "3" }, {}, "--pack-size"],
    [{}, { RESTIC_PACK_SIZE: "129" }, "RESTIC_PACK_SIZE"],
    [{}, { RESTIC_READ_CONCURRENCY: "-1" }, "RESTIC_READ_CONCURRENCY"],
    [{ readConcurrency: "4294967296" }, {}, "--read-concurrency"],
    [{}, { RESTIC_PROGRESS_FPS: "fast" }, "RESTIC_PROGRESS_FPS"],
    [{ retryLock: "5" }, {}, "--retry-lock"],
  ];
  for (const [flags, environment, source] of cases) {
    assert.throws(
      () => readSettings(flags, environment),
      (error: unknown) =>
        isHoldfastError(error, "USAGE") && error.message.startsWith(`${source}: "`),
      source,
    );
  }
});
