// The headers of a message, and the layout of its entry on the tape.

import type { RespFrame } from "../../resp/decoding/frame.ts";
import { headersJson, printAs, shownHeaders } from "./printing.ts";

const utf8 = new TextEncoder();

/** The name of the payload field as bytes. */
export function fieldBytes(name: string): Uint8Array {
  return utf8.encode(name);
}

// Indices of an entry on the tape: an array of two, which are the id and an array with the name and value of each field.

/** The id. */
export const ENTRY_ID = 2;
/** The array of fields. */
export const ENTRY_FIELDS = 4;
/** The name of the first field. */
export const FIRST_FIELD = 6;
/** From the name of a field to the name of the next one. */
export const FIELD_STEP = 4;

/** Whether the bytes from `from` on are those of a name. The lengths must be equal. */
export function sameBytes(bytes: Uint8Array, from: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name[i]) return false;
  return true;
}

/**
 * The headers of a message: all fields of its entry except the payload. Names can repeat, and values are bytes.
 *
 * @example
 * ```ts
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const producer = await streamer.createProducer("orders");
 * await producer.send("paid", { headers: { trace: "7f3a", source: "shop" } });
 * const manager = await streamer.createManager();
 * for (const { headers } of await manager.range("orders", "-", "+", { count: 10 })) {
 *   console.log(headers.size, headers.get("trace"), headers.toObject());
 *   for (const [name, value] of headers) console.log(name, value.length);
 * }
 * ```
 *
 * @category Consuming
 */
export class MessageHeaders implements Iterable<[string, Uint8Array]> {
  readonly #frame: RespFrame;
  readonly #entry: number;
  readonly #payload: number;

  static {
    printAs(this.prototype, "MessageHeaders", shownHeaders);
  }

  /** @internal Created by a message. */
  constructor(frame: RespFrame, entry: number, payload: number) {
    this.#frame = frame;
    this.#entry = entry;
    this.#payload = payload;
  }

  /** The number of headers, with repeated names. */
  get size(): number {
    const fields = Math.max(0, this.#frame.lengthAt(this.#entry + ENTRY_FIELDS)) / 2;
    return this.#payload < 0 ? fields : fields - 1;
  }

  /** Whether there is a header with this name. */
  has(name: string): boolean {
    return this.getBytes(name) !== undefined;
  }

  /** The first value of this name as UTF-8 text, or `undefined`. Invalid bytes become U+FFFD. */
  get(name: string): string | undefined {
    for (const at of this.#values(name)) return this.#frame.textAt(at);
    return undefined;
  }

  /** The first value of this name as a view of the page, or `undefined`. */
  getBytes(name: string): Uint8Array | undefined {
    for (const at of this.#values(name)) return this.#frame.viewAt(at);
    return undefined;
  }

  /** All values of this name, in stored order, as views of the page. */
  getAll(name: string): Uint8Array[] {
    return Array.from(this.#values(name), (at) => this.#frame.viewAt(at));
  }

  /** The headers as an object: names and values as text. Of repeated names it has the first value. */
  toObject(): Record<string, string> {
    const first = new Map<string, string>();
    for (const [name, text] of headersJson(this)) if (!first.has(name)) first.set(name, text);
    return Object.fromEntries(first);
  }

  /** The headers for `JSON.stringify`: pairs of a name and a text, in stored order. */
  toJSON(): [string, string][] {
    return headersJson(this);
  }

  /** Iterates over names and values, in stored order. Values are views of the page. */
  *[Symbol.iterator](): IterableIterator<[string, Uint8Array]> {
    for (const at of this.#values()) yield [this.#frame.textAt(at - 2), this.#frame.viewAt(at)];
  }

  *#values(name?: string): Generator<number> {
    const wanted = name === undefined ? undefined : fieldBytes(name);
    const frame = this.#frame;
    const end = this.#entry + FIRST_FIELD + frame.lengthAt(this.#entry + ENTRY_FIELDS) * 2;
    for (let at = this.#entry + FIRST_FIELD; at < end; at += FIELD_STEP) {
      if (at + 2 === this.#payload) continue;
      const same = wanted === undefined ||
        (frame.lengthAt(at) === wanted.length && sameBytes(frame.bytes, frame.bodyAt(at), wanted));
      if (same) yield at + 2;
    }
  }
}
