import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { isHoldfastError } from "../base/errors.ts";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { retrieveDataKey } from "./data-key.ts";
import { openDocument, type SopsDocument } from "./document.ts";
import type { KeyAttempt, KeyContext, WrappedKey } from "./key-source.ts";
import { splitSecret } from "./shamir.ts";

const context = {} as KeyContext;
const dataKey = seededBytes("data key", 32);

/** A document whose keys are wrapped by nothing: the `enc` is the hex of what they open to. */
function documentOf(
  groups: readonly (readonly [string, string, Uint8Array][])[],
  threshold: number,
): SopsDocument {
  const group = (keys: readonly [string, string, Uint8Array][]): object => {
    const lists: Record<string, object[]> = {};
    for (const [kind, id, bytes] of keys) {
      (lists[kind] ??= []).push({
        recipient: id,
        fp: id,
        resource_id: id,
        enc: Buffer.from(bytes).toString("hex"),
      });
    }
    return lists;
  };
  const keys =
    groups.length === 1
      ? group(groups[0]!)
      : { key_groups: groups.map(group), shamir_threshold: threshold };
  return openDocument(JSON.stringify({ a: "", sops: { ...keys, lastmodified: "", mac: "" } }), {
    name: "x.json",
  });
}

const opening =
  (names: readonly string[]) =>
  (key: WrappedKey): Promise<KeyAttempt> =>
    Promise.resolve(
      names.includes(key.id)
        ? { opened: true, dataKey: Buffer.from(key.enc, "hex"), where: "a test" }
        : { opened: false, reason: `no ${key.id} here` },
    );

suite("the data key", () => {
  test("is asked of age first, then of pgp, then of services", async () => {
    const document = documentOf(
      [
        [
          ["gcp_kms", "k", dataKey],
          ["pgp", "p", dataKey],
          ["age", "a", dataKey],
        ],
      ],
      1,
    );
    const { dataKey: found, tried } = await retrieveDataKey(document, opening(["k"]), context);
    assert.deepEqual(found, dataKey);
    assert.deepEqual(
      tried.map(({ key, opened }) => `${key.id} ${opened}`),
      ["a false", "p false", "k true"],
    );
  });

  test("that nothing opens is an error that names every key and why", async () => {
    const document = documentOf(
      [
        [
          ["age", "age1x", dataKey],
          ["pgp", "ABCD", dataKey],
        ],
      ],
      1,
    );
    await assert.rejects(retrieveDataKey(document, opening([]), context), (error) => {
      assert.ok(isHoldfastError(error, "SOPS_NO_KEY"));
      assert.match(error.message, /age age1x: no age1x here\n {2}pgp ABCD: no ABCD here/);
      return true;
    });
  });

  test("is put together from the shares of enough groups", async () => {
    const shares = splitSecret(dataKey, { count: 3, threshold: 2 }, (length) =>
      seededBytes("r", length),
    );
    const document = documentOf(
      shares.map((share, i) => [["age", `g${i}`, share]]),
      2,
    );
    assert.deepEqual(
      (await retrieveDataKey(document, opening(["g0", "g2"]), context)).dataKey,
      new Uint8Array(dataKey),
    );
    await assert.rejects(retrieveDataKey(document, opening(["g1"]), context), (error) => {
      return (
        isHoldfastError(error, "SOPS_NO_KEY") &&
        /fewer than 2 of its 3 key groups/.test(error.message)
      );
    });
  });

  test("that is no key is no key", async () => {
    const document = documentOf([[["age", "a", seededBytes("short", 16)]]], 1);
    await assert.rejects(retrieveDataKey(document, opening(["a"]), context), (error) =>
      isHoldfastError(error, "SOPS_INVALID"),
    );
  });
});
