// Opening sockets: plain, under TLS, to a socket of this machine, and through proxies.

import { connect } from "node:net";
import type { OnReadOpts, Socket } from "node:net";
import { connect as connectTls, createSecureContext } from "node:tls";
import type { SecureContext } from "node:tls";
import type { Proxy } from "./proxy.ts";
import { unbracketed } from "./proxy.ts";
import { Tunnel } from "./tunnel.ts";

export interface TlsSettings {
  /** Certificates of the authorities to trust in place of the system's, PEM. */
  ca?: readonly string[] | undefined;
  /** A certificate with its key to show to servers, PEM. */
  clientCertificate?: string | undefined;
  /** Trust any certificate. */
  insecureTls?: boolean | undefined;
}

/** A way to a server. */
export interface Line {
  readonly socket: Socket;
  /** What is written is encrypted in this process first. */
  readonly isTls: boolean;
  /** Lets the line keep the process alive, or no longer. */
  hold(isHeld: boolean): void;
}

/** Opens sockets with one set of certificates, and remembers TLS sessions. */
export class Dialer {
  readonly #settings: TlsSettings;
  readonly #sessions = new Map<string, Buffer>();
  #context: SecureContext | undefined;

  constructor(settings: TlsSettings) {
    this.#settings = settings;
  }

  /** A line to the server of `url`; it connects in its own time. */
  dial(url: URL, proxy: Proxy | undefined, onread: OnReadOpts): Line {
    const isTls = url.protocol === "https:";
    const host = unbracketed(url.hostname);
    if (proxy === undefined) {
      const place = { host, port: Number(url.port || (isTls ? 443 : 80)) };
      return lineOf(isTls ? this.#tls(place, host, onread) : plain(place, onread), isTls);
    }
    const toProxy = { host: proxy.host, port: proxy.port };
    if (!isTls) {
      const socket = proxy.isTls ? this.#tls(toProxy, proxy.host, onread) : plain(toProxy, onread);
      return lineOf(socket, proxy.isTls);
    }
    const outer = proxy.isTls ? this.#tls(toProxy, proxy.host) : plain(toProxy);
    const tunnel = new Tunnel(outer, `${url.hostname}:${url.port || 443}`, proxy);
    // What keeps the process alive is the socket below.
    return { ...lineOf(outer, true), socket: this.#tls({ socket: tunnel, host }, host) };
  }

  /** A socket of this machine. */
  dialPath(path: string, onread: OnReadOpts): Line {
    return lineOf(connect({ path, onread }), false);
  }

  #tls(
    place: { host: string; port: number } | { socket: Tunnel; host: string },
    name: string,
    onread?: OnReadOpts,
  ): Socket {
    const { ca, clientCertificate, insecureTls } = this.#settings;
    this.#context ??= createSecureContext({
      ...(ca && ca.length > 0 && { ca: [...ca] }),
      ...(clientCertificate !== undefined && { cert: clientCertificate, key: clientCertificate }),
    });
    const session = this.#sessions.get(name);
    const isAddress = /^[\d.]+$|:/.test(name);
    const options = {
      ...place,
      secureContext: this.#context,
      rejectUnauthorized: insecureTls !== true,
      ALPNProtocols: ["http/1.1"],
      ...(!isAddress && { servername: name }),
      ...(session !== undefined && { session }),
      ...(onread !== undefined && { onread }),
    };
    const socket = connectTls(options);
    socket.setNoDelay(true);
    socket.on("session", (made: Buffer) => this.#sessions.set(name, made));
    return socket;
  }
}

function plain(place: { host: string; port: number }, onread?: OnReadOpts): Socket {
  return connect({ ...place, noDelay: true, ...(onread !== undefined && { onread }) });
}

function lineOf(socket: Socket, isTls: boolean): Line {
  return { socket, isTls, hold: (isHeld) => void (isHeld ? socket.ref() : socket.unref()) };
}
