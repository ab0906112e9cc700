import assert from "node:assert/strict";
import { test } from "node:test";
import { redactor } from "./redact.ts";

test("secrets are taken out of what rclone says, by value and by place", () => {
  const json = JSON.stringify({
    type: "service_account",
    private_key: "-----BEGIN KEY-----\nGEHEIM1\nGEHEIM2\n",
  });
  const env = {
    HOME: "/home/somebody",
    RCLONE_CONFIG_X_SERVICE_ACCOUNT_CREDENTIALS: json,
    RCLONE_CONFIG_X_PASSWORD: "YWFhYWFhYWFhYWFhYWFhYYVpxJTOCQ",
    RCLONE_CONFIG_PASS: "geheim-3",
    AWS_SECRET_ACCESS_KEY: "geheim/4",
    RCLONE_CONFIG_X_ENV_AUTH: "true",
  };
  const redact = redactor(env);
  const lines = [
    ["using geheim-3 for it", "using *** for it"],
    ["sent geheim/4", "sent ***"],
    ["line GEHEIM1 of a key", "line *** of a key"],
    [json, "***"],
    ["https://u:geheim@host/x failed", "https://u:***@host/x failed"],
    ['bad token="a b c" here', "bad token=*** here"],
    ["Authorization: Bearer abc.def", "Authorization: Bearer ***"],
    ["secret_access_key: xyz", "secret_access_key: ***"],
    [
      "ERROR : keys/0a: error in /home/somebody is true",
      "ERROR : keys/0a: error in /home/somebody is true",
    ],
  ];
  for (const [line, shown] of lines) assert.equal(redact(line!), shown);
});

test("an obscured password is known in both forms", () => {
  const obscured = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh";
  const shown = redactor({ RCLONE_CONFIG_X_PASS: obscured })(`sent ${obscured}`);
  assert.equal(shown, "sent ***");
});
