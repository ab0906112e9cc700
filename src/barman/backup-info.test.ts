import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { anyBackupInfo } from "../../test/barman/arbitraries.ts";
import type { HoldfastError } from "../base/errors.ts";
import { formatBackupInfo, parseBackupInfo, type BackupInfo } from "./backup-info.ts";
import { quoteText, readLiteral } from "./python-literal.ts";
import { formatZonedTime, millisecondsOf, readZonedTime, utcTime } from "./zoned-time.ts";

/** What Barman 3.4 stores of a backup that is done, field by field. */
const FIELDS: Readonly<Record<string, string>> = {
  backup_label: String.raw`'START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nLABEL: Barman backup cloud 20261123T101530\n'`,
  begin_offset: "40",
  begin_time: "2026-11-23 10:15:30.123456+00:00",
  begin_wal: "000000010000000000000002",
  begin_xlog: "0/2000028",
  compression: "None",
  config_file: "/etc/postgresql/15/main/postgresql.conf",
  copy_stats: "{'total_time': 2.5, 'number_of_workers': 2}",
  deduplicated_size: "None",
  end_offset: "312",
  end_time: "2026-11-23 10:15:34+00:00",
  end_wal: "000000010000000000000002",
  end_xlog: "0/2000138",
  error: "None",
  hba_file: "/etc/postgresql/15/main/pg_hba.conf",
  ident_file: "/etc/postgresql/15/main/pg_ident.conf",
  included_files: "['/etc/postgresql/15/main/conf.d/a.conf']",
  mode: "concurrent",
  pgdata: "/var/lib/postgresql/15/main",
  server_name: "cloud",
  size: "31337",
  status: "DONE",
  systemid: "7312345678901234567",
  tablespaces: "[('ts1', 16385, '/ts/one'), ('it\\'s \"two\"', 16386, '/ts/two')]",
  timeline: "1",
  version: "150018",
  xlog_segment_size: "16777216",
};

