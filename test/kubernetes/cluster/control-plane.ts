// A real control plane without nodes: etcd, kube-apiserver and kube-controller-manager on ports of the loopback interface, with
// RBAC, admission and Pod Security as a cluster has them. Who plays the nodes and the storage is in the files beside this one.

import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { freePort } from "../../free-port.ts";
import type { ClusterPrograms } from "./binaries.ts";
import { makeAuthority, makeSigningKey, type Authority, type KeyPair } from "./certificates.ts";
import { startServer, untilReady, type ServerProcess } from "./server-process.ts";

export interface ControlPlane {
  /** `https://127.0.0.1:PORT` */
  readonly address: string;
  /** PEM. */
  readonly authority: string;
  /** Bearer token of an administrator. */
  readonly token: string;
  /** Kubeconfig of the administrator. */
  readonly kubeconfig: string;
  /** What kubelets serve with, and what they expect of the API server. */
  readonly keys: { readonly authority: Authority; readonly kubelet: KeyPair };
  readonly apiServer: ServerProcess;
  /** Starts the controllers: after CRDs, whose objects the garbage collector would otherwise notice 30 seconds later. */
  startControllers(): Promise<void>;
  /** Ends the API server and starts it again on the same port and data: an outage of `during`. */
  restartApiServer(during?: () => Promise<void>): Promise<void>;
  stop(): Promise<void>;
}

/** Controllers that matter to what we do; the rest would only cost time. */
const CONTROLLERS = [
  "job-controller",
  "garbage-collector-controller",
  "namespace-controller",
  "serviceaccount-controller",
  "root-ca-certificate-publisher-controller",
  "persistentvolume-binder-controller",
  "persistentvolumeclaim-protection-controller",
  "persistentvolume-protection-controller",
  "pod-garbage-collector-controller",
  "node-lifecycle-controller",
  "taint-eviction-controller",
  "deployment-controller",
  "replicaset-controller",
  "statefulset-controller",
  "endpointslice-controller",
  "resourcequota-controller",
  "clusterrole-aggregation-controller",
];

