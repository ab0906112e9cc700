// What the double sends back: plain data, so that a fault may still change it on its way.

import { GcsError } from "./gcs-error.ts";

export interface Answer {
  status: number;
  headers: Record<string, string | number>;
  body: Buffer;
}

export function jsonAnswer(status: number, value: object): Answer {
  const body = Buffer.from(JSON.stringify(value));
  return { status, headers: { "content-type": "application/json; charset=UTF-8" }, body };
}

/** The answer of `run`, or the refusal it threw. */
export function answerOf(run: () => Answer): Answer {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof GcsError)) throw error;
    return jsonAnswer(error.status, error.toJSON());
  }
}
