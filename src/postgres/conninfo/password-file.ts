// libpq's password file: lines of host:port:database:user:password, each of the first four a value or `*`, with `\:` and `\\`
// for the characters themselves. The first line that matches counts.

export interface PasswordUse {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/** The password for that connection in the content of a password file; undefined without one. */
export function findPassword(content: string, use: PasswordUse): string | undefined {
  const wanted = [use.host, String(use.port), use.database, use.user];
  for (const line of content.split(/\r?\n/)) {
    if (line === "" || line.startsWith("#")) continue;
    const fields = fieldsOf(line);
    if (fields.length < 5) continue;
    const matches = wanted.every((value, i) => fields[i]!.raw === "*" || fields[i]!.text === value);
    // A colon in the password may stand there without its backslash.
    if (matches)
      return fields
        .slice(4)
        .map(({ text }) => text)
        .join(":");
  }
  return undefined;
}

function fieldsOf(line: string): { raw: string; text: string }[] {
  return (line.match(/(?:^|:)(?:\\.|[^:\\]|\\$)*/g) ?? []).map((part, i) => {
    const raw = i === 0 && !line.startsWith(":") ? part : part.slice(1);
    return { raw, text: raw.replace(/\\(.)/g, "$1") };
  });
}
