// A plugin of age, as a program: "encrypts" file keys by turning their bits around, and speaks the plugin protocol as far as age
// needs it. It tells the person something on the way.

export const PLUGIN_RECIPIENT = "age1fake1qypqxpqyf63c0";
export const PLUGIN_IDENTITY = "AGE-PLUGIN-FAKE-1QYPQXPQQCNWJ0";

/** The text of `age-plugin-fake`, to be written to a folder on PATH. */
export const PLUGIN_TEXT: string = `#!${process.execPath}
const turned = (text) =>
  Buffer.from(Buffer.from(text, "base64").map((byte) => byte ^ 0xff)).toString("base64").replace(/=+$/, "");
const wraps = process.argv[2] === "--age-plugin=recipient-v1";
const said = (args, body) => process.stdout.write("-> " + args + "\\n" + body + "\\n");
let [text, done] = ["", false];
process.stdin.on("data", (part) => {
  text += part;
  if (done || !text.includes("-> done\\n\\n")) return;
  done = true;
  said("msg", Buffer.from("touch me").toString("base64").replace(/=+$/, ""));
  const [, fileKey] = /-> wrap-file-key\\n(\\S+)\\n/.exec(text) ?? [];
  const [, stanza] = /-> recipient-stanza 0 fake\\n(\\S+)\\n/.exec(text) ?? [];
  if (wraps) said("recipient-stanza 0 fake", turned(fileKey));
  else if (stanza && text.includes("-> add-identity ${PLUGIN_IDENTITY}")) said("file-key 0", turned(stanza));
  said("done", "");
});
`;
