// The face of the test cluster, for tests of other folders.

export { skipWithoutCluster } from "./cluster/binaries.ts";
export { makeAuthority } from "./cluster/certificates.ts";
export { startOperator, type OperatorProcess } from "./cluster/operator-process.ts";
export { startTestCluster, until, type TestCluster } from "./cluster/test-cluster.ts";
