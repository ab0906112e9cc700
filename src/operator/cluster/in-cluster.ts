// Where a pod finds its API server, and who it is there: what the kubelet mounts into every pod that has a service account. The
// token is replaced under us about once an hour, so it is read again every minute, and at once when the server refuses it.

import type { Clock } from "../../base/clock.ts";
import { HoldfastError } from "../../base/errors.ts";
import type { ClusterConfig, ClusterCredentials } from "./cluster-config.ts";
import type { ClusterIo } from "./cluster-io.ts";

const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
const TOKEN_AGE_MAX = 60_000;

/** Undefined outside a cluster. Throws CREDENTIALS_INVALID when a pod has no token mounted. */
export async function inClusterConfig(
  io: ClusterIo,
  clock: Clock,
): Promise<ClusterConfig | undefined> {
  const host = io.environment["KUBERNETES_SERVICE_HOST"];
  const port = io.environment["KUBERNETES_SERVICE_PORT"];
  if (!host || !port) return undefined;
  const credentials = tokenFile(`${ACCOUNT}/token`, io, clock);
  // Asked once here, so that a pod without a token says so at its start.
  await credentials.get();
  const namespace = (await io.readText(`${ACCOUNT}/namespace`))?.trim();
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    authorities: await io.readText(`${ACCOUNT}/ca.crt`),
    credentials,
    ...(namespace ? { namespace } : {}),
  };
}

/** A token in a file that somebody renews. */
export function tokenFile(path: string, io: ClusterIo, clock: Clock): ClusterCredentials {
  let token: string | undefined;
  let read = -Infinity;
  return {
    get: async ({ refused = false } = {}) => {
      if (token === undefined || refused || clock.monotonic() - read >= TOKEN_AGE_MAX) {
        const text = (await io.readText(path))?.trim();
        // In the moment of a rotation the file may be away: the last token is still good then.
        if (text) token = text;
        else if (token === undefined) {
          throw new HoldfastError("CREDENTIALS_INVALID", `there is no token in ${path}`, {
            hint: "Let the pod mount its service account's token (automountServiceAccountToken).",
          });
        }
        read = clock.monotonic();
      }
      return { token };
    },
  };
}
