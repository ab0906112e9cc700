// The test cluster itself: what tests build on must hold before their failures mean anything.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { CLAIM } from "../../../src/operator/cluster/kinds.ts";
import { skipWithoutCluster } from "./binaries.ts";
import { startTestCluster, type TestCluster } from "./test-cluster.ts";

const skip = skipWithoutCluster();

suite("test cluster", { skip }, () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster();
  });
  after(() => cluster?.stop());

  test("kubectl and our client see the same", async () => {
    const namespace = await cluster.namespace({ enforce: "restricted" });
    const { stdout, code } = await cluster.kubectl("get", "namespace", namespace, "-o", "name");
    assert.equal(code, 0);
    assert.equal(stdout.trim(), `namespace/${namespace}`);
    const { items } = await cluster.api().list(CLAIM, { namespace });
    assert.deepEqual(items, []);
  });

  test("Pod Security refuses what a restricted namespace does not allow", async () => {
    const namespace = await cluster.namespace({ enforce: "restricted" });
    const { code, stderr } = await cluster.kubectl(
      "run",
      "root",
      "-n",
      namespace,
      "--image",
      "busybox",
      "--restart=Never",
    );
    assert.notEqual(code, 0);
    assert.match(stderr, /violates PodSecurity "restricted/);
  });
});
