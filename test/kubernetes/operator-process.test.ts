// `holdfast operator run` as a process, before an API server in memory: what it refuses, that it takes VolSync's lease and waits for
// whoever has it, and that it ends well.

import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { LEASE } from "../../src/operator/cluster/kinds.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import { NAMESPACE, startOnDouble, success, type OperatorOnDouble } from "./operator-on-double.ts";

const PROGRAM = join(import.meta.dirname, "../../bin/holdfast");

suite("holdfast operator run", () => {
  let on: OperatorOnDouble;
  let folder: string;
  let kubeconfig: string;

  before(async () => {
    on = await startOnDouble({ start: false });
    on.double.play.jobPods((job) => success(job));
    folder = await mkdtemp(join(tmpdir(), "holdfast-operator-"));
    kubeconfig = join(folder, "config");
    const config = {
      apiVersion: "v1",
      kind: "Config",
      "current-context": "double",
      contexts: [{ name: "double", context: { cluster: "double", user: "us" } }],
      clusters: [{ name: "double", cluster: { server: on.double.url } }],
      users: [{ name: "us", user: { token: "t" } }],
    };
    await writeFile(kubeconfig, JSON.stringify(config));
  });
  after(async () => {
    await on.close();
    await rm(folder, { recursive: true, force: true });
  });

  function start(...words: string[]): { child: ChildProcess; said: () => string } {
    const all = ["operator", "run", "--kubeconfig", kubeconfig, ...words];
    const env = { PATH: process.env["PATH"], HOME: folder };
    const child = spawn(PROGRAM, all, { env, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (piece: Buffer) => (text += piece.toString()));
    }
    return { child, said: () => text };
  }

  /** Waits until the program has said it, or has ended. */
  async function untilSaid(run: ReturnType<typeof start>, pattern: RegExp): Promise<string> {
    for (;;) {
      const match = pattern.exec(run.said());
      if (match) return match[1] ?? match[0];
      if (run.child.exitCode !== null) throw new Error(`it ended: ${run.said()}`);
      await Promise.race([once(run.child.stdout!, "data"), once(run.child, "close")]);
    }
  }

  const refused: [why: string, words: string[], RegExp][] = [
    ["a mode that there is not", ["--image", "x", "--mode", "strict"], /--mode: "strict"/],
    ["an address that is none", ["--image", "x", "--metrics-address", "8443"], /--metrics-address/],
    ["movers without an image", [], /the image of movers is not known/],
  ];
  for (const [why, words, pattern] of refused) {
    test(`refuses ${why}`, async () => {
      const run = start(...words);
      const [status] = (await once(run.child, "close")) as [number];
      assert.equal(status, 1, run.said());
      assert.match(run.said(), pattern);
    });
  }

  test("says which address cannot be had", async () => {
    const { port } = new URL(on.double.url);
    const taken = ["--metrics-address", `127.0.0.1:${port}`, "--probes-address", "0"];
    const run = start("--image", "x", ...taken);
    const [status] = (await once(run.child, "close")) as [number];
    assert.equal(status, 1, run.said());
    assert.match(run.said(), /EADDRINUSE[^]*--metrics-address/);
  });

  test("takes the lease, answers probes, serves metrics, runs, and gives the lease back", async () => {
    const doors = ["--metrics-address", "127.0.0.1:0", "--probes-address", "127.0.0.1:0"];
    const run = start("--image", "x", "--namespace", "volsync-system", ...doors);
    const metrics = await untilSaid(run, /metrics on port (\d+)/);
    const probes = await untilSaid(run, /probes on port (\d+)/);
    await untilSaid(run, /watching \d+ sources/);
    const lease = on.double.objects.get(LEASE, "volsync-system", "b95b3104.backube");
    assert.ok(lease?.spec.holderIdentity);
    assert.equal((await fetch(`http://127.0.0.1:${probes}/readyz`)).status, 200);
    const changed = new Promise<void>((resolve) => {
      on.double.admission(({ subresource, body }) => {
        const { status } = (body ?? {}) as { status?: { lastManualSync?: string } };
        if (subresource === "status" && status?.lastManualSync === "first") resolve();
        return undefined;
      });
    });
    await on.source("files");
    await changed;
    const page = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
    assert.match(page, /^holdfast_operator_leader 1$/m);
    assert.match(page, /obj_name="files"/);
    run.child.kill("SIGTERM");
    const [status] = (await once(run.child, "close")) as [number];
    assert.equal(status, 0, run.said());
    const left = on.double.objects.get(LEASE, "volsync-system", "b95b3104.backube");
    assert.equal(left?.spec.holderIdentity ?? "", "");
    assert.ok(on.double.objects.get(REPLICATION_SOURCE, NAMESPACE, "files"));
  });

  test("waits while VolSync has the lease", async () => {
    on.double.objects.update(LEASE, "volsync-system", "b95b3104.backube", (lease) => {
      lease.spec = { ...lease.spec, holderIdentity: "volsync_1", leaseDurationSeconds: 137 };
    });
    const doors = ["--metrics-address", "0", "--probes-address", "0"];
    const run = start("--image", "x", "--namespace", "volsync-system", ...doors);
    await untilSaid(run, /volsync_1 leads/);
    assert.doesNotMatch(run.said(), /watching/);
    run.child.kill("SIGTERM");
    const [status] = (await once(run.child, "close")) as [number];
    assert.equal(status, 0, run.said());
  });
});
