// A body that comes in pieces, into a temporary file that gets its name when it is whole.

import type { FileHandle } from "node:fs/promises";
import { throwIfCancelled } from "../../base/cancellation.ts";
import type { CallOptions, Upload } from "../storage.ts";
import { storageError } from "./errno.ts";

const PIECE_BYTES = 4 * 1024 * 1024;

export interface FileUploadOptions {
  /** Name of the object for people. */
  key: string;
  /** The empty temporary file, open for writing; closed by the upload. */
  handle: FileHandle;
  /** Makes the content of the file durable. */
  complete: () => Promise<void>;
  /** Gives the file its name, durably. */
  place: () => Promise<void>;
  /** Removes the temporary file, if it is still there. */
  discard: () => Promise<void>;
}

/** The upload of one object. */
export function uploadToFile(options: FileUploadOptions): Upload {
  const { key, handle } = options;
  let isPlaced = false;
  const told = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      throw storageError(error, "write", key);
    }
  };
  const write = (piece: number, bytes: Uint8Array, { signal }: CallOptions = {}): Promise<void> =>
    told(async () => {
      throwIfCancelled(signal);
      await writeAll(handle, bytes, piece * PIECE_BYTES);
    });
  return {
    pieceBytes: PIECE_BYTES,
    parallel: 2,
    write,
    async finish(piece, bytes, call) {
      if (isPlaced) return;
      await write(piece, bytes, call);
      await told(async () => {
        await options.complete();
        await handle.close();
        await options.place();
      });
      isPlaced = true;
    },
    async abort() {
      await handle.close().catch(() => undefined);
      await options.discard();
    },
  };
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
