// Where a workload identity file has its own token from: one of four ways, each with the fields it is known to have.

import { invalid } from "./credential-fields.ts";
import type { Fields } from "./credential-fields.ts";

/** The source as a new object. What needs a risk that is not allowed is refused, and so is a mix of ways. */
export function credentialSource(from: Fields): Record<string, unknown> {
  const ways = ["executable", "environment_id", "url", "file"].filter((name) => from.has(name));
  if (ways.includes("executable")) {
    from.refuse("executable", "names a program to run for its token");
  }
  // The metadata of AWS are addresses that the file names, too.
  const asks = ["environment_id", "url", "region_url", "regional_cred_verification_url"];
  if (asks.some((name) => from.has(name)) || from.has("imdsv2_session_token_url")) {
    from.refuse("url", "names addresses to ask for its token");
  }
  // An address beside environment_id is that of AWS.
  const way = ways[0] === "environment_id" && ways[1] === "url" ? ways.slice(1) : ways;
  if (way.length !== 1) {
    const known = "file, url, executable or environment_id";
    throw invalid(from.source, `names ${way.length === 0 ? "none" : "more than one"} of ${known}`);
  }
  switch (ways[0]) {
    case "executable":
      return { executable: program(from.object("executable")!) };
    case "environment_id":
      return from.texts(...asks, "imdsv2_session_token_url");
    case "url":
      return { ...from.texts("url"), ...format(from), ...headers(from) };
    default:
      return { ...from.texts("file"), ...format(from) };
  }
}

function program(from: Fields): Record<string, unknown> {
  from.need("command");
  const timeout = from.wholeNumber("timeout_millis");
  return {
    ...from.texts("command", "output_file"),
    ...(timeout !== undefined && { timeout_millis: timeout }),
  };
}

function format(from: Fields): Record<string, unknown> {
  const given = from.object("format")?.texts("type", "subject_token_field_name");
  return given === undefined ? {} : { format: given };
}

function headers(from: Fields): Record<string, unknown> {
  const given = from.object("headers")?.everyText();
  return given === undefined ? {} : { headers: given };
}
