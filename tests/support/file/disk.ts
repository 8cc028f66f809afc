// A disk in memory for the tests of files: short reads and writes, a full disk, and counters.

import type { FilePort, OpenFile, OpenMode } from "../../../streamer/file/disk/port.ts";

/** An error as the system would give it. */
export function systemError(code: string): Error & { code: string } {
  return Object.assign(new Error(`${code}: it is so`), { code });
}

/** Files by path, and the faults of the disk. */
export class MemoryDisk {
  readonly files = new Map<string, Uint8Array>();
  /** Bytes that one read gives at most. */
  readPiece = Infinity;
  /** Bytes that one write takes at most. */
  writePiece = Infinity;
  /** Length that no file can pass. */
  full = Infinity;
  /** Fails the next call of these. */
  broken: Partial<Record<"open" | "read" | "size" | "write" | "truncate" | "sync" | "close", Error>> = {};
  /** Is called before a read is done, and waited for. */
  onRead: () => void | Promise<void> = () => {};
  /** Resolves before a write is done. */
  gate: Promise<void> = Promise.resolve();
  reads = 0;
  writes = 0;
  syncs = 0;
  opened = 0;
  closed = 0;
  largestRead = 0;

  readonly open: OpenFile = async (path, mode) => {
    await this.#fail("open");
    const there = this.files.get(path);
    if (mode === "read" && there === undefined) throw systemError("ENOENT");
    if (mode === "new" && there !== undefined) throw systemError("EEXIST");
    if (there === undefined || mode === "replace") this.files.set(path, new Uint8Array(0));
    this.opened++;
    return this.#port(path, mode);
  };

  /** The content of a file now. */
  bytes(path: string): Uint8Array {
    const bytes = this.files.get(path);
    if (bytes === undefined) throw new Error(`There is no ${path}`);
    return bytes;
  }

  #port(path: string, mode: OpenMode): FilePort {
    return {
      read: async (into, position) => {
        await this.#fail("read");
        await this.onRead();
        this.reads++;
        this.largestRead = Math.max(this.largestRead, into.length);
        const from = this.bytes(path).subarray(position, position + Math.min(into.length, this.readPiece));
        into.set(from);
        return from.length;
      },
      write: async (from, position) => {
        await this.gate;
        await this.#fail("write");
        if (mode === "read") throw systemError("EBADF");
        this.writes++;
        const count = Math.min(from.length, this.writePiece, this.full - position);
        if (count <= 0) throw systemError("ENOSPC");
        const old = this.bytes(path);
        const bytes = new Uint8Array(Math.max(old.length, position + count));
        bytes.set(old);
        bytes.set(from.subarray(0, count), position);
        this.files.set(path, bytes);
        return count;
      },
      size: async () => {
        await this.#fail("size");
        return this.bytes(path).length;
      },
      truncate: async (length) => {
        await this.#fail("truncate");
        const bytes = new Uint8Array(length);
        bytes.set(this.bytes(path).subarray(0, length));
        this.files.set(path, bytes);
      },
      sync: async () => {
        await this.#fail("sync");
        this.syncs++;
      },
      close: async () => {
        this.closed++;
        await this.#fail("close");
      },
      remove: () => {
        this.files.delete(path);
        return Promise.resolve();
      },
    };
  }

  #fail(what: keyof MemoryDisk["broken"]): Promise<void> {
    const error = this.broken[what];
    delete this.broken[what];
    return error === undefined ? Promise.resolve() : Promise.reject(error);
  }
}
