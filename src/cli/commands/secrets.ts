// `secrets`: SOPS files opened and checked without sops, gpg wrappers or exports. Values go to standard output when they are
// asked for, and nowhere else.

import { isUtf8 } from "node:buffer";
import type { Command } from "commander";
import { HoldfastError } from "../../base/errors.ts";
import { decryptDocument, nodeAt, parsePath, printPart } from "../../sops/decrypt.ts";
import { openDocument } from "../../sops/document.ts";
import { setValue } from "../../sops/set-value.ts";
import { textOf, valueOf } from "../../sops/value.ts";
import type { CommandFamily, CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { changedMeanwhile, replaceFile, requireReplaceable } from "../replace-file.ts";
import { checkSecrets } from "../secrets-check.ts";
import { editSecrets } from "../secrets-edit.ts";
import type { EditFlags } from "../secrets-edit.ts";
import { initSecret } from "../secrets-init.ts";
import type { InitFlags } from "../secrets-init.ts";
import { tellSecrets } from "../secrets-message.ts";
import { encryptContent } from "../sops-encrypt.ts";
import type { EncryptFlags } from "../sops-encrypt.ts";
import { openSopsContent, openSopsFile, readNamedFile, sopsTime } from "../sops-file.ts";
import type { OpenedFile, SopsFlags } from "../sops-file.ts";

function addFlags(command: Command): Command {
  return command
    .option("--ignore-mac", "open it although it was changed after it was encrypted")
    .option("--offline", "ask no service for a key");
}

const decrypt: CommandModule = {
  stopsWithReader: true,
  configure(command) {
    addFlags(command.argument("<file>", "a SOPS file")).addHelpText(
      "after",
      `
Examples:
  holdfast secrets decrypt secret-filestore-restic.enc.yaml

Prints the file as \`sops decrypt\` does. Keys are looked for where sops looks; the message of a failure names every
recipient and every place.`,
    );
  },
  async run(context, [file = ""], options) {
    const { decrypted } = await openSopsFile(context, file, options as SopsFlags);
    context.output.raw(decrypted.emit());
    return EXIT.ok;
  },
};

const get: CommandModule = {
  stopsWithReader: true,
  configure(command) {
    addFlags(
      command.argument("<file>", "a SOPS file").argument("<path>", "where the value is"),
    ).addHelpText(
      "after",
      `
Examples:
  holdfast secrets get secret.enc.yaml '["stringData"]["RESTIC_PASSWORD"]'
  holdfast secrets get secret.enc.yaml stringData.RESTIC_PASSWORD

As \`sops decrypt --extract\`: a text is printed as it is, without a line end.`,
    );
  },
  async run(context, [file = "", path = ""], options) {
    const steps = parsePath(path);
    const { document, decrypted } = await openSopsFile(context, file, options as SopsFlags);
    const node = nodeAt(decrypted.roots, steps);
    if (node === undefined) {
      throw new HoldfastError("USAGE", `${file} has nothing at ${path}`, {
        hint: "Paths are those of the decrypted file: holdfast secrets decrypt shows it.",
      });
    }
    context.output.raw(printPart(node, document.format));
    return EXIT.ok;
  },
};

/** Kubernetes takes no larger Secret. */
const VALUE_BYTES_MAX = 1 << 20;
/** Others may write the same file at the same time: each starts over with what the other left. */
const SET_ATTEMPTS = 5;

const set: CommandModule = {
  configure(command) {
    command
      .argument("<file>", "a SOPS file")
      .argument("<path>", "where the value is")
      .option("--offline", "ask no service for a key")
      .addHelpText(
        "after",
        `
Examples:
  openssl rand -base64 32 | holdfast secrets set secret.enc.yaml stringData.RESTIC_PASSWORD
  holdfast secrets set secret.enc.yaml stringData.RESTIC_PASSWORD

The text comes from standard input, without the line end that is last in it, or is asked for at a terminal: on a command
line others could read it. Every other byte of the file stays but for its MAC and its time. A file that was changed after
it was encrypted is refused, because a new MAC would hide that.`,
      );
  },
  async run(context, [file = "", path = ""], options) {
    const steps = parsePath(path);
    const { offline = false } = options as SopsFlags;
    const { random } = context;
    await requireReplaceable(file);
    let text: string | undefined;
    for (let attempt = 1; ; attempt++) {
      const expected = await readNamedFile(file);
      const opened = await openSopsContent(context, file, expected, { offline });
      // What is asked for is asked for once.
      text ??= await newValue(context, `${file}: ${path}`);
      const content = withValue(context, opened, steps, text);
      if (await replaceFile(file, content, { random, expected })) break;
      if (attempt === SET_ATTEMPTS) throw changedMeanwhile(file, "It is as they left it.");
    }
    tellSecrets(context, `${file}: ${path} is set`, { action: "set", file, path });
    return EXIT.ok;
  },
};

/** What the file is to be with `text` at `steps`. */
function withValue(
  context: Context,
  { document, decrypted, dataKey }: OpenedFile,
  steps: readonly string[],
  text: string,
): Uint8Array {
  const { name } = document;
  const content = setValue(document, decrypted, {
    dataKey,
    path: steps,
    value: valueOf("str", text),
    lastModified: sopsTime(context),
    random: context.random,
  });
  // What cannot be opened again must not take the place of what can.
  const again = decryptDocument(openDocument(content, { name }), dataKey);
  const node = nodeAt(again.roots, steps);
  if (node?.kind !== "leaf" || node.value === undefined || textOf(node.value) !== text) {
    throw new HoldfastError(
      "SOPS_INVALID",
      `${name} would not hold the new value; it is as it was`,
    );
  }
  return content;
}

const encrypt: CommandModule = {
  configure(command) {
    command
      .argument("<file>", "a plain file")
      .option("-i, --in-place", "replace the file")
      .option("--config <file>", "rules (default: the nearest .sops.yaml above the file)")
      .option("--offline", "ask no service")
      .addHelpText(
        "after",
        `
Examples:
  holdfast secrets encrypt -i kubernetes/secret-filestore-restic.enc.yaml
  holdfast secrets encrypt secret.yaml > secret.enc.yaml

For whom, and in which of its values, the first rule for the file says, as with sops.`,
      );
  },
  async run(context, [file = ""], { inPlace, ...flags }) {
    if (inPlace === true) await requireReplaceable(file);
    const expected = await readNamedFile(file);
    const content = await encryptContent(context, file, expected, flags as EncryptFlags);
    if (inPlace !== true) {
      context.output.raw(content);
      await context.output.settle();
      return context.output.isBroken ? EXIT.failed : EXIT.ok;
    }
    const { random } = context;
    if (!(await replaceFile(file, content, { random, expected }))) throw changedMeanwhile(file);
    tellSecrets(context, `${file} is encrypted`, { action: "encrypt", file });
    return EXIT.ok;
  },
};

const edit: CommandModule = {
  configure(command) {
    addFlags(command.argument("<file>", "a SOPS file, a plain one, or a new one"))
      .option("--config <file>", "rules (default: the nearest .sops.yaml above the file)")
      .addHelpText(
        "after",
        `
Examples:
  holdfast secrets edit secret-filestore-restic.enc.yaml
  EDITOR="code --wait" holdfast secrets edit secret.enc.yaml

Opens the file in SOPS_EDITOR, EDITOR, or the first of vim, nano and vi, and encrypts it when the editor ends. In plain it is in
memory alone, in a folder of your own. Values that were not changed stay as they are, byte for byte. A plain or new file
is encrypted by the first rule for it. The status is 200 when nothing was changed.`,
      );
  },
  run: async (context, [file = ""], options) =>
    await editSecrets(context, file, options as EditFlags),
};

const init: CommandModule = {
  configure(command) {
    command
      .argument("<file>", "the manifest to make")
      .argument("<location>", "the repository it is for")
      .option("--credentials <file>", "key of a service account: a file, or - for standard input")
      .option("--name <name>", "name of the Secret (default: from the name of the file)")
      .option("--namespace <name>", "namespace of the Secret")
      .option("--config <file>", "rules (default: the nearest .sops.yaml above the file)")
      .option("--offline", "ask no service")
      .addHelpText(
        "after",
        `
Examples:
  holdfast secrets init secret.enc.yaml rclone:gcs:hayden-odoo-backups/filestore --credentials key.json
  terraform output -raw odoo_backup_sa_key |
    holdfast secrets init secret.enc.yaml rclone:gcs:hayden-odoo-backups/filestore --credentials -

Makes a password of 32 random bytes, and writes an encrypted Secret with it, the location and the key. Nothing in plain
touches a disk. The key may be JSON or its base64. The file must not exist.`,
      );
  },
  run: async (context, [file = "", location = ""], options) =>
    await initSecret(context, file, location, options as InitFlags),
};

async function newValue({ secrets }: Context, what: string): Promise<string> {
  const bytes = secrets.ask
    ? Buffer.from(await secrets.ask(`new value of ${what}: `))
    : await secrets.readAll(VALUE_BYTES_MAX);
  if (!isUtf8(bytes)) throw new HoldfastError("USAGE", "standard input is no UTF-8 text");
  const text = bytes.toString("utf8").replace(/\r?\n$/, "");
  // A pipe whose first program failed must not empty a secret.
  if (text === "") throw new HoldfastError("USAGE", "there is no new value on standard input");
  return text;
}

const check: CommandModule = {
  stopsWithReader: true,
  configure(command) {
    command
      .argument("[paths...]", "files and directories (default: the current one)")
      .option("--require-key", "fail for files that no key here opens")
      .option("--staged", "look at what git would commit, not at the files")
      .option("--offline", "ask no service for a key")
      .addHelpText(
        "after",
        `
Examples:
  holdfast secrets check
  holdfast secrets check kubernetes/ --offline
  holdfast secrets check --staged              as a pre-commit hook

Looks at every file that is encrypted, or is named as if it were (*.enc.yaml, *.sops.yaml and the like): whether a key
here opens it and which one, whether it was changed since, and whether anything stands in it in plain. Prints no value.
The status is 1 when something is wrong.`,
      );
  },
  run: checkSecrets,
};

export const secretsCommand: CommandFamily = {
  members: [
    {
      name: "decrypt",
      summary: "Print a SOPS file in plain",
      load: () => Promise.resolve(decrypt),
    },
    { name: "get", summary: "Print one value of a SOPS file", load: () => Promise.resolve(get) },
    {
      name: "init",
      summary: "Make the encrypted Secret of a new repository",
      load: () => Promise.resolve(init),
    },
    {
      name: "encrypt",
      summary: "Encrypt a plain file by the rules of .sops.yaml",
      load: () => Promise.resolve(encrypt),
    },
    { name: "edit", summary: "Open a SOPS file in an editor", load: () => Promise.resolve(edit) },
    { name: "set", summary: "Replace one value of a SOPS file", load: () => Promise.resolve(set) },
    {
      name: "check",
      summary: "Tell which files are sound, and which key opens them",
      load: () => Promise.resolve(check),
    },
  ],
};
