// The tar that a server sends, as the parts that are stored (docs/formats/barman.md#tars): each a complete tar, divided
// between members. The first one begins with the directory itself, without which a restored data directory would be open to
// everybody and PostgreSQL would not start on it. Links to tablespaces are left out: restores make them anew, and Barman's
// stops at one that is there.

import { formatTarHeader, TAR_END, tarPadding, type TarMember } from "../../barman/tar-header.ts";

/** Where one part goes. */
export interface PartSink {
  /** Has no need of `bytes` any more when it resolves. */
  write(bytes: Uint8Array): Promise<void>;
  /** Nothing more comes; resolves when the part is stored. */
  end(): Promise<void>;
}

export interface TarPartsOptions {
  /** Begins a part, of no more than that many bytes. */
  readonly open: (part: number, bytesMax: number) => PartSink;
  /** Bytes of a part, more only if a single file has more. */
  readonly partBytes: number;
  /** Permissions of the directory itself: 0o700. */
  readonly rootMode: number;
  /** Seconds since 1970. */
  readonly now: number;
}

const ZEROS = Buffer.alloc(512);

/** Writes one tar, in parts. */
export class TarParts {
  readonly #options: TarPartsOptions;
  #parts = 0;
  #part: PartSink | undefined;
  #bytes = 0;
  /** The part before, whose end is still on its way to the storage. */
  #ending: Promise<void> | undefined;
  #skips = false;

  constructor(options: TarPartsOptions) {
    this.#options = options;
  }

  /** How many there are. */
  get count(): number {
    return this.#parts;
  }

  /** A member begins; true when it is kept. */
  async begin(member: TarMember): Promise<boolean> {
    this.#skips = member.type === "symlink" && /^(?:\.\/)?pg_tblspc\/\d+\/?$/.test(member.path);
    if (this.#skips) return false;
    const bytes = 512 + member.size + tarPadding(member.size);
    if (this.#part !== undefined && this.#bytes + bytes > this.#options.partBytes) {
      await this.#endPart();
    }
    const part = this.#part ?? (await this.#openPart(member));
    this.#bytes += bytes;
    await part.write(formatTarHeader(member));
    return true;
  }

  async content(bytes: Uint8Array): Promise<void> {
    await this.#part!.write(bytes);
  }

  /** The member's content is complete. */
  async end(member: TarMember): Promise<void> {
    const padding = tarPadding(member.size);
    if (!this.#skips && padding > 0) await this.#part!.write(ZEROS.subarray(0, padding));
  }

  /** Resolves when all parts are stored. A tar without members is one part. */
  async close(): Promise<void> {
    if (this.#parts === 0) await this.#openPart(undefined);
    await this.#endPart();
    await this.#ending;
  }

  async #openPart(first: TarMember | undefined): Promise<PartSink> {
    // A single file may be larger than a part; around it there is the directory, its header and the end.
    const bytesMax = Math.max(this.#options.partBytes, first?.size ?? 0) + 8192;
    const part = this.#options.open(this.#parts, bytesMax);
    this.#part = part;
    this.#parts++;
    this.#bytes = 0;
    if (this.#parts === 1) {
      const { rootMode, now } = this.#options;
      const root: TarMember = {
        path: "./",
        type: "directory",
        size: 0,
        mode: rootMode,
        uid: first?.uid ?? 0,
        gid: first?.gid ?? 0,
        mtime: now,
        linkTarget: "",
      };
      await part.write(formatTarHeader(root));
    }
    return part;
  }

  /** The storage may take its time over the end of a part while the next one comes. */
  async #endPart(): Promise<void> {
    const part = this.#part!;
    this.#part = undefined;
    await part.write(TAR_END);
    await this.#ending;
    this.#ending = part.end();
    this.#ending.catch(() => {});
  }
}
