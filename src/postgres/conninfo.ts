// How to reach a server, as a person says it to any program of PostgreSQL: a connection string of either form (the
// keywords of libpq, or a URI), the PG* variables, and the password file. What libpq knows and we do not follow is refused
// by name, never passed over. A message never holds a password.

import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import type { ConnectionSettings, TlsSettings } from "./connection.ts";
import { findPassword } from "./conninfo/password-file.ts";
import { readConnectionString } from "./conninfo/connection-string.ts";

/** Variables by their names, as the process has them. */
type Variables = Readonly<Record<string, string | undefined>>;

export interface ConninfoSource {
  /** "host=db1 dbname=odoo", "postgresql://db1/odoo", or only the name of a database. */
  readonly conninfo?: string | undefined;
  readonly environment: Variables;
  /** Name of whoever runs us: the role when none is given. */
  readonly account: string;
  /** The database of a connection for replication is called "replication" in the password file. */
  readonly replication?: boolean;
  /** Gets what is left out for good reason. */
  readonly warn?: (text: string) => void;
}

/** The variable of each keyword that we know. */
const VARIABLES: Readonly<Record<string, string>> = {
  host: "PGHOST",
  hostaddr: "PGHOSTADDR",
  port: "PGPORT",
  dbname: "PGDATABASE",
  user: "PGUSER",
  password: "PGPASSWORD",
  passfile: "PGPASSFILE",
  sslmode: "PGSSLMODE",
  sslrootcert: "PGSSLROOTCERT",
  sslcert: "PGSSLCERT",
  sslkey: "PGSSLKEY",
  sslpassword: "",
  connect_timeout: "PGCONNECT_TIMEOUT",
  application_name: "PGAPPNAME",
  options: "PGOPTIONS",
  target_session_attrs: "PGTARGETSESSIONATTRS",
  service: "PGSERVICE",
};

/** Keywords that change nothing for us, or say what we do anyway. */
const IDLE =
  /^(fallback_application_name|keepalives\w*|tcp_user_timeout|gssencmode|krbsrvname|gsslib|client_encoding|channel_binding|sslcompression|sslsni)$/;

const MODES: readonly string[] = [
  "disable",
  "allow",
  "prefer",
  "require",
  "verify-ca",
  "verify-full",
] satisfies TlsSettings["mode"][];

/** Where a server's socket lies when nobody says: as packages of distributions have it, and as PostgreSQL itself. */
const SOCKET_FOLDERS = ["/var/run/postgresql", "/tmp"];

/** The settings that all sources make together. Throws USAGE for what cannot be, POSTGRES_DENIED for files that cannot be read. */
export async function readConninfo(source: ConninfoSource): Promise<ConnectionSettings> {
  const { environment, account, warn = () => {} } = source;
  const given = readConnectionString(source.conninfo ?? "");
  for (const keyword of given.keys()) {
    if (VARIABLES[keyword] === undefined && !IDLE.test(keyword))
      throw refusal(keyword, "is not known here");
  }
  const value = (keyword: string): string | undefined =>
    given.get(keyword) || environment[VARIABLES[keyword] || ""] || undefined;
  if (value("service") !== undefined)
    throw refusal("service", "is not followed: say here what the service file says");
  if (!["any", undefined].includes(value("target_session_attrs")))
    throw refusal("target_session_attrs", "is not followed: name the one server that is meant");
  const user = value("user") ?? account;
  const database = value("dbname") ?? user;
  const home = environment["HOME"] ?? "";
  const hosts = hostsOf(value("hostaddr") ?? value("host"), value("port"));
  const password = value("password");
  const passfile = value("passfile") ?? `${home}/.pgpass`;
  const looked = password === undefined ? await passwordLines(passfile, warn) : undefined;
  return {
    hosts: hosts.map(({ host, port }) => ({
      host,
      port,
      password:
        password ??
        findPassword(looked ?? "", {
          host: SOCKET_FOLDERS.includes(host) ? "localhost" : host,
          port,
          database: source.replication === true ? "replication" : database,
          user,
        }),
    })),
    user,
    database,
    tls: await tlsOf(value, home),
    applicationName: value("application_name") ?? "holdfast",
    ...timeoutOf(value("connect_timeout")),
    options: value("options"),
  };
}

function hostsOf(
  hosts: string | undefined,
  ports: string | undefined,
): { host: string; port: number }[] {
  const names = (hosts ?? "").split(",");
  const numbers = (ports ?? "").split(",");
  if (numbers.length > 1 && numbers.length !== names.length)
    throw refusal("port", "has another number of entries than host");
  return names.map((name, i) => {
    const text = numbers.length > 1 ? numbers[i] : numbers[0];
    const port = text === undefined || text === "" ? 5432 : Number(text);
    if (!Number.isInteger(port) || port < 1 || port > 65535)
      throw refusal("port", "is not a number from 1 to 65535");
    const folder = SOCKET_FOLDERS.find((each) => existsSync(`${each}/.s.PGSQL.${port}`));
    return { host: name || folder || SOCKET_FOLDERS[0]!, port };
  });
}

function timeoutOf(text: string | undefined): { connectTimeout?: number } {
  if (text === undefined) return {};
  const seconds = Number(text);
  if (!Number.isInteger(seconds)) throw refusal("connect_timeout", "is not a number of seconds");
  return { connectTimeout: Math.max(0, seconds) * 1000 };
}

async function tlsOf(
  value: (keyword: string) => string | undefined,
  home: string,
): Promise<TlsSettings> {
  const mode = value("sslmode") ?? "prefer";
  if (!MODES.includes(mode)) throw refusal("sslmode", `is none of ${MODES.join(", ")}`);
  const file = async (keyword: string, usual: string): Promise<string | undefined> => {
    const named = value(keyword);
    // The system's own authorities are what we trust without a file.
    if (keyword === "sslrootcert" && named === "system") return undefined;
    return await contentOf(named ?? `${home}/.postgresql/${usual}`, named !== undefined);
  };
  return {
    mode: mode as TlsSettings["mode"],
    ca: await file("sslrootcert", "root.crt"),
    certificate: await file("sslcert", "postgresql.crt"),
    key: await file("sslkey", "postgresql.key"),
    keyPassword: value("sslpassword"),
  };
}

/** The content of a file; undefined when it is not there and nobody named it. */
async function contentOf(path: string, isNamed: boolean): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (!isNamed && ["ENOENT", "ENOTDIR", "EACCES"].includes(errnoOf(error) ?? ""))
      return undefined;
    throw new HoldfastError("POSTGRES_DENIED", `${path} cannot be read: ${messageOf(error)}`, {
      hint: "Correct the path, or let this user read the file.",
      cause: error,
    });
  }
}

async function passwordLines(
  path: string,
  warn: (text: string) => void,
): Promise<string | undefined> {
  const content = await contentOf(path, false);
  if (content === undefined) return undefined;
  const { mode } = await stat(path);
  if ((mode & 0o077) === 0) return content;
  warn(`${path} is passed over: others may read it (chmod 600 it)`);
  return undefined;
}

function refusal(keyword: string, what: string): HoldfastError {
  const variable = VARIABLES[keyword];
  const named = variable === undefined || variable === "" ? keyword : `${keyword} (${variable})`;
  return new HoldfastError("USAGE", `the connection's ${named} ${what}`, {
    hint: 'Write it as libpq does: "host=db1 dbname=odoo user=backup sslmode=verify-full".',
  });
}
