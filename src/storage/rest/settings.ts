// Where a REST server is, and who we are to it: from a location as restic writes it, and from its two variables.

import { HoldfastError } from "../../base/errors.ts";
import type { BackendContext } from "../backend.ts";
import { redactLocation } from "../location.ts";
import { connectionsOf } from "../option-values.ts";
import type { RestCredentials } from "./client.ts";

export interface RestAddress {
  /** With a final "/" and without user and password. */
  readonly url: URL;
  readonly socketPath?: string | undefined;
  readonly credentials?: RestCredentials | undefined;
  readonly connections?: number | undefined;
  /** Where it is, for people. */
  readonly location: string;
}

/** Options of the command line, without their namespace. */
export const REST_OPTIONS: Readonly<Record<string, string>> = {
  connections: "requests at once (5)",
};

const FORMS = "Write rest:https://host:8000/path/ or rest:http+unix:///path/to.sock:/path/.";

/** The server that `target`, the part behind `rest:`, names. USAGE when it is no address. */
export function restFromLocation(target: string, context: BackendContext): RestAddress {
  const location = redactLocation(`rest:${target}`);
  const wrong = (why: string): HoldfastError =>
    new HoldfastError("USAGE", `the location ${location} ${why}`, { hint: FORMS });
  const { address, socketPath } = splitSocket(target);
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw wrong("is no address");
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") throw wrong("begins with no http");
  if (url.search !== "" || url.hash !== "") throw wrong("has something behind its path");
  const credentials = credentialsOf(url, context.env, wrong);
  url.username = "";
  url.password = "";
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  const connections = connectionsOf(context.option("rest.connections"), "rest.connections");
  return { url, socketPath, credentials, connections, location };
}

/** `http+unix:///run/rest.sock:/repo/` is the path of a socket and that of a repository behind it. */
function splitSocket(target: string): { address: string; socketPath: string | undefined } {
  const unix = /^http\+unix:\/\/(?<user>[^/]*@)?(?<socket>\/[^:]*):(?<path>\/.*)$/s.exec(target);
  if (unix === null) return { address: target, socketPath: undefined };
  const { user = "", socket, path } = unix.groups!;
  return { address: `http://${user}localhost${path}`, socketPath: socket };
}

function credentialsOf(
  { username, password }: URL,
  env: BackendContext["env"],
  wrong: (why: string) => HoldfastError,
): RestCredentials | undefined {
  if (username !== "" || password !== "") {
    try {
      return { user: decodeURIComponent(username), password: decodeURIComponent(password) };
    } catch {
      throw wrong("has a % in its user or password that escapes nothing");
    }
  }
  const { RESTIC_REST_USERNAME: user = "", RESTIC_REST_PASSWORD: secret = "" } = env;
  return user === "" && secret === "" ? undefined : { user, password: secret };
}
