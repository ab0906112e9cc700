// Runs gpg for keys that only it can reach. It must never wait for a terminal that nobody looks at: it is first told to ask
// nobody, and a passphrase that it then lacks is asked for by us and handed over on its standard input. What became of it
// is read from its status lines, which are the same in every language.

import { cancelled } from "../../base/cancellation.ts";
import { errnoOf, isHoldfastError } from "../../base/errors.ts";
import type { KeyContext } from "../key-source.ts";
import { once } from "./memory.ts";
import { plain, type Finding } from "./places.ts";

/** Asks nobody, and nothing on the network; a stranger's message neither chooses where it is written nor fills memory. */
const SAFELY = ["--batch", "--no-tty", "--status-fd", "2", "--disable-dirmngr"] as const;
const DECRYPT = ["--output", "-", "--max-output", "65536", "--decrypt"] as const;

/** What gpg's error numbers mean for a person (libgpg-error; the low 16 bits of what it prints). */
const CAUSES: Readonly<Record<number, string>> = {
  11: "wrong passphrase",
  17: "the secret key is not in its keyring",
  77: "gpg-agent does not answer",
  78: "gpg-agent does not answer",
  87: "the PIN of the smartcard was wrong",
  91: "another smartcard must be inserted",
  99: "the passphrase was not given",
  108: "the smartcard failed",
  109: "the smartcard was reset; try again",
  110: "the smartcard was removed",
  112: "the smartcard must be inserted",
  114: "the smartcard or the agent was not given leave",
  119: "the key is on a smartcard, and gpg has no scdaemon to reach it",
  120: "the smartcard's scdaemon failed",
  130: "the PIN of the smartcard is blocked",
  198: "the passphrase was not given",
};
/** There is nobody to ask: no pinentry, or no terminal for it, or no passphrase. */
const UNASKED: readonly number[] = [85, 86, 177];

type Outcome = { status: number; stdout: Uint8Array; stderr: string };

export function gpgProgram(env: KeyContext["env"]): string {
  return env["SOPS_GPG_EXEC"] || "gpg";
}

/** What gpg decrypts the armored message `enc` to, or why it does not. */
export async function gpgDecrypt(enc: string, context: KeyContext): Promise<Finding> {
  const message = Buffer.from(enc);
  const first = await runGpg(["--pinentry-mode", "error", ...DECRYPT], message, context);
  if (typeof first === "string") return first;
  if (opened(first)) return first.stdout;
  if (!wantsPassphrase(first)) return whyFailed(first);
  const who = /^\[GNUPG:\] ENC_TO ([0-9A-F]{8,64}) /m.exec(first.stderr)?.[1];
  // A stranger's document must not make people type a passphrase that belongs to no key of theirs.
  if (who === undefined) return "the message is for a password and no key";
  const ask = context.askPassphrase;
  if (!ask)
    return "has the key, which needs a passphrase that gpg-agent does not have, and there is nobody to ask";
  return async () => {
    const passphrase = await once(context, `gpg passphrase ${who}`, () => ask(`PGP key ${who}`));
    if (/[\r\n\0]/.test(passphrase)) return "the passphrase has a line end in it";
    const input = Buffer.concat([Buffer.from(`${passphrase}\n`), message]);
    const args = ["--pinentry-mode", "loopback", "--passphrase-fd", "0", ...DECRYPT];
    const second = await runGpg(args, input, context);
    if (typeof second === "string") return second;
    return opened(second) ? second.stdout : whyFailed(second);
  };
}

/** `dataKey` encrypted by gpg for one fingerprint, whatever the owner trusts; or why not. */
export async function gpgEncrypt(
  fingerprint: string,
  dataKey: Uint8Array,
  context: KeyContext,
): Promise<{ message: string } | { reason: string }> {
  const outcome = await runGpg(
    ["--armor", "--trust-model", "always", "--no-encrypt-to", "--no-default-recipient"].concat([
      "--no-auto-key-locate",
      "--recipient",
      fingerprint,
      "--encrypt",
    ]),
    dataKey,
    context,
  );
  if (typeof outcome === "string") return { reason: outcome };
  const message = Buffer.from(outcome.stdout).toString("latin1");
  if (outcome.status === 0 && message.startsWith("-----BEGIN PGP MESSAGE-----")) return { message };
  const why = /^\[GNUPG:\] INV_RECP (\d+)/m.exec(outcome.stderr)?.[1];
  if (why === "5" || why === "4") return { reason: "the key is expired or revoked" };
  return {
    reason: why === undefined ? whyFailed(outcome) : "has no usable key of this fingerprint",
  };
}

async function runGpg(
  args: readonly string[],
  input: Uint8Array,
  context: KeyContext,
): Promise<Outcome | string> {
  const program = gpgProgram(context.env);
  try {
    return await context.run(program, [...SAFELY, ...args], input, { ...context.env });
  } catch (error) {
    if (isHoldfastError(error, "CANCELLED")) throw error;
    if (context.signal?.aborted) throw cancelled(context.signal);
    const errno = errnoOf(error);
    return errno === "ENOENT" ? "not installed" : `does not run (${errno ?? "unknown reason"})`;
  }
}

/** Old versions end well, with nothing to show, on messages that they do not understand. */
function opened({ status, stdout }: Outcome): boolean {
  return status === 0 && stdout.length > 0;
}

function errorsIn({ stderr }: Outcome): number[] {
  const found = stderr.matchAll(/^\[GNUPG:\] (?:ERROR|FAILURE) \S+ (\d+)/gm);
  return [...found].map((match) => Number(match[1]) & 0xffff);
}

function wantsPassphrase(outcome: Outcome): boolean {
  return errorsIn(outcome).some((number) => UNASKED.includes(number));
}

function whyFailed(outcome: Outcome): string {
  const { status, stderr } = outcome;
  if (status === 0)
    return "ended well but printed nothing; an old gpg does on messages of newer ones";
  const cause = errorsIn(outcome).map((number) => CAUSES[number]);
  const known = cause.find((text) => text !== undefined);
  if (known !== undefined) return known;
  if (wantsPassphrase(outcome)) return "the passphrase could not be asked for";
  const missing = /^\[GNUPG:\] NO_SECKEY ([0-9A-F]{8,64})/m.exec(stderr)?.[1];
  if (missing !== undefined) return `no secret key ${missing} in its keyring`;
  if (/^\[GNUPG:\] NODATA/m.test(stderr)) return "the wrapped key is a damaged PGP message";
  if (/^\[GNUPG:\] DECRYPTION_FAILED/m.test(stderr)) return "the message does not decrypt";
  const complaint = [...stderr.matchAll(/^gpg: (.*)$/gm)].at(-1)?.[1];
  return complaint === undefined ? `failed with status ${status}` : plain(complaint);
}
