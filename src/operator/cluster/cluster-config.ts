// Where an API server is and who we are there: what kubeconfig.ts and in-cluster.ts find out, and api-client.ts uses.

/** How we prove who we are. Never to be printed. */
export interface ClusterIdentity {
  readonly token?: string | undefined;
  /** `user:password`, for servers that still take it. */
  readonly basic?: string | undefined;
  /** Client certificate and its key, PEM. */
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
}

/** Gives the identity anew whenever it is asked, because tokens are rotated under us. */
export interface ClusterCredentials {
  /** `refused`: the server did not take the last one (401), so one that was kept in memory is not good enough. */
  get(options?: { refused?: boolean; signal?: AbortSignal | undefined }): Promise<ClusterIdentity>;
}

/** Acting as somebody else. */
export interface Impersonation {
  readonly user: string;
  readonly uid?: string | undefined;
  readonly groups?: readonly string[];
}

export interface ClusterConfig {
  /** `https://host:port`, with a path where the API is not at the root. */
  readonly server: string;
  /** Certificates that the server's must be signed by, PEM; the machine's own authorities when absent. */
  readonly authorities?: string | undefined;
  /** The name in the server's certificate, when it is not that of its address. */
  readonly serverName?: string | undefined;
  /** The certificate is not checked. */
  readonly insecure?: boolean;
  readonly credentials?: ClusterCredentials | undefined;
  readonly impersonate?: Impersonation | undefined;
  /** The namespace meant when none is named. */
  readonly namespace?: string | undefined;
}

/** The same identity for ever. */
export function fixedCredentials(identity: ClusterIdentity): ClusterCredentials {
  return { get: () => Promise.resolve(identity) };
}
