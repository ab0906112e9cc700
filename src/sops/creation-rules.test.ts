import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { isHoldfastError } from "../base/errors.ts";
import { creationRule } from "./creation-rules.ts";

const text = `creation_rules:
    # Flux
    - path_regex: ^clusters/.*\\.ya?ml$
      encrypted_regex: ^(data|stringData)$
      mac_only_encrypted: true
      age: age1a, age1b
      pgp: >-
        AAAA,
        BBBB
    - path_regex: \\.groups$
      shamir_threshold: 2
      key_groups:
        - age: [age1a]
        - pgp: [AAAA]
          gcp_kms:
            - resource_id: projects/p
    - path_regex: vault
      hc_vault_transit_uri: https://vault
    - age: [age1c]
`;
const rule = (path: string, config = text): ReturnType<typeof creationRule> =>
  creationRule({ name: ".sops.yaml", text: config }, path);

suite("creation rules", () => {
  test("the first that fits the path counts", () => {
    assert.deepEqual(rule("clusters/a/secret.yaml"), {
      groups: [
        [
          { kind: "age", id: "age1a" },
          { kind: "age", id: "age1b" },
          { kind: "pgp", id: "AAAA" },
          { kind: "pgp", id: "BBBB" },
        ],
      ],
      threshold: undefined,
      rule: { name: "encrypted_regex", text: "^(data|stringData)$" },
      macOnlyEncrypted: true,
    });
    const groups = rule("x.groups");
    assert.equal(groups?.threshold, 2);
    assert.deepEqual(groups.groups, [
      [{ kind: "age", id: "age1a" }],
      [
        { kind: "pgp", id: "AAAA" },
        { kind: "gcp_kms", id: "projects/p" },
      ],
    ]);
    assert.deepEqual(rule("other")?.rule, { name: "unencrypted_suffix", text: "_unencrypted" });
    assert.equal(rule("x", "stores: {}\n"), undefined);
    assert.equal(rule("x", "creation_rules:\n  - path_regex: y\n    age: z\n"), undefined);
  });

  test("that cannot be followed are refused with their line", () => {
    assert.throws(
      () => rule("vault"),
      /^HoldfastError: \.sops\.yaml, line 18: keys of hc_vault_transit_uri/,
    );
    for (const config of [
      "creation_rules: 5\n",
      "creation_rules: [x]\n",
      "creation_rules: [{path_regex: (}]\n",
      "creation_rules: [{pgp: []}]\n",
      "creation_rules: [{age: a, encrypted_regex: b, encrypted_suffix: c}]\n",
    ]) {
      assert.throws(
        () => rule("x", config),
        (error) => isHoldfastError(error, "SOPS_INVALID"),
        config,
      );
    }
  });
});