/** Starts etcd and the API server with all their files in `folder`; resolves when the API server answers. */
export async function startControlPlane(
  programs: ClusterPrograms,
  folder: string,
): Promise<ControlPlane> {
  await mkdir(folder, { recursive: true });
  const authority = await makeAuthority(folder);
  const hosts = ["IP:127.0.0.1", "DNS:localhost", "DNS:kubernetes.default.svc"];
  const [server, kubelet, kubeletClient, signing, port, etcdPort, peerPort] = await Promise.all([
    authority.issue({ name: "kube-apiserver", subject: "/CN=kube-apiserver", hosts }),
    authority.issue({ name: "kubelet", subject: "/CN=kubelet", hosts: ["IP:127.0.0.1"] }),
    authority.issue({
      name: "kubelet-client",
      subject: "/O=system:masters/CN=kube-apiserver-kubelet-client",
    }),
    makeSigningKey(folder),
    freePort(),
    freePort(),
    freePort(),
  ]);
  const token = randomBytes(24).toString("hex");
  const tokens = join(folder, "tokens.csv");
  await writeFile(tokens, `${token},admin,admin,"system:masters"\n`, { mode: 0o600 });
  const address = `https://127.0.0.1:${port}`;
  const kubeconfig = join(folder, "admin.kubeconfig");
  await writeFile(
    kubeconfig,
    kubeconfigText({ address, authority: authority.certificate, token }),
    { mode: 0o600 },
  );

  const etcdAddress = `http://127.0.0.1:${etcdPort}`;
  const etcd = startServer({
    name: "etcd",
    program: programs.etcd,
    args: [
      "--data-dir",
      join(folder, "etcd"),
      "--name",
      "test",
      "--unsafe-no-fsync",
      "--listen-client-urls",
      etcdAddress,
      "--advertise-client-urls",
      etcdAddress,
      "--listen-peer-urls",
      `http://127.0.0.1:${peerPort}`,
      "--initial-advertise-peer-urls",
      `http://127.0.0.1:${peerPort}`,
      "--initial-cluster",
      `test=http://127.0.0.1:${peerPort}`,
      "--log-level",
      "error",
    ],
    // Debian's builds ask for this on some machines.
    env: { ETCD_UNSUPPORTED_ARCH: process.arch === "arm64" ? "arm64" : "" },
  });
  const servers: ServerProcess[] = [etcd];
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((each) => each.stop()));
  };
  const runApiServer = async (): Promise<ServerProcess> => {
    const process = startServer({
      name: "kube-apiserver",
      program: programs.apiServer,
      args: [
        "--etcd-servers",
        etcdAddress,
        "--secure-port",
        String(port),
        "--bind-address",
        "127.0.0.1",
        "--advertise-address",
        "127.0.0.1",
        "--tls-cert-file",
        server.certificate,
        "--tls-private-key-file",
        server.key,
        "--client-ca-file",
        authority.certificate,
        "--token-auth-file",
        tokens,
        "--anonymous-auth=false",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        "--service-account-issuer",
        "https://kubernetes.default.svc",
        "--service-account-key-file",
        signing.public,
        "--service-account-signing-key-file",
        signing.key,
        "--kubelet-client-certificate",
        kubeletClient.certificate,
        "--kubelet-client-key",
        kubeletClient.key,
        "--kubelet-certificate-authority",
        authority.certificate,
        "--kubelet-preferred-address-types=InternalIP",
        "--service-cluster-ip-range=10.96.0.0/24",
        "--endpoint-reconciler-type=none",
        "--shutdown-delay-duration=0s",
        "--profiling=false",
      ],
    });
    servers.push(process);
    await untilReady("kube-apiserver", process, () =>
      answers(`${address}/readyz`, authority.certificate, token),
    );
    return process;
  };
  try {
    let apiServer = await runApiServer();
    return {
      address,
      authority: await readFile(authority.certificate, "utf8"),
      token,
      kubeconfig,
      keys: { authority, kubelet },
      get apiServer() {
        return apiServer;
      },
      async startControllers() {
        const managerPort = await freePort();
        const manager = startServer({
          name: "kube-controller-manager",
          program: programs.controllerManager,
          args: [
            "--kubeconfig",
            kubeconfig,
            "--leader-elect=false",
            "--controllers",
            CONTROLLERS.join(","),
            "--bind-address",
            "127.0.0.1",
            "--secure-port",
            String(managerPort),
            "--tls-cert-file",
            server.certificate,
            "--tls-private-key-file",
            server.key,
            "--service-account-private-key-file",
            signing.key,
            "--root-ca-file",
            authority.certificate,
            "--node-monitor-period=1s",
            "--node-monitor-grace-period=6s",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            "--min-resync-period=12h",
            "--pvclaimbinder-sync-period=2s",
            "--profiling=false",
          ],
        });
        servers.push(manager);
        await untilReady("kube-controller-manager", manager, () =>
          answers(`https://127.0.0.1:${managerPort}/healthz`, authority.certificate, token),
        );
      },
      async restartApiServer(during) {
        await apiServer.stop("SIGKILL");
        await during?.();
        apiServer = await runApiServer();
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A kubeconfig with one user and one cluster. */
export function kubeconfigText(options: {
  readonly address: string;
  /** Path of a PEM file. */
  readonly authority: string;
  readonly token: string;
}): string {
  return `${JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "test",
    clusters: [
      {
        name: "test",
        cluster: { server: options.address, "certificate-authority": options.authority },
      },
    ],
    users: [{ name: "test", user: { token: options.token } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
  })}\n`;
}

/** Whether an HTTPS server answers with 200. */
async function answers(url: string, authority: string, token: string): Promise<boolean> {
  const ca = await readFile(authority);
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` };
    const asked = request(url, { ca, headers, agent: false, timeout: 5_000 }, (response) => {
      response.resume();
      response.once("end", () => resolve(response.statusCode === 200));
    });
    asked.once("timeout", () => asked.destroy());
    asked.once("error", reject);
    asked.end();
  });
}
