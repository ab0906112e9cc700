import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { FakeClock } from "../../../test/fake-clock.ts";
import { isHoldfastError, type ErrorCode } from "../../base/errors.ts";
import type { ClusterIo } from "./cluster-io.ts";
import { inClusterConfig } from "./in-cluster.ts";
import { findCluster, readKubeconfig } from "./kubeconfig.ts";

type Run = ClusterIo["run"];

function ioOf(
  files: Record<string, string>,
  environment: Record<string, string> = {},
  run?: Run,
): ClusterIo {
  return {
    environment,
    home: "/home/me",
    readText: (path) => Promise.resolve(files[path]),
    run: run ?? (() => Promise.reject(new Error("nothing is to be run"))),
  };
}

const CONFIG = "/home/me/.kube/config";
const config = (user: string, cluster = "{server: 'https://a:6443'}", more = ""): string => `
apiVersion: v1
kind: Config
current-context: main
contexts:
- {name: main, context: {cluster: c, user: u, namespace: apps}}
clusters:
- {name: c, cluster: ${cluster}}
users:
- {name: u, user: ${user}}
${more}`;

async function refused(work: Promise<unknown>, code: ErrorCode, text: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(isHoldfastError(error, code), String(error));
    assert.match(error.message, text);
    assert.ok(error.hint);
    return true;
  });
}

suite("kubeconfig", () => {
  const clock = new FakeClock();

  test("a context names cluster, user and namespace; certificates are data or files beside it", async () => {
    const data = Buffer.from("PEM").toString("base64");
    const files = {
      [CONFIG]: config(
        `{client-certificate: keys/me.crt, client-key-data: ${data}}`,
        `{server: 'https://a:6443', certificate-authority: /etc/ca, tls-server-name: b}`,
      ),
      "/home/me/.kube/keys/me.crt": "CERTIFICATE",
      "/etc/ca": "AUTHORITY",
    };
    const found = await readKubeconfig({ io: ioOf(files), clock });
    assert.equal(found.server, "https://a:6443");
    assert.equal(found.authorities, "AUTHORITY");
    assert.equal(found.serverName, "b");
    assert.equal(found.namespace, "apps");
    const identity = await found.credentials!.get();
    assert.equal(identity.certificate, "CERTIFICATE");
    assert.equal(identity.key, "PEM");
  });

  test("several files are merged: the first to name a thing wins, and one may be missing", async () => {
    const files = {
      "/one": `contexts: [{name: x, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {token: first}}]`,
      "/two": config("{token: second}"),
    };
    const io = ioOf(files, { KUBECONFIG: "/one:/none::/two" });
    const main = await findCluster({ io, clock });
    assert.equal((await main.credentials!.get()).token, "first");
    const other = await readKubeconfig({ io, clock, context: "x" });
    assert.equal(other.namespace, undefined);
    const named = await readKubeconfig({ io, clock, path: "/two" });
    assert.equal((await named.credentials!.get()).token, "second");
  });

  test("what cannot be used is told in words that hold no secret", async () => {
    const read = (text: string, context?: string): Promise<unknown> =>
      readKubeconfig({ io: ioOf({ [CONFIG]: text }), clock, context });
    await refused(
      readKubeconfig({ io: ioOf({}), clock }),
      "USAGE",
      /no kubeconfig: looked for \/home\/me/,
    );
    await refused(read(config("{}"), "other"), "USAGE", /no context "other"; it has main/);
    await refused(read("clusters: []"), "USAGE", /no context/);
    await refused(
      read(config("{}", "{server: 'https://a', proxy-url: 'http://p'}")),
      "USAGE",
      /proxy/,
    );
    await refused(read(config("{auth-provider: {name: gcp}}")), "USAGE", /auth-provider/);
    await refused(read(config("{client-certificate-data: aGk=}")), "USAGE", /without a key/);
    await refused(
      read(config("{}", "{server: 'https://a', certificate-authority: gone}")),
      "USAGE",
      /no such file/,
    );
    await refused(read("users: [{name: u}]"), "USAGE", /without name or user/);
    await assert.rejects(read("token: 's3cret\nx: ]"), (error: Error) => {
      assert.ok(
        isHoldfastError(error, "USAGE") && !error.message.includes("s3cret"),
        error.message,
      );
      return true;
    });
  });

  test("acting as somebody else, and a password", async () => {
    const text = config("{username: me, password: pw, as: other, as-groups: [a, b]}");
    const found = await readKubeconfig({ io: ioOf({ [CONFIG]: text }), clock });
    assert.deepEqual(found.impersonate, { user: "other", uid: undefined, groups: ["a", "b"] });
    assert.equal((await found.credentials!.get()).basic, "me:pw");
  });
});

