// Which settings of rclone's have it run a program of somebody's choice. Who works for others on their word (a mover) takes none of
// them: neither from a remote's own text nor from a configuration file, which is given on as it was checked, because the file itself may
// be another one a moment later.
//
// Must never: take what only rclone's own reader understands for harmless.

import { readFile } from "node:fs/promises";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import { configFileOf, parseConfigFile } from "./rclone/config-file.ts";

/** Commands; files that AWS's own reader takes commands from; the remote control, which opens a port. */
const OPTIONS =
  "ssh|bearer_token_command|password_command|metadata_mapper|shared_credentials_file|rc|rc_\\w+";
const OPTION = new RegExp(`^(?:(?:override|global)\\.)?(?:${OPTIONS})$`, "i");
const PARAMETER = new RegExp(`,\\s*(?:(?:override|global)\\.)?(?:${OPTIONS})\\s*=`, "i");
/** Names and values that two readers cannot see differently. */
const PLAIN_NAME = /^[\w.-]+$/;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]|"""|\\$/;

/** True for the text of a remote (`:sftp,ssh=…:path`, or what wraps such ones) that has rclone run a program. */
export function namesProgram(text: string): boolean {
  return PARAMETER.test(text);
}

/**
 * The configuration file that RCLONE_CONFIG names, as far as it was checked; undefined when there is none. SECRET_INVALID when it has
 * rclone run a program, or cannot be checked.
 */
export async function checkedRcloneConfig(
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  if (env["RCLONE_CONFIG"] === undefined) return undefined;
  const path = configFileOf(env);
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "";
    throw uncheckable(messageOf(error));
  }
  const { sections, unreadable } = parseConfigFile(text);
  if (unreadable !== undefined) throw uncheckable(unreadable);
  const lines: string[] = [];
  for (const [section, options] of sections) {
    if (CONTROL.test(section)) throw uncheckable("a remote's name is not plain");
    lines.push(`[${section}]`);
    for (const [option, value] of options) {
      if (!PLAIN_NAME.test(option) || CONTROL.test(value)) {
        throw uncheckable(`remote ${JSON.stringify(section)} has an option that is not plain`);
      }
      if (OPTION.test(option) || namesProgram(value)) {
        throw new HoldfastError(
          "SECRET_INVALID",
          `rclone's configuration file (RCLONE_CONFIG) has rclone run a program: ${option} of remote ${JSON.stringify(section)}`,
          { hint: "Leave ssh, bearer_token_command and the like out of it: movers run none." },
        );
      }
      lines.push(`${option} = ${value}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function uncheckable(why: string): HoldfastError {
  return new HoldfastError(
    "SECRET_INVALID",
    `rclone's configuration file (RCLONE_CONFIG) cannot be checked for programs that it would run: ${why}`,
    {
      hint: "Mount it decrypted and plain, or put RCLONE_CONFIG_NAME_TYPE and so on into the Secret.",
    },
  );
}
