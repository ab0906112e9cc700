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

  test("keys of services are named as SOPS names them", () => {
    const role = "arn:aws:iam::1:role/r";
    const keys = (text: string): unknown => rule("x", `creation_rules:\n  - ${text}\n`)?.groups[0];
    const aws = (id: string, more = {}): unknown => ({
      kind: "kms",
      id,
      aws: { role: "", context: [], profile: "", ...more },
    });
    assert.deepEqual(keys(`{kms: "a+${role}, b", aws_profile: p}`), [
      aws("a", { role, profile: "p" }),
      aws("b", { profile: "p" }),
    ]);
    const vault = { kind: "hc_vault", id: "https://v:8200/v1/a/b/keys/k" };
    assert.deepEqual(keys("hc_vault_transit_uri: 'https://v:8200/v1/a/b/keys/k/'"), [vault]);
    const azure = { kind: "azure_kv", id: "https://a.vault/keys/k/1" };
    assert.deepEqual(keys("azure_keyvault: https://a.vault/keys/k/1"), [azure]);
    assert.deepEqual(keys("hckms: [r:1]"), [{ kind: "hckms", id: "r:1" }]);
    const group = `key_groups:
      - merge: [{age: [age1a]}, {age: [age1a, age1b], merge: [{pgp: [AAAA]}]}]
        hc_vault: ['${vault.id}']
        azure_keyvault: [{vaultUrl: https://a.vault, key: k, version: 1}]
        hckms: [{key_id: r:1}]
        kms: [{arn: a, role: ${role}, context: {Env: prod}, aws_profile: p}]`;
    assert.deepEqual(keys(group), [
      { kind: "age", id: "age1a" },
      { kind: "pgp", id: "AAAA" },
      { kind: "age", id: "age1b" },
      aws("a", { role, context: [["Env", "prod"]], profile: "p" }),
      { kind: "hckms", id: "r:1" },
      azure,
      vault,
    ]);
    for (const bad of [
      "azure_keyvault: https://a.vault/keys/k",
      "hc_vault_transit_uri: https://v/p/v1/a/keys/k",
      "kms: [{role: r}]",
    ]) {
      assert.throws(() => keys(bad), /^HoldfastError: \.sops\.yaml, line 2: /, bad);
    }
  });

  test("that cannot be followed are refused with their line", () => {
    assert.throws(
      () => rule("vault"),
      /^HoldfastError: \.sops\.yaml, line 18: hc_vault_transit_uri holds something other than/,
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
