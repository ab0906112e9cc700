// Options of backends, as restic's users give them: `-o gs.connections=8`. Each may also stand in a variable, because a
// mover in a cluster is configured by variables alone: HOLDFAST_GS_CONNECTIONS. A name that nothing reads is an error: a
// backup must not run for a night without the key that it was told to use.

import { HoldfastError } from "../base/errors.ts";
import { GCS_OPTIONS } from "./gcs/settings.ts";
import { RCLONE_OPTIONS } from "./rclone/settings.ts";
import { REST_OPTIONS } from "./rest/settings.ts";
import { S3_OPTIONS } from "./s3/settings.ts";

/** Values by full name. */
export type OptionValues = ReadonlyMap<string, string>;

/** Names with one line for people, by namespace; those of backends that are not served take any name. */
export const BACKEND_OPTIONS: Readonly<
  Record<string, Readonly<Record<string, string>> | undefined>
> = {
  local: {
    connections: "calls at once (4)",
    layout: "accepted from restic's users; only the default layout exists",
  },
  gs: GCS_OPTIONS,
  s3: S3_OPTIONS,
  rest: REST_OPTIONS,
  rclone: RCLONE_OPTIONS,
};

const FOREIGN = new Set(["azure", "b2", "sftp", "swift"]);

/** Reads `namespace.name=value` texts. USAGE for a form or a name that is not known. */
export function parseOptions(texts: readonly string[]): OptionValues {
  const values = new Map<string, string>();
  for (const text of texts) {
    const match = /^([a-z0-9]+)\.([a-z0-9-]+)=(.*)$/is.exec(text);
    if (match === null) {
      throw new HoldfastError(
        "USAGE",
        `-o ${nameOnly(text)}: an option has the form namespace.name=value`,
      );
    }
    const [, namespace = "", name = "", value = ""] = match;
    const full = `${namespace}.${name}`.toLowerCase();
    checkName(namespace.toLowerCase(), name.toLowerCase(), full);
    if (values.has(full) && values.get(full) !== value) {
      throw new HoldfastError("USAGE", `-o ${full} is given twice with different values`);
    }
    values.set(full, value);
  }
  return values;
}

function checkName(namespace: string, name: string, full: string): void {
  if (FOREIGN.has(namespace)) return;
  // Every object inherits names of its own, such as "constructor".
  const known = Object.hasOwn(BACKEND_OPTIONS, namespace) ? BACKEND_OPTIONS[namespace] : undefined;
  if (known === undefined) {
    throw new HoldfastError(
      "USAGE",
      `-o ${full}: there is no kind of storage called "${namespace}"`,
      {
        hint: `Known are ${Object.keys(BACKEND_OPTIONS).toSorted().join(", ")}.`,
      },
    );
  }
  if (Object.hasOwn(known, name)) return;
  throw new HoldfastError("USAGE", `-o ${full} is not known`, {
    hint: `Known are ${Object.keys(known)
      .map((each) => `${namespace}.${each}`)
      .join(", ")}.`,
  });
}

/** The value of an option: from the command line, or else from its variable. */
export function findOption(
  name: string,
  values: OptionValues | undefined,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const variable = `HOLDFAST_${name.toUpperCase().replace(/[.-]/g, "_")}`;
  return values?.get(name) || env[variable] || undefined;
}

/** The text up to its value, which may be a secret. */
function nameOnly(text: string): string {
  const at = text.indexOf("=");
  return at < 0 ? text : `${text.slice(0, at)}=…`;
}
