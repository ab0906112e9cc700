import { test } from "node:test";
import assert from "node:assert/strict";
import { formatTable } from "./table.ts";

test("columns are as wide as their widest line, and no line ends in a space", () => {
  const lines = formatTable({
    headers: ["ID", "Name    ", "Last"],
    rows: [
      ["1", "名前", "x"],
      ["22", "one\ntwo lines", ""],
    ],
    footer: ["2 rows"],
  });
  assert.deepEqual(lines, [
    "ID  Name       Last",
    "-------------------",
    "1   名前       x",
    "22  one",
    "    two lines",
    "-------------------",
    "2 rows",
  ]);
});

test("rows can be set apart", () => {
  const lines = formatTable({ headers: ["A"], rows: [["1"], ["2\n3"], ["4"]], spaced: true });
  assert.deepEqual(lines, ["A", "-", "1", "", "2", "3", "", "4", "-"]);
});

test("a table without rows", () => {
  assert.deepEqual(formatTable({ headers: ["A", "B"], rows: [] }), ["A  B", "----", "----"]);
});

test("a cell of any length, such as a hostname of megabytes, costs no more than its length", () => {
  const wide = "h".repeat(2 << 20);
  const lines = formatTable({
    headers: ["A", "B"],
    rows: [
      [wide, "x"],
      ["1", ""],
      ["2", "y"],
    ],
  });
  assert.deepEqual(
    lines.map(({ length }) => length),
    [wide.length + 3, wide.length + 3, wide.length + 3, 1, wide.length + 3, wide.length + 3],
  );
});
