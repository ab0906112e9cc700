// A Kubernetes API server in memory, spoken to over HTTP by the client that the operator uses: as strict as the real one where the
// operator depends on it, and able to fail in every way in which a real one can. test/kubernetes/api-contract.test.ts holds the two
// side by side.
//
// It runs no controllers but the garbage collector; what else a cluster does, a test plays (`play`), or does itself (`objects`).

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { createApiClient, type ApiClient } from "../../src/operator/cluster/api-client.ts";
import { fixedCredentials, type ClusterConfig } from "../../src/operator/cluster/cluster-config.ts";
import { CRD, NAMESPACE } from "../../src/operator/cluster/kinds.ts";
import type { KubeObject } from "../../src/operator/cluster/kube-object.ts";
import { ApiResources } from "./api-double/api-resources.ts";
import { ApiServer } from "./api-double/api-server.ts";
import { DoubleObjects } from "./api-double/double-objects.ts";
import {
  Faults,
  matches,
  type ApiCall,
  type CallMatch,
  type Fault,
  type FaultKind,
} from "./api-double/faults.ts";
import { Garbage } from "./api-double/garbage.ts";
import { ListPages } from "./api-double/list-pages.ts";
import { ObjectTable } from "./api-double/object-table.ts";
import { ObjectWrites } from "./api-double/object-writes.ts";
import { PlayedControllers } from "./api-double/played-controllers.ts";
import type { User } from "./api-double/rbac.ts";
import { Watches } from "./api-double/watches.ts";

export interface ApiDoubleOptions {
  /** Names of namespaces to begin with, besides `default`. */
  readonly namespaces?: readonly string[];
  /** CustomResourceDefinitions to begin with. */
  readonly crds?: readonly object[];
  /** Users by token; absent: everybody may do everything. */
  readonly users?: Readonly<Record<string, User>>;
  /** False: a cluster without the CRDs of snapshots. */
  readonly snapshots?: boolean;
  /** For times that the server sets. */
  readonly clock?: { now(): number };
}

export class ApiDouble {
  /** What is there, behind the server's back. */
  readonly objects: DoubleObjects;
  readonly watches: Watches;
  /** Controllers to be played. */
  readonly play: PlayedControllers;
  /** Every call, oldest first. */
  readonly calls: ApiCall[] = [];
  /** What pods have printed, by `namespace/name`. */
  readonly podLogs: Map<string, string> = new Map();
  readonly #table = new ObjectTable();
  readonly #faults = new Faults();
  readonly #refusals: ((call: ApiCall) => string | undefined)[] = [];
  readonly #garbage: Garbage;
  readonly #api: ApiServer;
  readonly #server: Server;
  readonly #clients: ApiClient[] = [];
  #port = 0;

  constructor(options: ApiDoubleOptions = {}) {
    const now = (): number => (options.clock ?? Date).now();
    const resources = new ApiResources({ snapshots: options.snapshots ?? true });
    const writes = new ObjectWrites(this.#table, resources, now);
    this.objects = new DoubleObjects(this.#table, now);
    this.watches = new Watches(this.#table);
    this.#garbage = new Garbage(this.#table, now);
    this.play = new PlayedControllers(this.#table, this.objects, this.podLogs);
    this.#api = new ApiServer({
      resources,
      writes,
      lists: new ListPages(this.#table),
      watches: this.watches,
      faults: this.#faults,
      users: options.users && new Map(Object.entries(options.users)),
      podLogs: this.podLogs,
      onCall: (call) => void this.calls.push(call),
      admit: (call) =>
        this.#refusals.map((refuse) => refuse(call)).find((text) => text !== undefined),
    });
    for (const name of ["default", ...(options.namespaces ?? [])]) this.addNamespace(name);
    const crd = resources.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")!;
    for (const definition of options.crds ?? []) writes.create(crd, undefined, definition, false);
    // Bodies are read to their end before anything is answered, so a connection can be used again.
    this.#server = createServer((request, response) => void this.#api.handle(request, response));
    // Idle connections of a test's end must not be waited for.
    this.#server.keepAliveTimeout = 0;
  }

  /** Begins to listen on a free port. */
  async start(): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#port, "127.0.0.1", resolve);
    });
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  config(token?: string): ClusterConfig {
    return {
      server: this.url,
      ...(token === undefined ? {} : { credentials: fixedCredentials({ token }) }),
    };
  }

  /** A client, as the user with that token; closed with the double. */
  api(token?: string): ApiClient {
    const client = createApiClient(this.config(token));
    this.#clients.push(client);
    return client;
  }

  addNamespace(name: string, metadata: Partial<KubeObject["metadata"]> = {}): void {
    this.objects.put(NAMESPACE, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, finalizers: ["kubernetes"], ...metadata },
      status: { phase: "Active" },
    });
  }

  /** Serves a custom resource. */
  async addCrd(definition: object): Promise<void> {
    await this.api().create(CRD, definition as KubeObject);
  }

  /** The next `times` calls that match meet it; once by default. */
  fault(match: CallMatch, how: FaultKind, { times = 1 }: { times?: number } = {}): Fault {
    return this.#faults.add(match, how, times);
  }

  /** Admission refuses what matches, from now on. The result ends it. */
  deny(match: CallMatch, message: string): () => void {
    return this.admission((call) => (matches(match, call) ? message : undefined));
  }

  /** A rule of admission: a text refuses the write. The result ends it. */
  admission(rule: (call: ApiCall) => string | undefined): () => void {
    this.#refusals.push(rule);
    return () => void this.#refusals.splice(this.#refusals.indexOf(rule), 1);
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  /** Breaks the connections of watches: of all, or of those of one plural. */
  cutWatches(plural?: string): void {
    this.watches.cut(plural);
  }

  /** Forgets all history: watches from before are answered with 410, and so are lists half read. */
  compact(): void {
    this.#table.compact();
  }

  /** The version that the server has reached. */
  get revision(): number {
    return this.#table.revision;
  }

  /** Nobody listens any more, and every connection is broken. Objects stay. `start` ends it, on the same port. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.stop();
  }

  /** Calls of a verb and plural so far. */
  countCalls(match: CallMatch): number {
    return this.calls.filter((call) => matches(match, call)).length;
  }

  /** Waits until nobody asks for anything and no controller is at work, for some turns of the event loop in a row. */
  async quiet(turns = 30): Promise<void> {
    for (let calm = 0, seen = -1; calm < turns;) {
      await turn();
      const mark = this.#api.total + this.#table.revision;
      const isCalm =
        this.#api.busy === 0 && this.play.busy === 0 && this.#garbage.isQuiet && mark === seen;
      calm = isCalm ? calm + 1 : 0;
      seen = mark;
    }
  }
}

/** Starts a double on a free port. `close` it at the end of the test. */
export async function startApiDouble(options: ApiDoubleOptions = {}): Promise<ApiDouble> {
  return await new ApiDouble(options).start();
}
