import assert from "node:assert/strict";
import { test } from "node:test";
import { dependenciesOf } from "./install.ts";

test("dependencies by the names of the older release, the first of alternatives, each once", () => {
  assert.deepEqual(
    dependenciesOf(
      "python3-lxml-html-clean, python3-lxml, python3-pytz, python3:any, adduser, " +
        "fonts-dejavu-core | fonts-freefont-ttf, python3-reportlab (>= 4.0.4-1~)",
    ),
    ["python3-lxml", "python3-tz", "fonts-dejavu-core", "python3-reportlab"],
  );
});
