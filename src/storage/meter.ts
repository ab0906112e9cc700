// What a storage costs: requests as they went over the wire, retries and pages of lists among them, and bytes of bodies.
// Object stores bill by request, so this is what a person compares with the bill.

/** What a request was for. "auth" is the getting of tokens, "other" whatever concerns no object. */
export type RequestKind = "put" | "get" | "stat" | "list" | "delete" | "auth" | "other";

export interface MeterReading {
  /** Requests of each kind that was seen. */
  readonly requests: Readonly<Partial<Record<RequestKind, number>>>;
  /** Those that ended in an error or without an answer. */
  readonly failed: number;
  /** Bytes of bodies. */
  readonly sent: number;
  readonly received: number;
}

export class Meter {
  readonly #requests: Partial<Record<RequestKind, number>> = {};
  #failed = 0;
  #sent = 0;
  #received = 0;

  /** One request has ended: `sent` and `received` bytes of its bodies, `failed` without success. */
  count(kind: RequestKind, ended: { sent: number; received: number; failed: boolean }): void {
    this.#requests[kind] = (this.#requests[kind] ?? 0) + 1;
    this.#sent += ended.sent;
    this.#received += ended.received;
    if (ended.failed) this.#failed += 1;
  }

  read(): MeterReading {
    return {
      requests: { ...this.#requests },
      failed: this.#failed,
      sent: this.#sent,
      received: this.#received,
    };
  }
}
