// Which proxy a request goes through, by the variables that every program knows: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in
// small letters too. In NO_PROXY stand host names (with all names below them), addresses and `*`, each perhaps with a port.

export interface Proxy {
  readonly host: string;
  readonly port: number;
  /** The connection to the proxy itself is under TLS. */
  readonly isTls: boolean;
  /** Value of the Proxy-Authorization header. */
  readonly authorization: string | undefined;
}

type Variables = Readonly<Record<string, string | undefined>>;

/** The proxy for `url`, or undefined for none. A variable that is no address counts as not set. */
export function proxyFor(url: URL, env: Variables): Proxy | undefined {
  const name = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const value = env[name.toLowerCase()] || env[name];
  if (!value || isExcepted(url, env["no_proxy"] || env["NO_PROXY"] || "")) return undefined;
  const text = /^\w+:\/\//.test(value) ? value : `http://${value}`;
  if (!URL.canParse(text)) return undefined;
  const { protocol, hostname, port, username, password } = new URL(text);
  if (protocol !== "http:" && protocol !== "https:") return undefined;
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return {
    host: unbracketed(hostname),
    port: port === "" ? (protocol === "https:" ? 443 : 80) : Number(port),
    isTls: protocol === "https:",
    authorization:
      username === "" ? undefined : `Basic ${Buffer.from(credentials).toString("base64")}`,
  };
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
