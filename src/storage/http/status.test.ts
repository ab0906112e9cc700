import assert from "node:assert/strict";
import { test } from "node:test";
import { statusError } from "./status.ts";
import type { WireAnswer } from "./transport.ts";

function answerOf(status: number, text: string): WireAnswer {
  return { status, headers: {}, body: Buffer.from(text) };
}

const told = (status: number, text: string, why?: string): string =>
  statusError({ what: "read config", answer: answerOf(status, text), why, now: 0 }).message;

test("what an address carries besides its path is not repeated", () => {
  const html =
    '<html><a href="https://login/?token=SECRET">Found</a>. https://login/in?token=SECRET';
  assert.equal(told(302, html), "cannot read config: Found . https://login/in?… (HTTP 302)");
  const texts = [
    "see https://login/?SECRET for it",
    "see HTTPS://login/#token=SECRET for it",
    'see "/relative?next=a&token=SECRET" for it',
    // Not closed within what is looked at.
    `${"x".repeat(3980)}<a href="https://login/?token=SECRET">`,
    `${"x".repeat(280)} https://login/?token=SECRET`,
  ];
  for (const text of texts) {
    assert.ok(!told(302, text).includes("SECRET"), text);
    assert.ok(!told(302, "", text).includes("SECRET"), text);
  }
  assert.match(told(400, "what? That is no name"), /what\? That is no name/);
});

test("a long answer is cut, whoever read it", () => {
  for (const message of [told(400, "y".repeat(9000)), told(400, "", "y".repeat(9000))]) {
    assert.equal(message, `cannot read config: ${"y".repeat(300)}… (HTTP 400)`);
  }
});
