// Who may read the metrics: whoever the cluster says may `get` the path /metrics. The bearer token of a request goes to a
// TokenReview, its owner to a SubjectAccessReview. Answers are kept for a minute, under the token's hash and never the token; how
// many are kept, and how many are asked for at a time, is bounded, since anybody in the cluster can send tokens.

import { createHash } from "node:crypto";
import type { Clock } from "../../base/clock.ts";
import type { ClusterApi } from "../cluster/cluster-api.ts";
import { kind, type Kind } from "../cluster/kinds.ts";
import type { KubeObject } from "../cluster/kube-object.ts";

interface TokenReview extends KubeObject {
  spec: { token: string };
  status?: {
    authenticated?: boolean;
    user?: {
      username?: string;
      uid?: string;
      groups?: string[];
      extra?: Record<string, string[]>;
    };
  };
}

interface SubjectAccessReview extends KubeObject {
  spec: {
    user?: string;
    uid?: string;
    groups?: string[];
    extra?: Record<string, string[]>;
    nonResourceAttributes: { path: string; verb: string };
  };
  status?: { allowed?: boolean };
}

const TOKEN_REVIEW: Kind<TokenReview> = kind(
  "authentication.k8s.io/v1",
  "TokenReview",
  "tokenreviews",
  { namespaced: false },
);
const SUBJECT_ACCESS_REVIEW: Kind<SubjectAccessReview> = kind(
  "authorization.k8s.io/v1",
  "SubjectAccessReview",
  "subjectaccessreviews",
  { namespaced: false },
);

/** `unknown`: the token is nobody's. `busy`: it could not be asked now. */
export type Verdict = "allowed" | "denied" | "unknown" | "busy";

const KEPT_FOR = 60_000;
const KEPT_MAX = 256;
const ASKED_MAX = 4;
/** Longer ones are no tokens of Kubernetes. */
const TOKEN_MAX = 16_384;

export class MetricsReviewer {
  readonly #api: ClusterApi;
  readonly #clock: Clock;
  readonly #kept = new Map<string, { readonly verdict: Verdict; readonly until: number }>();
  readonly #asked = new Map<string, Promise<Verdict>>();

  constructor({ api, clock }: { readonly api: ClusterApi; readonly clock: Clock }) {
    this.#api = api;
    this.#clock = clock;
  }

  /** What the owner of `token` may do with the metrics. Never throws. */
  async review(token: string, signal: AbortSignal): Promise<Verdict> {
    if (token === "" || token.length > TOKEN_MAX) return "unknown";
    const hash = createHash("sha256").update(token).digest("base64");
    const kept = this.#kept.get(hash);
    if (kept && kept.until > this.#clock.monotonic()) return kept.verdict;
    const running = this.#asked.get(hash);
    if (running) return running;
    if (this.#asked.size >= ASKED_MAX) return "busy";
    const asking = this.#ask(token, signal)
      .catch((): Verdict => "busy")
      .finally(() => this.#asked.delete(hash));
    this.#asked.set(hash, asking);
    const verdict = await asking;
    if (verdict !== "busy") this.#keep(hash, verdict);
    return verdict;
  }

  async #ask(token: string, signal: AbortSignal): Promise<Verdict> {
    const { status } = await this.#api.create(
      TOKEN_REVIEW,
      { ...nameless("authentication.k8s.io/v1", "TokenReview"), spec: { token } },
      { signal },
    );
    const user = status?.user;
    if (status?.authenticated !== true || !user?.username) return "unknown";
    const { username, uid, groups, extra } = user;
    const answer = await this.#api.create(
      SUBJECT_ACCESS_REVIEW,
      {
        ...nameless("authorization.k8s.io/v1", "SubjectAccessReview"),
        spec: {
          user: username,
          ...(uid === undefined ? {} : { uid }),
          ...(groups === undefined ? {} : { groups }),
          ...(extra === undefined ? {} : { extra }),
          nonResourceAttributes: { path: "/metrics", verb: "get" },
        },
      },
      { signal },
    );
    return answer.status?.allowed === true ? "allowed" : "denied";
  }

  #keep(hash: string, verdict: Verdict): void {
    this.#kept.delete(hash);
    if (this.#kept.size >= KEPT_MAX) {
      const [oldest] = this.#kept.keys();
      if (oldest !== undefined) this.#kept.delete(oldest);
    }
    this.#kept.set(hash, { verdict, until: this.#clock.monotonic() + KEPT_FOR });
  }
}

/** Reviews are asked and forgotten: the server wants no name. */
function nameless(apiVersion: string, name: string): KubeObject {
  return { apiVersion, kind: name, metadata: {} as KubeObject["metadata"] };
}