suite("tokens from programs", () => {
  const plugin = `{exec: {apiVersion: client.authentication.k8s.io/v1, command: tools/plug, args: [get, "a b"], env: [{name: X, value: y}], provideClusterInfo: true, installHint: install it}}`;
  const answer = (status: object): string =>
    JSON.stringify({
      kind: "ExecCredential",
      apiVersion: "client.authentication.k8s.io/v1",
      status,
    });

  test("run without a shell, once for many, again when it expires or is refused", async () => {
    const clock = new FakeClock();
    const runs: Parameters<Run>[] = [];
    const io = ioOf({ [CONFIG]: config(plugin) }, {}, (...call) => {
      runs.push(call);
      const expirationTimestamp = new Date(clock.now() + 3_600_000).toISOString();
      return Promise.resolve({
        code: 0,
        stdout: answer({ token: `t${runs.length}`, expirationTimestamp }),
        stderr: "",
      });
    });
    const { credentials } = await readKubeconfig({ io, clock });
    const tokens = await Promise.all([credentials!.get(), credentials!.get()]);
    assert.deepEqual(
      tokens.map(({ token }) => token),
      ["t1", "t1"],
    );
    const [program, options] = runs[0]!;
    assert.equal(program, "/home/me/.kube/tools/plug");
    assert.deepEqual(options.arguments, ["get", "a b"]);
    assert.equal(options.variables["X"], "y");
    const info = JSON.parse(options.variables["KUBERNETES_EXEC_INFO"]!) as {
      spec: { cluster: { server: string } };
    };
    assert.equal(info.spec.cluster.server, "https://a:6443");
    await clock.advance(3_500_000);
    assert.equal((await credentials!.get()).token, "t1");
    await clock.advance(60_000);
    assert.equal((await credentials!.get()).token, "t2");
    assert.equal((await credentials!.get({ refused: true })).token, "t3");
  });

  test("what a program says wrongly is an error that shows none of it", async () => {
    const clock = new FakeClock();
    let result = { code: 0, stdout: "s3cret", stderr: "" };
    const io = ioOf({ [CONFIG]: config(plugin) }, {}, () => Promise.resolve(result));
    const { credentials } = await readKubeconfig({ io, clock });
    await refused(credentials!.get(), "CREDENTIALS_INVALID", /did not print JSON/);
    result = { code: 0, stdout: answer({}), stderr: "" };
    await refused(credentials!.get(), "CREDENTIALS_INVALID", /neither a token nor a certificate/);
    result = { code: 3, stdout: "s3cret", stderr: "not logged in\u001b[0m" };
    await refused(
      credentials!.get(),
      "CREDENTIALS_INVALID",
      /ended with status 3: not logged in\\u001b/,
    );
    const old = config(plugin.replace("k8s.io/v1", "k8s.io/v1alpha1"));
    await refused(
      readKubeconfig({ io: ioOf({ [CONFIG]: old }), clock }),
      "CREDENTIALS_INVALID",
      /v1alpha1/,
    );
  });
});

suite("in a pod", () => {
  const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
  const environment = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };

  test("the token is read again every minute, and at once when it is refused; one that is away for a moment is kept", async () => {
    const clock = new FakeClock();
    const files: Record<string, string> = {
      [`${ACCOUNT}/token`]: "one\n",
      [`${ACCOUNT}/ca.crt`]: "CA",
      [`${ACCOUNT}/namespace`]: "volsync-system",
    };
    const found = (await findCluster({ io: ioOf(files, environment), clock }))!;
    assert.equal(found.server, "https://[fd00::1]:443");
    assert.equal(found.namespace, "volsync-system");
    assert.equal(found.authorities, "CA");
    const token = async (refused = false): Promise<string | undefined> =>
      (await found.credentials!.get({ refused })).token;
    files[`${ACCOUNT}/token`] = "two";
    assert.equal(await token(), "one");
    assert.equal(await token(true), "two");
    delete files[`${ACCOUNT}/token`];
    await clock.advance(60_000);
    assert.equal(await token(), "two");
    files[`${ACCOUNT}/token`] = "three";
    await clock.advance(60_000);
    assert.equal(await token(), "three");
  });

  test("outside of one there is none; a pod without a token says so", async () => {
    const clock = new FakeClock();
    assert.equal(await inClusterConfig(ioOf({}), clock), undefined);
    await refused(inClusterConfig(ioOf({}, environment), clock), "CREDENTIALS_INVALID", /no token/);
  });

  test("a kubeconfig that was named comes before the cluster around us", async () => {
    const io = ioOf({ "/k": config("{token: t}") }, { ...environment, KUBECONFIG: "/k" });
    assert.equal((await findCluster({ io, clock: new FakeClock() })).server, "https://a:6443");
  });
});
