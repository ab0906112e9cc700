// What goes wrong on the way between a client and the double. Each fault strikes a number of matching requests.

export interface Request {
  /** "insert", "get", "media", "list", "delete", "resumable", "piece", "bucket", "batch", "token", … */
  readonly operation: string;
  readonly object: string | undefined;
}

export type FaultKind =
  /** The connection ends before the request is looked at. */
  | "drop"
  /** The request is carried out, and the connection ends instead of an answer. */
  | "lose-reply"
  /** The answer's body ends in the middle. */
  | "tear"
  /** The answer's body has a wrong byte. */
  | "corrupt"
  /** The request is carried out twice; the second answer is sent. */
  | "duplicate"
  /** Nothing is answered for a while. */
  | "stall"
  /** Something happens before the request is carried out: see `run`. */
  | "run"
  /** An error of the service. */
  | "status";

export interface Fault {
  readonly kind: FaultKind;
  /** Matching requests that pass unharmed first; none by default. */
  readonly skip?: number;
  /** Requests it strikes; all of them by default. */
  readonly times?: number;
  readonly operation?: string;
  /** Part of the object's name. */
  readonly object?: string;
  /** Of "status": 429, 503, 401 … */
  readonly status?: number;
  readonly retryAfter?: number;
  /** Of "stall": milliseconds. */
  readonly delay?: number;
  /** Of "run": what happens. */
  readonly run?: () => void;
}

export class Faults {
  #planned: { fault: Fault; left: number; skip: number }[] = [];
  /** Faults that struck so far. */
  struck = 0;

  plan(fault: Fault): void {
    const { times = Number.POSITIVE_INFINITY, skip = 0 } = fault;
    this.#planned.push({ fault, left: times, skip });
  }

  clear(): void {
    this.#planned = [];
  }

  /** The fault that strikes this request, if any. */
  next({ operation, object }: Request): Fault | undefined {
    const found = this.#planned.find((planned) => {
      const { fault, left } = planned;
      const matches =
        left > 0 &&
        (fault.operation === undefined || fault.operation === operation) &&
        (fault.object === undefined || object?.includes(fault.object) === true);
      if (!matches || planned.skip === 0) return matches;
      planned.skip -= 1;
      return false;
    });
    if (found === undefined) return undefined;
    found.left -= 1;
    this.struck += 1;
    return found.fault;
  }
}
