// One pod on a node of the test cluster: from its volumes to its last word. Reports nothing while its node is lost.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Container, ContainerState, Pod } from "../../../src/operator/cluster/kube-object.ts";
import type { ClusterLink } from "./cluster-link.ts";
import {
  startContainer,
  USUAL_CAPABILITIES,
  type ContainerPlan,
  type ContainerProcess,
} from "./container-process.ts";
import { placeOf, type TestNodes } from "./node.ts";
import { environmentOf, expand, mountsOf, prepareVolumes } from "./pod-files.ts";

/** Images that can be had, with the user that each one's recipe names. All of them hold this machine's programs and ours. */
export type TestImages = Readonly<
  Record<string, { readonly user: number; readonly group?: number }>
>;

/** Where pods wait that are said to run, while a test holds them there. */
export interface StartGate {
  /** Resolves when they may go on; rejects when `signal` is aborted first. */
  pass(signal: AbortSignal): Promise<void>;
}

export interface PodRunOptions {
  readonly gate: StartGate;
  readonly link: ClusterLink;
  readonly nodes: TestNodes;
  readonly images: TestImages;
  readonly pod: Pod;
  readonly folder: string;
  readonly directoryOfVolume: (volume: string) => string;
  readonly signal: AbortSignal;
}

interface ContainerRecord {
  readonly container: Container;
  state: ContainerState;
  lastState?: ContainerState;
  restarts: number;
  process?: ContainerProcess;
  over: boolean;
}

/** A reason of Kubernetes why a container does not start, which may pass. */
class Waiting extends Error {
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

export class PodRun {
  readonly folder: string;
  readonly #options: PodRunOptions;
  readonly #records: ContainerRecord[];
  readonly #startTime = now();
  readonly #interrupted = new AbortController();
  #terminating: Promise<void> | undefined;
  #killed = false;
  #outOfMemory = false;
  #done: Promise<void> = Promise.resolve();
  #reports: Promise<void> = Promise.resolve();

