// What `run` says while it goes on: what began, ended and failed, and every minute how everything stands. A terminal shows the
// newest state; a log gets a line a minute for each instance; --json gets every event.

import type { Clock } from "../base/clock.ts";
import { isHoldfastError, messageOf } from "../base/errors.ts";
import { formatLsn } from "../barman/lsn.ts";
import type { BuiltInstance } from "../plan/build-tasks.ts";
import { SERVICES } from "../plan/plan.ts";
import type { RunnerEvent, TaskStatus } from "../plan/runner.ts";
import { formatAge, formatLocalTime, formatShortAge } from "./format.ts";
import type { Output } from "./output.ts";
import { quoteUnprintable } from "./terminal-text.ts";

interface Options {
  readonly output: Output;
  readonly clock: Clock;
  readonly instances: readonly BuiltInstance[];
}

const WATCH_MS = 5000;
const LOG_MS = 60_000;

export class RunReport {
  readonly #options: Options;
  #toldAt = -Infinity;
  /** What failed was last told by task, and when: an outage is not told with every attempt. */
  readonly #failures = new Map<string, { readonly text: string; readonly at: number }>();

  constructor(options: Options) {
    this.#options = options;
  }

  /** Says what is worth it. */
  tell(event: RunnerEvent): void {
    const { output, clock } = this.#options;
    if (output.isJson) {
      output.json(eventMessage(event, clock.now()));
      return;
    }
    if (this.#isRepeated(event)) return;
    const line = `${formatLocalTime(clock.now())} ${event.instance} ${event.task}: ${eventText(event, clock.now())}`;
    if (event.kind === "failed" || event.kind === "notice" || event.kind === "abandoned") {
      output.warn(quoteUnprintable(line));
      const hint = event.kind === "failed" ? hintOf(event.error) : undefined;
      if (hint !== undefined) output.warn(`  hint: ${quoteUnprintable(hint)}`);
    } else if (event.kind === "started") output.verbose(line);
    else output.print(quoteUnprintable(line));
  }

  /** Tells how everything stands, until `signal` aborts. `statuses` are asked each time. */
  async watch(statuses: () => readonly TaskStatus[], signal: AbortSignal): Promise<void> {
    const { clock, output } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(WATCH_MS, signal).catch(() => undefined);
      if (signal.aborted) break;
      this.#state(statuses());
    }
    output.status([]);
  }

  #isRepeated(event: RunnerEvent): boolean {
    const name = `${event.instance} ${event.task}`;
    if (event.kind === "recovered" || event.kind === "done") this.#failures.delete(name);
    if (event.kind !== "failed") return false;
    const at = this.#options.clock.monotonic();
    const text = messageOf(event.error);
    const before = this.#failures.get(name);
    if (before?.text === text && at - before.at < LOG_MS) return true;
    this.#failures.set(name, { text, at });
    return false;
  }

  #state(statuses: readonly TaskStatus[]): void {
    const { clock, output, instances } = this.#options;
    const now = clock.now();
    if (output.canRedraw) {
      output.status(instances.map((one) => stateLine(one, statuses, now)));
      return;
    }
    if (clock.monotonic() - this.#toldAt < LOG_MS) return;
    this.#toldAt = clock.monotonic();
    for (const one of instances) {
      if (output.isJson) output.json(stateMessage(one, statuses, now));
      else output.print(`${formatLocalTime(now)} ${stateLine(one, statuses, now)}`);
    }
  }
}

function hintOf(error: unknown): string | undefined {
  return isHoldfastError(error) ? error.hint : undefined;
}

function eventText(event: RunnerEvent, now: number): string {
  switch (event.kind) {
    case "started":
      return "begins";
    case "done":
      return `${event.result.text} (${formatShortAge(event.seconds)})`;
    case "failed": {
      const next = formatAge((now - event.next) / 1000).replace("just now", "in a moment");
      return `${messageOf(event.error)}; trying again ${next}`;
    }
    case "stopped":
      return "stopped";
    case "recovered":
      return "works again";
    case "notice":
      return event.text;
    case "abandoned":
      return "did not stop in time, and is left";
  }
}

function eventMessage(event: RunnerEvent, now: number): object {
  const { instance, task, kind } = event;
  const common = {
    message_type: "task",
    time: timeText(now),
    instance,
    task,
    event: kind,
  };
  switch (event.kind) {
    case "done":
      return { ...common, seconds: event.seconds, ...event.result.detail };
    case "failed":
      return {
        ...common,
        code: isHoldfastError(event.error) ? event.error.code : null,
        message: messageOf(event.error),
        hint: hintOf(event.error),
        next: timeText(event.next),
      };
    case "notice":
      return { ...common, message: event.text };
    default:
      return common;
  }
}

/** "production: database and files together until 12 s ago; receive: archived 0/5000; next: snapshot in 3 hours" */
export function stateLine(
  { instance, services, progress }: BuiltInstance,
  statuses: readonly TaskStatus[],
  now: number,
): string {
  const own = statuses.filter((status) => status.instance === instance.name);
  const { watermark } = progress;
  const parts: string[] = [];
  if (watermark !== undefined)
    parts.push(
      `database and files together until ${formatShortAge((now - watermark.time) / 1000)} ago`,
    );
  else if (services.length > 1) parts.push("no moment of database and files together yet");
  for (const { task, state, error, service } of own) {
    if (state === "failing") parts.push(`${task} FAILS: ${error?.message ?? ""}`);
    else if (service !== undefined) parts.push(`${task}: ${service.text}`);
    else if (state === "running" && !SERVICES.some((one) => one === task))
      parts.push(`${task} runs`);
  }
  const [next] = own
    .filter((status) => status.state === "waiting" && status.next !== undefined)
    .toSorted((a, b) => a.next! - b.next!);
  if (next !== undefined) parts.push(`next: ${next.task} ${formatAge((now - next.next!) / 1000)}`);
  return quoteUnprintable(`${instance.name}: ${parts.join("; ")}`);
}

function stateMessage(
  { instance, progress }: BuiltInstance,
  statuses: readonly TaskStatus[],
  now: number,
): object {
  const { watermark } = progress;
  return {
    message_type: "status",
    time: timeText(now),
    instance: instance.name,
    watermark:
      watermark === undefined
        ? null
        : {
            time: timeText(watermark.time),
            timeline: watermark.timeline,
            lsn: formatLsn(watermark.lsn),
          },
    lag_seconds:
      watermark === undefined ? null : Math.max(0, Math.round((now - watermark.time) / 1000)),
    tasks: statuses
      .filter((status) => status.instance === instance.name)
      .map(({ task, state, next, error, service }) => ({
        task,
        state,
        next: next === undefined ? null : timeText(next),
        error: error === undefined ? null : { code: error.code ?? null, message: error.message },
        ...(service && { detail: service.fields }),
      })),
  };
}

function timeText(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
