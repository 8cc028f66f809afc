// Builds frames from literal bytes, and wire text from words.

import { RespDecoder } from "../../../resp/decoder.ts";
import type { RespFrame } from "../../../resp/decoding/frame.ts";
import { wire } from "../../support/resp/drive.ts";

/** A decoder at the reply of this text, each of whose characters is one byte. */
export function standing(text: string): RespDecoder {
  const decoder = new RespDecoder();
  decoder.feed(wire(text));
  if (!decoder.advance()) throw new Error(`No whole reply: ${JSON.stringify(text)}`);
  return decoder;
}

/** The reply of this text as a frame of its own. */
export function frame(text: string): RespFrame {
  return standing(text).detach();
}

/** A bulk string. */
export function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`;
}

/** A bulk error of RESP3. */
export function bulkError(text: string): string {
  return `!${text.length}\r\n${text}\r\n`;
}

/** An array of encoded values. */
export function array(...items: readonly string[]): string {
  return `*${items.length}\r\n${items.join("")}`;
}

/** An entry with its fields: name, value, name, value … */
export function entry(id: string, ...fields: readonly string[]): string {
  return array(bulk(id), array(...fields.map(bulk)));
}

/** A page as XREAD gives it in RESP3. */
export function page3(...streams: readonly (readonly [string, ...string[]])[]): string {
  return `%${streams.length}\r\n${streams.map(([key, ...entries]) => bulk(key) + array(...entries)).join("")}`;
}

/** A page as XREAD gives it in RESP2. */
export function page2(...streams: readonly (readonly [string, ...string[]])[]): string {
  return array(...streams.map(([key, ...entries]) => array(bulk(key), array(...entries))));
}
