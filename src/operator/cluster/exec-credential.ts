// Credentials from a program that a kubeconfig names (client.authentication.k8s.io, v1 and v1beta1): those of GKE, EKS and others.
// The program is run without a shell; what it printed is kept until it expires or the server refuses it, and never shown.

import type { Clock } from "../../base/clock.ts";
import { HoldfastError, messageOf } from "../../base/errors.ts";
import { plainText } from "./api-error.ts";
import type { ClusterConfig, ClusterCredentials, ClusterIdentity } from "./cluster-config.ts";
import type { ClusterIo } from "./cluster-io.ts";

export interface ExecPlugin {
  readonly apiVersion?: string;
  readonly command?: string;
  readonly args?: readonly string[] | null;
  readonly env?: readonly { name: string; value: string }[] | null;
  readonly installHint?: string;
  readonly provideClusterInfo?: boolean;
}

const VERSIONS = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
/** Renewed so long before it expires. */
const MARGIN = 60_000;

/** Credentials that `plugin` gives, when they are needed. Throws CREDENTIALS_INVALID for a plugin that cannot be. */
export function execCredentials(
  plugin: ExecPlugin,
  { io, clock, cluster }: { io: ClusterIo; clock: Clock; cluster: ClusterConfig },
): ClusterCredentials {
  const { command, apiVersion = "" } = plugin;
  if (!command) throw failed("the exec plugin of the kubeconfig has no command");
  if (!VERSIONS.includes(apiVersion)) {
    throw failed(
      `the exec plugin ${command} speaks ${plainText(apiVersion, []) || "no version"}`,
      `Use one of ${VERSIONS.join(", ")}.`,
    );
  }
  const info = {
    apiVersion,
    kind: "ExecCredential",
    spec: {
      interactive: false,
      ...(plugin.provideClusterInfo
        ? {
            cluster: {
              server: cluster.server,
              ...(cluster.serverName ? { "tls-server-name": cluster.serverName } : {}),
              ...(cluster.insecure ? { "insecure-skip-tls-verify": true } : {}),
              ...(cluster.authorities
                ? {
                    "certificate-authority-data": Buffer.from(cluster.authorities).toString(
                      "base64",
                    ),
                  }
                : {}),
            },
          }
        : {}),
    },
  };
  const variables = {
    ...Object.fromEntries((plugin.env ?? []).map(({ name, value }) => [name, value])),
    KUBERNETES_EXEC_INFO: JSON.stringify(info),
  };
  const ask = async (): Promise<Kept> => {
    const hint = plugin.installHint ? plainText(plugin.installHint, []) : undefined;
    const ended = await io
      .run(command, { arguments: plugin.args ?? [], variables })
      .catch((error: unknown) => {
        throw failed(`cannot run the exec plugin ${command}: ${messageOf(error)}`, hint);
      });
    if (ended.code !== 0) {
      const said = plainText(ended.stderr, []);
      throw failed(`the exec plugin ${command} ended with status ${ended.code}: ${said}`, hint);
    }
    return credentialIn(ended.stdout, command, apiVersion);
  };

  let kept: Kept | undefined;
  let asking: Promise<Kept> | undefined;
  return {
    get: async ({ refused = false } = {}) => {
      const isFresh = kept !== undefined && clock.now() < kept.expires - MARGIN;
      if (isFresh && !refused) return kept!.identity;
      // Many requests at once, one run of the program.
      asking ??= ask().finally(() => (asking = undefined));
      kept = await asking;
      return kept.identity;
    },
  };
}

interface Kept {
  readonly identity: ClusterIdentity;
  readonly expires: number;
}

function credentialIn(text: string, command: string, apiVersion: string): Kept {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw failed(`the exec plugin ${command} did not print JSON`);
  }
  const { kind, apiVersion: version, status } = (value ?? {}) as Record<string, unknown>;
  if (kind !== "ExecCredential" || version !== apiVersion) {
    throw failed(`the exec plugin ${command} printed no ExecCredential of ${apiVersion}`);
  }
  const { token, clientCertificateData, clientKeyData, expirationTimestamp } = (status ??
    {}) as Record<string, unknown>;
  const hasToken = typeof token === "string" && token !== "";
  const hasCertificate =
    typeof clientCertificateData === "string" && typeof clientKeyData === "string";
  if (!hasToken && !hasCertificate) {
    throw failed(`the exec plugin ${command} gave neither a token nor a certificate`);
  }
  const expires =
    typeof expirationTimestamp === "string" ? Date.parse(expirationTimestamp) : Infinity;
  return {
    identity: {
      ...(hasToken ? { token } : {}),
      ...(hasCertificate ? { certificate: clientCertificateData, key: clientKeyData } : {}),
    },
    expires: Number.isNaN(expires) ? 0 : expires,
  };
}

function failed(message: string, hint?: string): HoldfastError {
  return new HoldfastError("CREDENTIALS_INVALID", message, {
    hint: hint ?? "Run the program by hand and see what it says.",
  });
}
