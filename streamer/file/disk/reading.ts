// Reads the bytes that a decoder needs into its page, and single beacons separately. Counts the reads.

import type { FileDecoder } from "../format/decoder.ts";
import { flawed, refused } from "../error.ts";
import {
  type Beacon,
  decodeBeacon,
  decodeHeader,
  type FileHeader,
  HEADER_BYTES,
  MAX_BEACON_BYTES,
  measureBeacon,
  startsLikeHeader,
} from "../format/layout.ts";
import { PAGE_BYTES } from "../format/page.ts";
import type { FilePort } from "./port.ts";

/** Reads one file. */
export class FileReading {
  readonly path: string;
  readonly #port: FilePort;
  #beacon: Uint8Array | undefined;
  /** Read requests to the system. */
  reads = 0;
  /** Bytes that were read. */
  bytesRead = 0;
  /** The byte offset after all bytes that were read. */
  furthest = 0;

  constructor(port: FilePort, path: string) {
    this.#port = port;
    this.path = path;
  }

  /** The current size of the file. */
  async size(): Promise<number> {
    try {
      return await this.#port.size();
    } catch (cause) {
      throw refused(this.path, "read", cause);
    }
  }

  /** The file's first bytes, at most this many. */
  async beginning(bytes: number): Promise<Uint8Array> {
    const into = new Uint8Array(bytes);
    return into.subarray(0, await this.#readFully(into, 0));
  }

  /** The file's header. */
  async header(): Promise<FileHeader> {
    const bytes = await this.beginning(HEADER_BYTES);
    const { length } = bytes;
    if (length < HEADER_BYTES) {
      const torn = length > 0 && startsLikeHeader(bytes);
      const why = `it has ${length} bytes, and the header ${HEADER_BYTES}`;
      throw flawed(this.path, { kind: torn ? "torn" : "corrupt", offset: 0, why });
    }
    const header = decodeHeader(bytes);
    if (typeof header === "string") throw flawed(this.path, { kind: "corrupt", offset: 0, why: header });
    return header;
  }

  /**
   * Reads until all bytes before `need` are in the decoder's page; false if the file ends before. No memory is allocated for bytes
   * that a file only claims to have.
   */
  async fill(decoder: FileDecoder, need: number): Promise<boolean> {
    const { page, position } = decoder;
    const bytes = need - position;
    const { wish } = decoder;
    const size = wish - position > PAGE_BYTES ? await this.size() : need;
    if (need > size) return false;
    if (!page.reaches(position) || need > page.base + page.bytes.length) {
      // Beacons in a message may be larger than the message: the page grows each time, so that few attempts are needed.
      const more = page.base === position ? Math.ceil(page.length * 17 / 16) : 0;
      page.makeSpace(position, Math.max(bytes, Math.min(size - position, Math.max(more, wish - position))));
    }
    while (page.end < need) {
      const count = await this.#read(page.bytes.subarray(page.length), page.end);
      if (count === 0) return false;
      page.length += count;
    }
    return true;
  }

  /** The beacon at a boundary; `undefined` if it is incomplete or invalid. */
  async beacon(boundary: number, interval: number): Promise<Beacon | undefined> {
    const bytes = this.#beacon ??= new Uint8Array(Math.min(interval, MAX_BEACON_BYTES));
    const measured = measureBeacon(bytes, 0, await this.#readFully(bytes, boundary));
    return "size" in measured && measured.size < interval ? decodeBeacon(bytes, 0, measured.size) : undefined;
  }

  async #readFully(into: Uint8Array, position: number): Promise<number> {
    let length = 0;
    while (length < into.length) {
      const count = await this.#read(into.subarray(length), position + length);
      if (count === 0) break;
      length += count;
    }
    return length;
  }

  async #read(into: Uint8Array, position: number): Promise<number> {
    this.reads++;
    try {
      const count = await this.#port.read(into, position);
      this.bytesRead += count;
      this.furthest = Math.max(this.furthest, position + count);
      return count;
    } catch (cause) {
      throw refused(this.path, "read", cause);
    }
  }
}
