// Which proxy a request goes through, by the variables that every program knows: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in
// small letters too. In NO_PROXY stand host names (with all names below them), addresses and `*`, each perhaps with a port.

import { HoldfastError } from "../../base/errors.ts";

export interface Proxy {
  readonly host: string;
  readonly port: number;
  /** The connection to the proxy itself is under TLS. */
  readonly isTls: boolean;
  /** Value of the Proxy-Authorization header. */
  readonly authorization: string | undefined;
}

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * The proxy for `url`, or undefined for none. USAGE when the variable is no address of a proxy: left out in silence, it
 * would send everything around the proxy. Its value may hold a password and is not repeated.
 */
export function proxyFor(url: URL, env: Variables): Proxy | undefined {
  const name = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const variable = env[name.toLowerCase()] ? name.toLowerCase() : name;
  const value = env[variable];
  if (!value || isExcepted(url, env["no_proxy"] || env["NO_PROXY"] || "")) return undefined;
  const text = /^\w+:\/\//.test(value) ? value : `http://${value}`;
  if (!URL.canParse(text)) throw unusable(variable, "it is no address");
  const { protocol, hostname, port, username, password } = new URL(text);
  if (protocol !== "http:" && protocol !== "https:") {
    throw unusable(variable, "proxies are reached by http or https only");
  }
  const credentials = `${decoded(username)}:${decoded(password)}`;
  return {
    host: unbracketed(hostname),
    port: port === "" ? (protocol === "https:" ? 443 : 80) : Number(port),
    isTls: protocol === "https:",
    authorization:
      username === "" ? undefined : `Basic ${Buffer.from(credentials).toString("base64")}`,
  };
}

function unusable(variable: string, why: string): HoldfastError {
  return new HoldfastError("USAGE", `the variable ${variable} names no usable proxy: ${why}`, {
    hint: "Write it as http://host:port, or leave hosts out with NO_PROXY.",
  });
}

/** A part of an address; as it is where it holds a % that begins no code. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A host name as sockets take it: IPv6 addresses without their brackets. */
export function unbracketed(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

function isExcepted(url: URL, list: string): boolean {
  const host = unbracketed(url.hostname).toLowerCase();
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return list.split(/[\s,]+/).some((entry) => {
    if (entry === "*") return true;
    const [, name = "", only] = /^(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
    const bare = unbracketed(name).replace(/^\*?\./, "");
    if (bare === "" || (only !== undefined && only !== port)) return false;
    return host === bare || host.endsWith(`.${bare}`);
  });
}
