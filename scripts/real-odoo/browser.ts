// What a person's browser does with an Odoo, as far as it proves that one works: the login page and everything that it
// loads, a login with its token, the pages behind it, the content of attachments, and calls to the server's models.

import { createHash } from "node:crypto";

/** An answer, read to its end. */
export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** A page and the assets in it. */
export interface PageProof {
  readonly path: string;
  readonly status: number;
  readonly assets: readonly { readonly path: string; readonly status: number; bytes: number }[];
}

/** User and password of the demo data. */
const ADMIN = "admin";

export class Browser {
  readonly #url: string;
  readonly #cookies = new Map<string, string>();

  constructor(url: string) {
    this.#url = url;
  }

  /** Gets a path, following redirections within this server. */
  async get(path: string): Promise<Answer> {
    return await this.#send(path, {});
  }

  /** Logs in as the administrator of the demo data. Throws when Odoo does not let us in. */
  async login(): Promise<void> {
    const page = await this.get("/web/login");
    const token = /csrf_token: "([^"]+)"/.exec(page.body.toString())?.[1];
    if (token === undefined) throw new Error(`no csrf token in /web/login: ${page.status}`);
    const form = new URLSearchParams({ csrf_token: token, login: ADMIN, password: ADMIN });
    const { status, body } = await this.#send("/web/login", { method: "POST", body: form });
    const entered = /"uid": (\d+)/.exec(body.toString());
    if (!entered) throw new Error(`the login failed: ${status}`);
  }

  /** Calls a method of a model. Throws what the server says when it fails. */
  async call(model: string, method: string, values: unknown[]): Promise<unknown> {
    const params = { model, method, args: values, kwargs: {} };
    const { body } = await this.#send(`/web/dataset/call_kw/${model}/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", method: "call", params }),
    });
    const reply = JSON.parse(body.toString()) as {
      result?: unknown;
      error?: { data?: { message?: string } };
    };
    if (reply.error) throw new Error(`${model}.${method}: ${reply.error.data?.message}`);
    return reply.result;
  }

  /** SHA-1 of what the server gives for an attachment, undefined when it gives none. */
  async contentOf(attachment: number): Promise<string | undefined> {
    const { status, body } = await this.get(`/web/content/${attachment}`);
    return status === 200 ? createHash("sha1").update(body).digest("hex") : undefined;
  }

  /** Loads a page with all assets that it names. */
  async page(path: string): Promise<PageProof> {
    const { status, body } = await this.get(path);
    const named = body.toString().matchAll(/(?:src|href)="(\/web\/assets\/[^"]+)"/g);
    const paths = [...new Set([...named].map((match) => match[1]!.replaceAll("&amp;", "&")))];
    const assets = [];
    for (const asset of paths) {
      const answer = await this.get(asset);
      assets.push({ path: asset, status: answer.status, bytes: answer.body.length });
    }
    return { path, status, assets };
  }

  async #send(path: string, init: RequestInit): Promise<Answer> {
    let target = new URL(path, this.#url);
    let request = init;
    for (let hops = 0; hops < 6; hops++) {
      const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      const headers = { ...(request.headers as Record<string, string> | undefined), cookie };
      const answer = await fetch(target, { ...request, headers, redirect: "manual" });
      for (const line of answer.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        if (name !== undefined) this.#cookies.set(name, value!);
      }
      const body = Buffer.from(await answer.arrayBuffer());
      const location = answer.headers.get("location");
      if (location === null) return { status: answer.status, body };
      target = new URL(location, target);
      if (target.origin !== new URL(this.#url).origin) return { status: answer.status, body };
      request = {};
    }
    throw new Error(`${path} redirects for ever`);
  }
}

/** What is wrong with pages; nothing when all is as it should be. */
export function faultsOf(pages: readonly PageProof[]): string[] {
  return pages.flatMap(({ path, status, assets }) => [
    ...(status === 200 ? [] : [`${path}: ${status}`]),
    ...(assets.length > 0 ? [] : [`${path} names no assets`]),
    ...assets
      .filter((asset) => asset.status !== 200 || asset.bytes === 0)
      .map((asset) => `${asset.path}: ${asset.status}, ${asset.bytes} bytes`),
  ]);
}