function text(changes: Readonly<Record<string, string | undefined>> = {}): string {
  return Object.entries({ ...FIELDS, ...changes })
    .filter(([, value]) => value !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}\n`)
    .join("");
}

const parse = (content: string | Uint8Array): BackupInfo =>
  parseBackupInfo(typeof content === "string" ? Buffer.from(content) : content, "b/backup.info");

function lineOf(content: string, key: string): number {
  return content.split("\n").findIndex((line) => line.startsWith(`${key}=`)) + 1;
}

suite("backup.info", () => {
  test("one of Barman 3.4 is understood, and written again to the byte", () => {
    const info = parse(text());
    assert.equal(formatBackupInfo(info).toString(), text());
    assert.equal(info.status, "DONE");
    assert.equal(info.beginLsn, 0x2000028n);
    assert.equal(info.endLsn, 0x2000138n);
    assert.equal(millisecondsOf(info.endTime!), Date.parse("2026-11-23T10:15:34Z"));
    assert.ok(info.backupLabel?.endsWith("cloud 20261123T101530\n"));
    assert.deepEqual(info.tablespaces, [
      { name: "ts1", oid: 16385, location: "/ts/one" },
      { name: `it's "two"`, oid: 16386, location: "/ts/two" },
    ]);
    assert.deepEqual(info.includedFiles, ["/etc/postgresql/15/main/conf.d/a.conf"]);
    assert.equal(info.readOnly, false);
    assert.equal(info.compression, null);
  });

  test("optional fields, comments and blanks", () => {
    const info = parse(
      `# holdfast: 1\n\n  \t\n${text({ backup_name: "nightly = 1" }).replace("mode=", "  mode  =  ")}#end`,
    );
    assert.equal(info.backupName, "nightly = 1");
    assert.equal(info.mode, "concurrent");
    assert.deepEqual(info.comments, [" holdfast: 1", "end"]);
    assert.equal(
      formatBackupInfo(info).toString(),
      `${text({ backup_name: "nightly = 1" })}# holdfast: 1\n#end\n`,
    );
    assert.equal(parse(text({ xlog_segment_size: undefined })).segmentSize, 16 << 20);
    assert.equal(parse("").status, "EMPTY");
  });

  test("fields of later versions are kept; those of nobody are kept too, and nothing is to be changed", () => {
    const later = {
      data_checksums: "on",
      parent_backup_id: "None",
      summarize_wal: "None",
      cluster_size: "5",
    };
    const info = parse(text(later));
    assert.equal(info.readOnly, false);
    assert.equal(info.extra.get("data_checksums"), "on");
    assert.equal(formatBackupInfo(info).toString(), text(later));
    const foreign = parse(text({ zz_new: "x=y", __proto__x: "1" }));
    assert.ok(foreign.readOnly);
    assert.deepEqual(
      [...foreign.extra],
      [
        ["__proto__x", "1"],
        ["zz_new", "x=y"],
      ],
    );
    assert.equal(formatBackupInfo(foreign).toString(), text({ zz_new: "x=y", __proto__x: "1" }));
  });

  test("a failed backup may lack anything", () => {
    const bare = Object.fromEntries(Object.keys(FIELDS).map((key) => [key, "None"]));
    const info = parse(
      text({
        ...bare,
        status: "FAILED",
        error: "failure uploading: timeout",
        xlog_segment_size: "16777216",
      }),
    );
    assert.equal(info.status, "FAILED");
    assert.equal(info.endTime, null);
    assert.equal(info.error, "failure uploading: timeout");
  });

  test("what is missing or contradicts is refused, at its line", () => {
    const cases: [changes: Record<string, string | undefined>, at: string, message: RegExp][] = [
      [{ end_time: "None" }, "status", /DONE, but has no end_time/],
      [{ end_time: undefined }, "status", /no end_time/],
      [{ begin_wal: "None" }, "status", /no begin_wal/],
      [{ end_xlog: "None" }, "status", /no end_xlog/],
      [{ timeline: "None" }, "status", /no timeline/],
      [{ timeline: "2" }, "begin_wal", /not of timeline 2/],
      [{ timeline: "0" }, "timeline", /timeline/],
      [{ begin_wal: "000000010000000000000003" }, "begin_wal", /does not hold/],
      [{ end_wal: "000000010000000000000001" }, "end_wal", /does not hold/],
      [{ end_wal: "000000010000000000000002.gz" }, "end_wal", /name of a WAL segment/],
      [
        { status: "FAILED", begin_xlog: "None", begin_wal: "0000000100000000FFFFFFFF" },
        "begin_wal",
        /cannot be with segments of 16777216 bytes/,
      ],
      [{ begin_offset: "41" }, "begin_offset", /41 is not where/],
      [{ begin_offset: "16777216" }, "begin_offset", /only 16777216 bytes/],
      [{ begin_offset: "-1" }, "begin_offset", /count/],
      [{ end_xlog: "0/2000000", end_offset: "0" }, "end_xlog", /before its beginning/],
      [{ begin_xlog: "0x2000028" }, "begin_xlog", /position/],
      [{ begin_time: "yesterday" }, "begin_time", /time/],
      [{ begin_time: "2026-02-30 00:00:00+00:00" }, "begin_time", /time/],
      [{ status: "FINISHED" }, "status", /state/],
      [{ size: "1e6" }, "size", /count/],
      [{ size: "9".repeat(20) }, "size", /count/],
      [{ xlog_segment_size: "16777215" }, "xlog_segment_size", /size of a WAL segment/],
      [{ tablespaces: "[('a', 1, '/a'), ('b', 1, '/b')]" }, "tablespaces", /same number/],
      [{ tablespaces: "[('a', '../1', '/a')]" }, "tablespaces", /list of tablespaces/],
      [{ tablespaces: "[('a', -1, '/a')]" }, "tablespaces", /list of tablespaces/],
      [{ tablespaces: "__import__('os')" }, "tablespaces", /list of tablespaces/],
      [{ tablespaces: "[".repeat(50_000) }, "tablespaces", /list of tablespaces/],
      [{ backup_label: "START" }, "backup_label", /quoted text/],
      [{ backup_label: String.raw`'\q'` }, "backup_label", /quoted text/],
      [{ included_files: "{'a': 1}" }, "included_files", /list of texts/],
    ];
    for (const [changes, at, message] of cases) {
      const content = text(changes);
      const place = `b/backup.info:${lineOf(content, at)}: `;
      assert.throws(
        () => parse(content),
        (error: HoldfastError) =>
          error.code === "BARMAN_INFO_DAMAGED" &&
          error.message.startsWith(place) &&
          message.test(error.message),
        `${JSON.stringify(changes).slice(0, 80)} at ${place}`,
      );
    }
    for (const [content, message] of [
      ["status\n", /info:1: .*key=value/],
      ["mode=a\n=b\n", /info:2: .*key=value/],
      ["mode=a\nmode=b\n", /info:2: mode has another value in line 1/],
      [" # no comment\n", /info:1: /],
      [Buffer.from("mode=a\npgdata=\xff\n", "latin1"), /info:2: .*UTF-8/],
      [new Uint8Array(9 << 20), /too large/],
    ] as const)
      assert.throws(() => parse(content), { code: "BARMAN_INFO_DAMAGED", message });
    assert.equal(parse("mode=a\nmode=a\n").mode, "a");
  });

  test("an end between two segments may be said to be in either", () => {
    const end = { end_xlog: "0/3000000", end_offset: "0" };
    parse(text({ ...end, end_wal: "000000010000000000000002" }));
    parse(text({ ...end, end_wal: "000000010000000000000003" }));
    assert.throws(() => parse(text({ ...end, end_wal: "000000010000000000000004" })));
  });

  test("nothing is written that would not be read back", () => {
    const info = parse(text());
    for (const bad of ["a\nb", " a", "a ", "None", "a\0", "\ud800", "a\x85"])
      assert.throws(
        () => formatBackupInfo({ ...info, pgdata: bad }),
        { code: "BARMAN_INFO_DAMAGED" },
        JSON.stringify(bad),
      );
    assert.throws(() => formatBackupInfo({ ...info, endTime: null }), /DONE, but has no end_time/);
    assert.throws(() => formatBackupInfo({ ...info, size: 1.5 }), { code: "BARMAN_INFO_DAMAGED" });
    const failed = formatBackupInfo({ ...info, status: "FAILED", error: " two\nlines " });
    assert.equal(parse(failed).error, "two lines");
    for (const error of ["\n", "\ud800\0\x85", "None", "x".repeat(100_000)])
      assert.equal(parse(formatBackupInfo({ ...info, status: "FAILED", error })).status, "FAILED");
  });

  test("any backup is read back as it was written, and written again to the byte", () => {
    fc.assert(
      fc.property(anyBackupInfo, (info) => {
        const written = formatBackupInfo(info);
        const read = parse(written);
        assert.deepEqual(read, info);
        assert.deepEqual(formatBackupInfo(read), written);
      }),
      { numRuns: 3000 },
    );
  });

  test("damage of any kind gives a backup.info or one clear error", () => {
    const original = Buffer.from(text());
    const place = fc.nat({ max: original.length });
    const change = fc.oneof(
      fc.record({ how: fc.constant("set"), place, byte: fc.integer({ min: 0, max: 255 }) }),
      fc.record({ how: fc.constant("cut"), place, byte: fc.constant(0) }),
      fc.record({ how: fc.constant("drop"), place, byte: fc.integer({ min: 1, max: 60 }) }),
      fc.record({ how: fc.constant("double"), place, byte: fc.integer({ min: 1, max: 60 }) }),
    );
    let refused = 0;
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        let bytes: Buffer = original;
        for (const { how, place: at, byte } of changes) {
          const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
          if (how === "cut") bytes = head;
          else if (how === "drop") bytes = Buffer.concat([head, tail.subarray(byte)]);
          else if (how === "double") bytes = Buffer.concat([head, tail.subarray(0, byte), tail]);
          else bytes = Buffer.concat([head, Buffer.from([byte]), tail.subarray(1)]);
        }
        try {
          parse(bytes);
        } catch (error) {
          refused++;
          assert.equal((error as HoldfastError).code, "BARMAN_INFO_DAMAGED", String(error));
          assert.match((error as HoldfastError).message, /^b\/backup\.info(:\d+)?: [^\n]+$/);
        }
      }),
      { numRuns: 4000 },
    );
    assert.ok(refused > 1000, `${refused} refused`);
  });
});

