import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { test } from "node:test";
import { ByteChannel } from "./byte-channel.ts";

const MIB = 1 << 20;

test("what is written is taken, in order, and the end is told", async () => {
  const channel = new ByteChannel();
  const taken: number[] = [];
  const taking = (async () => {
    for await (const bytes of channel) taken.push(...bytes);
  })();
  for (let i = 0; i < 100; i++) await channel.write(Uint8Array.of(i));
  channel.end();
  await taking;
  assert.deepEqual(
    taken,
    Array.from({ length: 100 }, (_, i) => i),
  );
});

test("a maker waits as long as nobody takes, and goes on then", async () => {
  const channel = new ByteChannel();
  let written = 0;
  const making = (async () => {
    for (; written < 5; written++) await channel.write(new Uint8Array(MIB));
    channel.end();
  })();
  for (let i = 0; i < 20; i++) await turn();
  assert.equal(written, 1);
  let total = 0;
  for await (const bytes of channel) total += bytes.length;
  await making;
  assert.equal(total, 5 * MIB);
});

test("a failure wakes both sides", async () => {
  const channel = new ByteChannel();
  const broken = new Error("broken");
  const making = (async () => {
    for (;;) await channel.write(new Uint8Array(MIB));
  })();
  const fails = assert.rejects(making, broken);
  await turn();
  channel.fail(broken);
  await fails;
  const take = async (): Promise<void> => {
    for await (const bytes of channel) assert.ok(bytes);
  };
  await assert.rejects(take(), broken);
  await assert.rejects(channel.write(Uint8Array.of(1)), broken);
  const silent = new ByteChannel();
  const taking = assert.rejects(
    (async () => {
      for await (const bytes of silent) assert.ok(bytes);
    })(),
    broken,
  );
  await turn();
  silent.fail(broken);
  await taking;
});
