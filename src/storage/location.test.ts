import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseLocation, redactLocation, SCHEMES } from "./location.ts";

test("paths are local, whatever stands in them", () => {
  for (const path of ["/srv/repo", "repo", "../repo", "./a:b", "/a:b", "/s3:x", "~/repo", "."]) {
    assert.deepEqual(parseLocation(path), { scheme: "local", target: path });
  }
  assert.deepEqual(parseLocation("local:/srv/a:b"), { scheme: "local", target: "/srv/a:b" });
  assert.deepEqual(parseLocation("local:s3:x"), { scheme: "local", target: "s3:x" });
});

test("a known scheme keeps its target as written", () => {
  const written: [string, string, string][] = [
    ["rclone:gcs:bucket/path", "rclone", "gcs:bucket/path"],
    ["gs:bucket:/", "gs", "bucket:/"],
    ["s3:https://s3.example.com/bucket", "s3", "https://s3.example.com/bucket"],
    ["rest:https://user:pass@host:8000/", "rest", "https://user:pass@host:8000/"],
    ["sftp:user@host:/srv/repo", "sftp", "user@host:/srv/repo"],
  ];
  for (const [text, scheme, target] of written) {
    assert.deepEqual(parseLocation(text), { scheme, target });
  }
});

test("what has no known form is a usage error that repeats no secret", () => {
  for (const text of ["", "local:", "rclone:", "foo:bar", "a/b:c", "c:\\repo", "x\0y"]) {
    assert.throws(() => parseLocation(text), { code: "USAGE" }, JSON.stringify(text));
  }
  assert.throws(
    () => parseLocation("https://user:geheim@host/repo"),
    (error: Error) => {
      assert.match(error.message, /"https:"/);
      assert.doesNotMatch(error.message, /geheim/);
      return true;
    },
  );
});

test("credentials are redacted, the rest is left as it is", () => {
  const shown: [string, string][] = [
    ["rest:https://user:pass@host:8000/repo/", "rest:https://user:***@host:8000/repo/"],
    ["rest:https://user:p@ss@host/", "rest:https://user:***@host/"],
    ["rest:https://user:pa/ss@host/", "rest:https://user:***@host/"],
    ["rest:https://:pass@host/", "rest:https://:***@host/"],
    ["https://user:pass@host/", "https://user:***@host/"],
    ["rest:https://user@host/", "rest:https://user@host/"],
    ["rest:https://host:8000/repo", "rest:https://host:8000/repo"],
    ["rest:https://host/a@b", "rest:https://host/a@b"],
    ["rest:https://user:1/2@3#4@host/", "rest:https://user:***@host/"],
    ["sftp://user:pw@host//srv/repo", "sftp://user:***@host//srv/repo"],
    ["sftp:user@host:/srv", "sftp:user@host:/srv"],
    ["rclone:gcs:bucket/path", "rclone:gcs:bucket/path"],
    ["rclone:gcs,token=abc,scope=x:bucket", "rclone:gcs,token=***,scope=***:bucket"],
    ['rclone::s3,secret="a,b:""c",env:bucket', "rclone::s3,secret=***,env:bucket"],
    ["/srv/a,b=c:d@e", "/srv/a,b=c:d@e"],
    ["", ""],
    ["rest:https://host/x?sig=geheim", "rest:https://host/x?***"],
    ["rest:https://u:p?q@host/x#geheim", "rest:https://u:***@host/x#***"],
    ["/srv/what?/#1", "/srv/what?/#1"],
  ];
  for (const [text, expected] of shown) assert.equal(redactLocation(text), expected);
});

test("no secret of a URL survives redaction, whatever it contains", () => {
  // Marked at both ends: a part of the secret that stayed would show one of the marks.
  const secret = fc.string({ unit: "grapheme-ascii" }).map((middle) => `\u00ab${middle}\u00bb`);
  const user = fc.stringMatching(/^[a-z]{0,8}$/);
  const scheme = fc.constantFrom(...SCHEMES.map((name) => `${name}:`), "");
  fc.assert(
    fc.property(scheme, user, secret, (prefix, name, password) => {
      const shown = redactLocation(`${prefix}https://${name}:${password}@host:8000/repo`);
      assert.equal(shown, `${prefix}https://${name}:***@host:8000/repo`);
    }),
  );
});
