// What a run has asked of its storage, for those who want to compare it with the bill: one line with -v.

import type { MeterReading, RequestKind } from "../storage/meter.ts";
import type { Context } from "./command.ts";
import { formatBytes } from "./format.ts";

const NAMES: Readonly<Record<RequestKind, string>> = {
  put: "write",
  get: "read",
  stat: "look up",
  list: "list",
  delete: "delete",
  auth: "authenticate",
  other: "other",
};

/** Tells the cost, if there was any and it is wanted. */
export function tellCost({ output, meter }: Context): void {
  const line = costLine(meter.read());
  if (line !== undefined) output.verbose(line);
}

/** `Storage: 12 requests (8 write, 4 read; 1 failed), 1.2 MiB sent, 3 KiB received`; undefined without requests. */
export function costLine({ requests, failed, sent, received }: MeterReading): string | undefined {
  const kinds = (Object.keys(NAMES) as RequestKind[]).filter((kind) => requests[kind]);
  const total = kinds.reduce((sum, kind) => sum + requests[kind]!, 0);
  if (total === 0) return undefined;
  const each = kinds.map((kind) => `${requests[kind]} ${NAMES[kind]}`).join(", ");
  const failures = failed > 0 ? `; ${failed} failed` : "";
  const bytes = `${formatBytes(sent)} sent, ${formatBytes(received)} received`;
  return `Storage: ${total} requests (${each}${failures}), ${bytes}`;
}
