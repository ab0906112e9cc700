// Keys derived in threads, against the vectors of RFC 7914 §12 and against Node's scrypt.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { scryptSync } from "node:crypto";
import { join } from "node:path";
import { suite, test } from "node:test";
import { pathToFileURL } from "node:url";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { deriveKey } from "../restic/crypto.ts";
import type { MasterKey } from "../restic/crypto.ts";
import { createKernels, romixBytes } from "../restic/kernels.ts";
import { deriveKeyInThreads } from "./derive-key.ts";

const hex = ({ encrypt, macK, macR }: MasterKey): string =>
  Buffer.concat([encrypt, macK, macR]).toString("hex");

suite("keys derived in threads", () => {
  test("the vector of RFC 7914 with sixteen lanes", async () => {
    const salt = Buffer.from("NaCl");
    const key = await deriveKeyInThreads("password", { N: 1024, r: 8, p: 16, salt }, 2);
    assert.equal(
      hex(key),
      "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162" +
        "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640",
    );
  });

  test("the same as in one, for even and odd numbers of lanes, any block size and any number of threads", async () => {
    const salt = seededBytes("salt", 64);
    for (const [N, r, p, threads] of [
      [32768, 8, 8, 2],
      [32768, 8, 7, 2],
      [32768, 8, 3, 1],
      [16384, 8, 5, 8],
      [32768, 1, 8, 3],
      [8192, 17, 2, 2],
      [1024, 128, 3, 2],
      [16, 2, 4096, 2],
    ] as const) {
      const parameters = { N, r, p, salt };
      assert.equal(
        hex(await deriveKeyInThreads("pass wörd", parameters, threads)),
        hex(await deriveKey("pass wörd", parameters)),
        JSON.stringify({ N, r, p, threads }),
      );
    }
  });

  test("without memory for a thread it goes without", () => {
    const url = pathToFileURL(join(import.meta.dirname, "derive-key.ts"));
    const program = `
      const { deriveKeyInThreads } = await import("${url.href}");
      const parameters = { N: 16384, r: 8, p: 2, salt: Buffer.from("NaCl") };
      console.log(Buffer.from((await deriveKeyInThreads("x", parameters, 2)).encrypt).toString("hex"));`;
    const options = ["--wasm-max-mem-pages=100", "--input-type=module", "-e", program];
    const { stdout, stderr } = spawnSync(process.execPath, options, { encoding: "utf8" });
    const want = scryptSync("x", "NaCl", 32, { N: 16384, r: 8, p: 2, maxmem: 64 << 20 });
    assert.equal(stdout.trim(), want.toString("hex"), stderr);
  });

  test("one lane, many lanes, small costs and more memory than allowed are Node's", async () => {
    const salt = seededBytes("salt", 64);
    for (const [N, r, p] of [
      [16384, 8, 1],
      [16, 8, 2],
      [131072, 8, 2],
      [4, 2, 20_000],
    ] as const) {
      const parameters = { N, r, p, salt };
      const key = await deriveKeyInThreads("x", parameters, 2);
      assert.equal(hex(key), hex(await deriveKey("x", parameters)));
    }
  });
});

test("mixing writes nothing but its blocks and its memory", () => {
  const [n, length] = [16, 384];
  const used = 2 * length + romixBytes(n, length);
  const { base, bytes, romixPair } = createKernels({ bytes: used + 4096 });
  const content = Buffer.from(seededBytes("around", bytes.length - base));
  bytes.set(content, base);
  romixPair(base + 16, base + 16 + 2 * length, n, length);
  const isSame = (from: number, to: number): boolean =>
    content.subarray(from, to).equals(bytes.subarray(base + from, base + to));
  assert.ok(isSame(0, 16) && isSame(16 + used, content.length));
});
