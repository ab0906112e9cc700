// Answers of Cloud Storage that are not successes, in the words and shapes of its JSON API.

export class GcsError extends Error {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }

  /** The body that the JSON API sends. */
  toJSON(): object {
    const { status: code, message, reason } = this;
    return { error: { code, message, errors: [{ message, domain: "global", reason }] } };
  }
}

export const notFound = (bucket: string, name: string): GcsError =>
  new GcsError(404, "notFound", `No such object: ${bucket}/${name}`);

export const preconditionFailed = (): GcsError =>
  new GcsError(
    412,
    "conditionNotMet",
    "At least one of the pre-conditions you specified did not hold.",
  );

export const invalid = (message: string): GcsError => new GcsError(400, "invalid", message);