suite("values", () => {
  test("texts are quoted as Python does", () => {
    for (const [value, quoted] of [
      ["", "''"],
      ["it's", `"it's"`],
      [`it's "x"`, String.raw`'it\'s "x"'`],
      ['"', `'"'`],
      ["a\n\r\t\\", String.raw`'a\n\r\t\\'`],
      ["\0\x1f\x7f\x85\u00a0\u00ad", String.raw`'\x00\x1f\x7f\x85\xa0\xad'`],
      ["\u200b\u2028\ue000\ufeff", String.raw`'\u200b\u2028\ue000\ufeff'`],
      ["\u{e0001}", String.raw`'\U000e0001'`],
      ["é日😀", "'é日😀'"],
    ] as const) {
      assert.equal(quoteText(value), quoted);
      assert.equal(readLiteral(quoted), value);
    }
  });

  test("literals of every kind are read, and nothing else", () => {
    for (const [text, value] of [
      ["[]", []],
      ["()", []],
      ["('a',)", ["a"]],
      ["[1, -2.5, None, True, False, u'x', (1, [2])]", [1, -2.5, null, true, false, "x", [1, [2]]]],
      [String.raw`'\x41\u0042\U00000043\104\a'`, "ABCD\x07"],
      [" [ 1 , ] ", [1]],
    ] as const)
      assert.deepEqual(readLiteral(text), value, text);
    for (const text of [
      "",
      "[",
      "]",
      "[1",
      "[1 2]",
      "[,]",
      "(1,,2)",
      "1 2",
      "a",
      "'",
      "'\\'",
      "'a' 'b'",
      "{}",
      "{'a': 1}",
      "f()",
      "1+1",
      "0x10",
      "b'x'",
      "None1",
      "[1]]",
      `${"[".repeat(30)}${"]".repeat(30)}`,
    ])
      assert.equal(readLiteral(text), undefined, text);
    assert.equal(readLiteral(`'${"\\\\".repeat(200_000)}`), undefined);
  });

  test("times are kept to the digit", () => {
    for (const [text, milliseconds] of [
      ["2026-11-23 10:15:30.123456+00:00", Date.UTC(2026, 10, 23, 10, 15, 30, 123)],
      ["2026-11-23 10:15:30+05:30", Date.UTC(2026, 10, 23, 4, 45, 30)],
      ["2026-01-01 00:15:30.000001-02:00", Date.UTC(2026, 0, 1, 2, 15, 30)],
      ["2024-02-29 23:59:59.999999+14:00", Date.UTC(2024, 1, 29, 9, 59, 59, 999)],
      ["1999-01-01 00:00:00-00:25:21", Date.UTC(1999, 0, 1, 0, 25, 21)],
      ["2026-11-23 10:15:30", Date.UTC(2026, 10, 23, 10, 15, 30)],
    ] as const) {
      const time = readZonedTime(text)!;
      assert.equal(millisecondsOf(time), milliseconds);
      assert.equal(formatZonedTime(time), text);
    }
    assert.deepEqual(readZonedTime("2026-11-23T10:15:30.5Z"), {
      micros: Date.UTC(2026, 10, 23, 10, 15, 30, 500) * 1000,
      offset: 0,
    });
    assert.equal(formatZonedTime(utcTime(1.5)), "1970-01-01 00:00:00.001500+00:00");
    for (const text of [
      "",
      "2026-11-23",
      "2026-13-01 00:00:00",
      "2026-02-29 00:00:00",
      "2026-01-01 24:00:00",
      "2026-01-01 00:60:00",
      "2026-01-01 00:00:60",
      "2026-01-01 00:00:00+24:00",
      "2026-01-01 00:00:00.1234567",
      "0000-01-01 00:00:00",
      "9999-12-31 00:00:00+00:00",
      "2026-01-01 00:00:00 UTC",
      "Mon Nov 23 10:15:30 2026",
    ])
      assert.equal(readZonedTime(text), undefined, text);
  });
});
