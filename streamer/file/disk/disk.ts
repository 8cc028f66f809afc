// Implements the port with `node:fs/promises`, which Deno, Bun and Node all have.

import { constants } from "node:fs";
import { type FileHandle, open, unlink } from "node:fs/promises";
import type { FilePort, OpenMode } from "./port.ts";

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = constants;

const FLAGS = Object.freeze({
  read: O_RDONLY,
  new: O_WRONLY | O_CREAT | O_EXCL,
  replace: O_WRONLY | O_CREAT | O_TRUNC,
  append: O_RDWR | O_CREAT, // not O_APPEND: an incomplete end is overwritten
});

/** Opens a file. */
export async function openDisk(path: string, mode: OpenMode): Promise<FilePort> {
  return new DiskFile(await open(path, FLAGS[mode]), path);
}

class DiskFile implements FilePort {
  readonly #handle: FileHandle;
  readonly #path: string;

  constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.read(into, 0, into.length, position)).bytesRead;
  }

  async write(from: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.write(from, 0, from.length, position)).bytesWritten;
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  truncate(length: number): Promise<void> {
    return this.#handle.truncate(length);
  }

  sync(): Promise<void> {
    return this.#handle.sync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  remove(): Promise<void> {
    return unlink(this.#path);
  }
}
