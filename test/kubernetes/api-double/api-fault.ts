// An answer of 400 and above, with the Status object that a real API server gives.

export interface FaultFields {
  readonly details?: Record<string, unknown>;
  readonly retryAfter?: number;
}

export class ApiFault extends Error {
  readonly code: number;
  readonly reason: string;
  readonly fields: FaultFields;

  constructor(code: number, reason: string, message: string, fields: FaultFields = {}) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.fields = fields;
  }

  status(): Record<string, unknown> {
    const { details, retryAfter } = this.fields;
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      ...(this.reason === "" ? {} : { reason: this.reason }),
      ...(details || retryAfter
        ? { details: { ...details, ...(retryAfter ? { retryAfterSeconds: retryAfter } : {}) } }
        : {}),
      code: this.code,
    };
  }
}

export function badRequest(message: string): ApiFault {
  return new ApiFault(400, "BadRequest", message);
}

export function notFound(resource: string, name: string): ApiFault {
  return new ApiFault(404, "NotFound", `${resource} "${name}" not found`, {
    details: { name, kind: resource.split(".")[0] },
  });
}

export function conflict(resource: string, name: string, why: string): ApiFault {
  return new ApiFault(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${resource} "${name}": ${why}`,
    { details: { name, kind: resource.split(".")[0] } },
  );
}

export const MODIFIED =
  "the object has been modified; please apply your changes to the latest version and try again";

export interface Cause {
  readonly reason: "FieldValueInvalid" | "FieldValueRequired" | "FieldValueTypeInvalid";
  readonly field: string;
  readonly message: string;
}

export function invalid(kind: string, name: string, causes: readonly Cause[]): ApiFault {
  const texts = causes.map(({ field, message }) => `${field}: ${message}`);
  const all = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  return new ApiFault(422, "Invalid", `${kind} "${name}" is invalid: ${all}`, {
    details: { name, kind, causes },
  });
}

export function forbidden(message: string): ApiFault {
  return new ApiFault(403, "Forbidden", message);
}
