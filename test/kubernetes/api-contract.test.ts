// What the operator relies on of an API server, asked of the double and, where its programs are built, of the real one: the same
// cases, the same answers. A case that only the double passes is a lie that other tests would believe.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite } from "node:test";
import { createApiClient } from "../../src/operator/cluster/api-client.ts";
import { fixedCredentials } from "../../src/operator/cluster/cluster-config.ts";
import { CRD, NAMESPACE } from "../../src/operator/cluster/kinds.ts";
import { allCrds } from "../../src/operator/resources/crds.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import { eventually, type Side } from "./api-contract/contract-objects.ts";
import { readingCases } from "./api-contract/reading.ts";
import { restartCases } from "./api-contract/restart.ts";
import { writingCases } from "./api-contract/writing.ts";
import { startApiDouble } from "./api-double.ts";
import { clusterPrograms, skipWithoutCluster } from "./cluster/binaries.ts";
import { startControlPlane } from "./cluster/control-plane.ts";

async function doubleSide(): Promise<Side> {
  const double = await startApiDouble({ crds: allCrds() });
  return {
    api: double.api(),
    restart: async (during) => {
      await double.stop();
      await during();
      await double.start();
    },
    close: () => double.close(),
  };
}

async function realSide(): Promise<Side> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-contract-"));
  const plane = await startControlPlane(clusterPrograms(), folder);
  const credentials = fixedCredentials({ token: plane.token });
  const api = createApiClient({ server: plane.address, authorities: plane.authority, credentials });
  for (const crd of allCrds()) await api.create(CRD, crd);
  await eventually(() => api.serves(REPLICATION_SOURCE));
  await plane.startControllers();
  return {
    api,
    restart: (during) => plane.restartApiServer(during),
    close: async () => {
      api.close();
      await plane.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function conformance(open: () => Promise<Side>): void {
  let side: Side;
  before(async () => {
    side = await open();
    const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "contract" } };
    await side.api.create(NAMESPACE, namespace);
  });
  after(() => side?.close());
  writingCases(() => side.api);
  readingCases(() => side.api);
  restartCases(() => side);
}

suite("the double", () => conformance(doubleSide));
suite("the real API server", { skip: skipWithoutCluster() }, () => conformance(realSide));
