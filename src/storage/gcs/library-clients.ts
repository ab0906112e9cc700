// Clients of google-auth-library for credential files that were judged, each by the constructor of its kind: what would
// guess the kind from a file is what the library itself warns of, on standard error.

import {
  AwsClient,
  IdentityPoolClient,
  Impersonated,
  JWT,
  PluggableAuthClient,
  UserRefreshClient,
} from "google-auth-library";
import type { AuthClient } from "google-auth-library";

/** What an account needs to speak for another one. */
const IMPERSONATION_SCOPE = "https://www.googleapis.com/auth/cloud-platform";

/** A client without a token, whose tokens are for `scope`. Throws what the library throws when a field makes no sense. */
export function clientOf(json: Readonly<Record<string, unknown>>, scope: string): AuthClient {
  const text = (name: string): string => json[name] as string;
  const common = {
    ...("quota_project_id" in json && { quotaProjectId: text("quota_project_id") }),
    ...("universe_domain" in json && { universeDomain: text("universe_domain") }),
  };
  switch (json["type"]) {
    case "service_account": {
      const [email, key] = [text("client_email"), text("private_key")];
      return new JWT({ ...common, email, key, keyId: text("private_key_id"), scopes: [scope] });
    }
    case "authorized_user": {
      const [clientId, clientSecret] = [text("client_id"), text("client_secret")];
      const refreshToken = text("refresh_token");
      return new UserRefreshClient({ ...common, clientId, clientSecret, refreshToken });
    }
    case "impersonated_service_account": {
      const source = json["source_credentials"] as Record<string, unknown>;
      const url = text("service_account_impersonation_url");
      const target = /\/([\w.@-]+):generateAccessToken$/.exec(url)?.[1];
      if (target === undefined)
        throw new Error("the address of the impersonation names no account");
      return new Impersonated({
        ...common,
        sourceClient: clientOf(source, IMPERSONATION_SCOPE),
        targetPrincipal: target,
        targetScopes: [scope],
        delegates: (json["delegates"] as string[] | undefined) ?? [],
      });
    }
    default:
      return federated(json, scope);
  }
}

function federated(json: Readonly<Record<string, unknown>>, scope: string): AuthClient {
  const source = json["credential_source"] as object;
  const options = { ...json, scopes: [scope] } as never;
  if ("environment_id" in source) return new AwsClient(options);
  if ("executable" in source) return new PluggableAuthClient(options);
  return new IdentityPoolClient(options);
}