  constructor(options: PodRunOptions) {
    this.#options = options;
    this.folder = options.folder;
    this.#records = options.pod.spec.containers.map((container) => ({
      container,
      state: { waiting: { reason: "ContainerCreating" } },
      restarts: 0,
      over: false,
    }));
  }

  start(): void {
    this.#done = this.#run().catch(() => undefined);
  }

  log(container: string | undefined): { path: string; over: () => boolean } | undefined {
    const record = this.#records.find(
      (each) => container === undefined || each.container.name === container,
    );
    const path = record?.process?.log;
    return path === undefined ? undefined : { path, over: () => record?.over ?? true };
  }

  /** Ends it at once, without a report. */
  async kill(): Promise<void> {
    this.#killed = true;
    this.#interrupted.abort();
    await Promise.all(this.#records.map(async ({ process }) => process?.kill("SIGKILL")));
    await this.#done;
  }

  async runOutOfMemory(): Promise<void> {
    this.#outOfMemory = true;
    this.#interrupted.abort();
    await Promise.all(this.#records.map(async ({ process }) => process?.kill("SIGKILL")));
  }

  /** Asks it to end, and makes it after its grace. */
  terminate(pod: Pod): Promise<void> {
    const { deletionGracePeriodSeconds: grace = 30 } = pod.metadata as {
      deletionGracePeriodSeconds?: number;
    };
    this.#interrupted.abort();
    this.#terminating ??= (async () => {
      const each = (signal: NodeJS.Signals): Promise<unknown> =>
        Promise.all(this.#records.map(async ({ process }) => process?.kill(signal)));
      await each("SIGTERM");
      const late = new AbortController();
      const killing = sleep(grace * 1000, undefined, { signal: late.signal, ref: false })
        .then(() => each("SIGKILL"))
        .catch(() => undefined);
      await this.#done;
      late.abort();
      await killing;
    })();
    return this.#terminating;
  }

  get #ended(): boolean {
    return this.#killed || this.#terminating !== undefined || this.#options.signal.aborted;
  }

  async #run(): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    this.#report("Pending");
    await Promise.all(this.#records.map((record, index) => this.#runContainer(record, index)));
    if (this.#killed) return;
    const failed = this.#records.some(({ state }) => state.terminated?.exitCode !== 0);
    this.#report(failed ? "Failed" : "Succeeded");
    await this.#reports;
  }

  async #runContainer(record: ContainerRecord, index: number): Promise<void> {
    for (;;) {
      const plan = await this.#plan(record, index);
      if (plan === undefined) {
        record.over = true;
        record.state = { terminated: { exitCode: 137, reason: "ContainerStatusUnknown" } };
        return;
      }
      record.over = false;
      const startedAt = now();
      record.state = { running: { startedAt } };
      this.#report("Running");
      const { code, signal, message } = await this.#execute(record, plan);
      const reason = this.#outOfMemory ? "OOMKilled" : code === 0 ? "Completed" : "Error";
      record.state = {
        terminated: {
          exitCode: code,
          reason,
          startedAt,
          finishedAt: now(),
          ...(signal === undefined ? {} : { signal: code - 128 }),
          ...(message === "" ? {} : { message }),
        },
      };
      record.over = true;
      const { restartPolicy = "Always" } = this.#options.pod.spec;
      const again = restartPolicy === "Always" || (restartPolicy === "OnFailure" && code !== 0);
      if (this.#ended || !again) return;
      record.lastState = record.state;
      record.state = { waiting: { reason: "CrashLoopBackOff" } };
      record.restarts += 1;
      this.#report("Running");
      await sleep(500 * record.restarts, undefined, { ref: false });
    }
  }

  async #execute(
    record: ContainerRecord,
    plan: ContainerPlan,
  ): Promise<{ code: number; signal?: string | undefined; message: string }> {
    try {
      await this.#options.gate.pass(this.#interrupted.signal);
    } catch {
      return { code: 137, signal: "SIGKILL", message: "" };
    }
    const process = await startContainer(plan);
    record.process = process;
    // Told to end while it was being started.
    if (this.#ended) await process.kill("SIGKILL");
    const ended = await process.exited;
    return { ...ended, message: await process.terminationMessage() };
  }

  /** What to start, as soon as all of it can be had. Undefined when the pod is to end first. */
  async #plan(record: ContainerRecord, index: number): Promise<ContainerPlan | undefined> {
    while (!this.#ended) {
      try {
        return await this.#planOnce(
          record.container,
          join(this.folder, `${index}-${record.restarts}`),
        );
      } catch (error) {
        const reason = error instanceof Waiting ? error.reason : "CreateContainerConfigError";
        const { message } = error as Error;
        if (record.state.waiting?.message !== message) {
          record.state = { waiting: { reason, message } };
          this.#report("Pending");
        }
        await sleep(250, undefined, { ref: false });
      }
    }
    return undefined;
  }

  async #planOnce(container: Container, folder: string): Promise<ContainerPlan> {
    const { pod, images, link, directoryOfVolume } = this.#options;
    const image = images[container.image ?? ""];
    if (image === undefined) {
      throw new Waiting("ImagePullBackOff", `Back-off pulling image "${container.image}"`);
    }
    const inPod = pod.spec.securityContext ?? {};
    const own = container.securityContext ?? {};
    const user = own.runAsUser ?? inPod.runAsUser ?? image.user;
    if ((own.runAsNonRoot ?? inPod.runAsNonRoot) === true && user === 0) {
      throw new Error("container has runAsNonRoot and image will run as root");
    }
    await mkdir(folder, { recursive: true });
    const files = { link, pod, folder: this.folder, directoryOfVolume };
    // What cannot be mounted is told by a kubelet in Events alone.
    const directories = await prepareVolumes(files).catch(() => {
      throw new Waiting("ContainerCreating", "");
    });
    const environment = await environmentOf(files, container);
    const words = [...(container.command ?? []), ...(container.args ?? [])];
    const dropped = own.capabilities?.drop ?? [];
    const usual = dropped.includes("ALL") || dropped.includes("all") ? [] : USUAL_CAPABILITIES;
    const added = (own.capabilities?.add ?? []).map((name) =>
      name.toLowerCase().replace(/^cap_/, ""),
    );
    return {
      folder,
      hostname: pod.metadata.name,
      command: words.map((word) => expand(word, environment)),
      environment,
      workingDirectory: (container["workingDir"] as string | undefined) ?? "/",
      mounts: mountsOf(pod, container, directories),
      user,
      group: own.runAsGroup ?? inPod.runAsGroup ?? image.group ?? 0,
      groups: [
        ...new Set([
          ...(inPod.fsGroup === undefined ? [] : [inPod.fsGroup]),
          ...(inPod.supplementalGroups ?? []),
        ]),
      ],
      capabilities: [...new Set([...usual, ...added])],
      noNewPrivileges: own.allowPrivilegeEscalation === false,
      readOnlyRoot: own.readOnlyRootFilesystem === true,
      terminationMessagePath: container.terminationMessagePath ?? "/dev/termination-log",
    };
  }

  /** Tells the API server, one report after the other, until it has heard. */
  #report(phase: "Pending" | "Running" | "Succeeded" | "Failed"): void {
    const { pod, link, nodes, signal } = this.#options;
    const status = this.#status(phase);
    this.#reports = this.#reports.then(async () => {
      // An outage of the API server lasts as long as a busy machine needs to start it.
      for (let attempt = 0; attempt < 3000 && !signal.aborted && !this.#killed; attempt += 1) {
        if (nodes.alive(pod.spec.nodeName ?? "")) {
          try {
            await link.patch(`${placeOf(pod, "pods")}/status`, {
              metadata: { uid: pod.metadata.uid },
              status,
            });
            return;
          } catch (error) {
            const code = (error as { status?: number }).status ?? 0;
            if (code === 404 || code === 409 || code === 422) return;
          }
        }
        await sleep(100, undefined, { ref: false });
      }
    });
  }

  #status(phase: "Pending" | "Running" | "Succeeded" | "Failed"): unknown {
    const ready = this.#records.every(({ state }) => state.running !== undefined);
    const condition = (type: string, holds: boolean): unknown => ({
      type,
      status: holds ? "True" : "False",
      lastTransitionTime: now(),
    });
    return {
      phase,
      startTime: this.#startTime,
      hostIP: "127.0.0.1",
      podIP: "127.0.0.1",
      podIPs: [{ ip: "127.0.0.1" }],
      conditions: [
        condition("PodScheduled", true),
        condition("Initialized", true),
        condition("ContainersReady", ready),
        condition("Ready", ready),
      ],
      containerStatuses: this.#records.map(({ container, state, lastState, restarts }) => ({
        name: container.name,
        image: container.image,
        imageID: container.image,
        ready: state.running !== undefined,
        started: state.running !== undefined,
        restartCount: restarts,
        state,
        ...(lastState === undefined ? {} : { lastState }),
      })),
    };
  }
}

function now(): string {
  return new Date().toISOString().replace(/\.\d+/, "");
}
