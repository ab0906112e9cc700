// Failures that a test asks for: connections that break before or after the server did what it was asked, answers of a server in
// trouble, refusals of admission, answers that are held back.

import { ApiFault, forbidden } from "./api-fault.ts";

export interface ApiCall {
  /** As in RBAC: get, list, watch, create, update, patch, delete. */
  readonly verb: string;
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  readonly user: string;
  readonly body: unknown;
}

/** Which calls: all that are given must be equal. */
export type CallMatch =
  | {
      readonly verb?: string;
      readonly plural?: string;
      readonly kind?: string;
      readonly namespace?: string;
      readonly name?: string;
      readonly subresource?: string;
    }
  | ((call: ApiCall) => boolean);

export type FaultKind =
  /** The connection breaks, and nothing was done. */
  | "drop-before"
  /** All was done, and the answer is lost. */
  | "drop-after"
  /** No answer ever comes. */
  | "hang"
  | { readonly status: number; readonly retryAfter?: number; readonly message?: string }
  /** 403 as an admission webhook gives it. */
  | { readonly denied: string }
  /** The call is carried out when the promise settles. */
  | { readonly until: Promise<unknown> }
  /** As `until`, but it is carried out at once and the answer waits. */
  | { readonly answerAfter: Promise<unknown> };

export interface Fault {
  /** Calls that met it so far. */
  readonly hits: number;
  remove(): void;
}

interface Armed {
  readonly match: CallMatch;
  readonly how: FaultKind;
  left: number;
  hits: number;
}

export class Faults {
  readonly #armed = new Set<Armed>();

  add(match: CallMatch, how: FaultKind, times: number): Fault {
    const armed: Armed = { match, how, left: times, hits: 0 };
    this.#armed.add(armed);
    return {
      get hits(): number {
        return armed.hits;
      },
      remove: () => void this.#armed.delete(armed),
    };
  }

  clear(): void {
    this.#armed.clear();
  }

  /** The fault that this call meets, if any; each counts one hit. */
  take(call: ApiCall): FaultKind | undefined {
    for (const armed of this.#armed) {
      if (!matches(armed.match, call)) continue;
      armed.hits += 1;
      armed.left -= 1;
      if (armed.left <= 0) this.#armed.delete(armed);
      return armed.how;
    }
    return undefined;
  }
}

export function matches(match: CallMatch, call: ApiCall): boolean {
  if (typeof match === "function") return match(call);
  return Object.entries(match).every(([field, value]) => call[field as keyof ApiCall] === value);
}

const REASONS: Readonly<Record<number, [string, string]>> = {
  429: [
    "TooManyRequests",
    "the server has received too many requests and has asked us to try again later",
  ],
  500: ["InternalError", "Internal error occurred: etcdserver: request timed out"],
  503: ["ServiceUnavailable", "the server is currently unable to handle the request"],
  504: ["Timeout", "the server was unable to return a response in the time allotted"],
};

/** The answer of a fault that is one. */
export function faultAnswer(how: FaultKind): ApiFault | undefined {
  if (typeof how === "string") return undefined;
  if ("denied" in how) {
    return forbidden(`admission webhook "policy.example.org" denied the request: ${how.denied}`);
  }
  if (!("status" in how)) return undefined;
  const [reason, message] = REASONS[how.status] ?? ["", "a fault"];
  return new ApiFault(
    how.status,
    reason,
    how.message ?? message,
    how.retryAfter === undefined ? {} : { retryAfter: how.retryAfter },
  );
}
