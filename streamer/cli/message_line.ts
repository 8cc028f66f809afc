// A message as a line: its payload, or JSON with everything about it. It must not know where lines go.

import type { TimestampFormat } from "../model/id.ts";
import { type Message, messageFields } from "../model/message.ts";
import type { Chunk } from "./chunk.ts";
import { textOf, writeValue } from "./json.ts";
import { timeText } from "./times.ts";

const NEWLINE = 10;

/** Writes a message as a line. */
export type WriteMessage = (out: Chunk, message: Message) => void;

/** Its payload. */
export function writePayload(out: Chunk, message: Message): void {
  out.append(message.bytes());
  out.byte(NEWLINE);
}

/** What {@linkcode jsonWriter} is told. */
export interface JsonOptions {
  /** The name of the field that holds the payload. */
  readonly field: Uint8Array;
  readonly format: TimestampFormat;
}

/** Everything about it. */
export function jsonWriter({ field, format }: JsonOptions): WriteMessage {
  return (out, message) => {
    const { id } = message;
    out.ascii(`{"stream":"${message.streamKey}","shard":${message.shardId},"id":"${id}"`); // of letters that need no escape
    const sequence = sequenceText(id);
    if (sequence !== undefined) out.ascii(`,"sequence":"${sequence}"`);
    const time = timeText(id, format);
    out.ascii(time === undefined ? `,"timestamp":null` : `,"timestamp":"${time}"`);
    const fields = messageFields(message);
    const at = payloadAt(fields, field);
    out.ascii(`,"headers":{`);
    if (fields.length > (at < 0 ? 0 : 2)) writeHeaders(out, fields, at);
    out.ascii(`},"payload":`);
    writeValue(out, message.bytes());
    out.ascii("}\n");
  };
}

const MAX_SEQUENCE_HALF = 65_535;

/** The sequence in decimal; `undefined` where there is none. */
function sequenceText(id: string): string | undefined {
  const dash = id.indexOf("-");
  const second = Number(id.slice(dash + 1));
  return second > MAX_SEQUENCE_HALF ? undefined : String((BigInt(id.slice(0, dash)) << 16n) | BigInt(second));
}

/** Where in names and values the payload's name stands; -1 where there is none. */
export function payloadAt(fields: readonly Uint8Array[], field: Uint8Array): number {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i];
    if (name.length === field.length && name.every((byte, at) => byte === field[at])) return i;
  }
  return -1;
}

/** Names that come several times have an array of values. */
function writeHeaders(out: Chunk, fields: readonly Uint8Array[], payload: number): void {
  const headers = new Map<string, Uint8Array[]>();
  for (let i = 0; i < fields.length; i += 2) {
    if (i === payload) continue;
    const name = textOf(fields[i]) ?? new TextDecoder().decode(fields[i]);
    const values = headers.get(name);
    if (values === undefined) headers.set(name, [fields[i + 1]]);
    else values.push(fields[i + 1]);
  }
  let comma = "";
  for (const [name, values] of headers) {
    out.text(`${comma}${JSON.stringify(name)}:`);
    comma = ",";
    if (values.length === 1) writeValue(out, values[0]);
    else writeAll(out, values);
  }
}

function writeAll(out: Chunk, values: readonly Uint8Array[]): void {
  values.forEach((value, i) => {
    out.ascii(i === 0 ? "[" : ",");
    writeValue(out, value);
  });
  out.ascii("]");
}
