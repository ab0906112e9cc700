// What is said when a command has written a file of secrets.

import type { Context } from "./command.ts";

/** A message of --json. */
interface SecretsMessage {
  readonly action: "set" | "encrypt" | "edit" | "init";
  readonly file: string;
  /** Where in the file. */
  readonly path?: string;
  /** False when it was left as it was. */
  readonly changed?: boolean;
}

/** Tells a person `line`, or a program `message`. */
export function tellSecrets({ output }: Context, line: string, message: SecretsMessage): void {
  if (output.isJson) output.json({ message_type: "secrets_file", ...message });
  else output.print(line);
}
