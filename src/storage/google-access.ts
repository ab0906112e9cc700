// Access tokens of Google's for what is no storage: the same credentials, judged by the same rules.

import type { GoogleCredentials } from "./gcs.ts";
import { openTokens } from "./gcs/google-tokens.ts";
import { allowedRisks } from "./gcs/settings.ts";
import type { BackendContext } from "./backend.ts";

/** A token for `scope`. CREDENTIALS_INVALID when there are no credentials, or none that may be used. */
export async function googleAccessToken(
  credentials: GoogleCredentials,
  scope: string,
  context: BackendContext,
): Promise<string> {
  const transport = context.openSockets(1);
  try {
    const allowed = allowedRisks(context);
    const tokens = await openTokens({ credentials, context, transport, allowed, scope });
    return (await tokens.token(context.signal)) ?? "";
  } finally {
    await transport.close();
  }
}
